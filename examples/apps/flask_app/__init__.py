# SPDX-License-Identifier: Apache-2.0
"""A login, a session and a static file."""

from flask import Flask, redirect, request, session, url_for
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.wrappers import Response

app = Flask(__name__)
app.secret_key = "of an example, with nothing to protect"
app.wsgi_app = ProxyFix(app.wsgi_app, x_for=1, x_proto=1, x_host=1, x_prefix=1)  # type: ignore[method-assign]


@app.get("/")
def index() -> str:
    style = url_for("static", filename="style.css")
    links = f'<a href="{url_for("private")}">private</a> <a href="/app3/">FastAPI</a>'
    return f'<link rel="stylesheet" href="{style}">{links}'


@app.get("/private")
def private() -> str | Response:
    if "name" not in session:
        return redirect(url_for("login", next="/private"))
    button = f'<form method="post" action="{url_for("logout")}"><button>leave</button></form>'
    return f"hello {session['name']} {button}"


@app.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    if request.method == "POST":
        session["name"] = request.form["name"]
        return redirect(url_for("private"))
    return '<form method="post"><input name="name"><button>enter</button></form>'


@app.post("/logout")
def logout() -> Response:
    session.clear()
    return redirect(url_for("index"))


@app.get("/unaware")
def unaware() -> Response:
    """As an application that has never heard of prefixes answers."""
    answer = redirect("/private")
    answer.set_cookie("unaware", "1", path="/")
    return answer
