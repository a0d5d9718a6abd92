# SPDX-License-Identifier: Apache-2.0
"""A login, a cookie and a static file."""

from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Cookie, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

app = FastAPI()
app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")


@app.get("/", response_class=HTMLResponse)
def index(request: Request) -> str:
    style = request.url_for("static", path="style.css").path
    links = f'<a href="{request.url_for("private").path}">private</a> <a href="/app1/admin/">Django</a>'
    return f'<link rel="stylesheet" href="{style}">{links}'


@app.get("/private")
def private(name: Annotated[str | None, Cookie()] = None) -> Response:
    if name is None:
        return RedirectResponse("/login?next=/private", status_code=303)
    return HTMLResponse(f'hello {name} <form method="post" action="logout"><button>leave</button></form>')


@app.get("/login")
def login() -> HTMLResponse:
    return HTMLResponse('<form method="post"><input name="name"><button>enter</button></form>')


@app.post("/login")
async def enter(request: Request) -> Response:
    [name] = parse_qs((await request.body()).decode())["name"]
    answer = RedirectResponse("/private", status_code=303)
    answer.set_cookie("name", name, path="/", httponly=True)
    return answer


@app.post("/logout")
def leave() -> Response:
    answer = RedirectResponse("/", status_code=303)
    answer.delete_cookie("name", path="/", httponly=True)
    return answer
