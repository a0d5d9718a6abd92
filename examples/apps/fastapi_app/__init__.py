# SPDX-License-Identifier: Apache-2.0
"""A login, a cookie and a static file."""

from pathlib import Path
from typing import Annotated

from fastapi import Cookie, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

app = FastAPI()
app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")


@app.get("/", response_class=HTMLResponse)
def index(request: Request) -> str:
    return f'<link rel="stylesheet" href="{request.url_for("static", path="style.css").path}">'


@app.get("/private")
def private(name: Annotated[str | None, Cookie()] = None) -> Response:
    if name is None:
        return RedirectResponse("/login?next=/private", status_code=303)
    return HTMLResponse(f"hello {name}")


@app.get("/login")
def login() -> HTMLResponse:
    return HTMLResponse('<form method="post"></form>')


@app.post("/login/{name}")
def enter(name: str) -> Response:
    answer = RedirectResponse("/private", status_code=303)
    answer.set_cookie("name", name, path="/", httponly=True)
    return answer
