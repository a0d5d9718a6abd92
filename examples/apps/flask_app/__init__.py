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
    return f'<link rel="stylesheet" href="{style}"><a href="{url_for("private")}">private</a>'


@app.get("/private")
def private() -> str | Response:
    if "name" not in session:
        return redirect(url_for("login", next="/private"))
    return f"hello {session['name']}"


@app.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    if request.method == "POST":
        session["name"] = request.form["name"]
        return redirect(url_for("private"))
    return '<form method="post"><input name="name"></form>'


@app.get("/unaware")
def unaware() -> Response:
    """As an application that has never heard of prefixes answers."""
    answer = redirect("/private")
    answer.set_cookie("unaware", "1", path="/")
    return answer
