# SPDX-License-Identifier: Apache-2.0
"""Applications of Django, Flask and FastAPI under one domain, visited as a user does: `examples/apps`."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tidegate.testing import gateway

APPS = Path(__file__).resolve().parents[2] / "examples" / "apps"
_PORTS = {"app1": 8001, "app2": 8002, "app3": 8003}


@dataclass
class Site:
    """The gateway's URL, the applications' own ports, and every answer that was seen."""

    url: str
    ports: dict[str, int]
    seen: list[requests.Response]

    def visitor(self) -> requests.Session:
        session = requests.Session()
        session.hooks["response"].append(lambda response, **_: self.seen.append(response))
        return session


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, process.args
            time.sleep(0.1)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("apps")
    environment = {
        **os.environ,
        "DATABASE": str(folder / "db.sqlite3"),
        "DJANGO_SUPERUSER_PASSWORD": "secret",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    manage = [sys.executable, "django_app/manage.py"]
    ports = {name: _free() for name in _PORTS}
    commands = [
        [*manage, "runserver", "--noreload", f"127.0.0.1:{ports['app1']}"],
        [sys.executable, "-m", "flask", "--app", "flask_app", "run", "--port", str(ports["app2"])],
        [
            sys.executable,
            "-m",
            "uvicorn",
            "fastapi_app:app",
            "--root-path",
            "/app3",
            "--port",
            str(ports["app3"]),
        ],
    ]
    for step in (["migrate"], ["createsuperuser", "--noinput", "--username", "ada", "--email", "a@b.test"]):
        subprocess.run([*manage, *step], cwd=APPS, env=environment, check=True, capture_output=True)
    with (folder / "output").open("wb") as output:
        processes = [
            subprocess.Popen(command, cwd=APPS, env=environment, stdout=output, stderr=output)
            for command in commands
        ]
    try:
        for port, process in zip(ports.values(), processes, strict=True):
            _wait(port, process)
        text = (APPS / "tidegate.yaml").read_text("utf-8").replace("port: 8080", "port: 0")
        for name, port in _PORTS.items():
            text = text.replace(f":{port}", f":{ports[name]}")
        with gateway(text, threads=1) as running:
            yield Site(f"http://127.0.0.1:{running.port}", ports, [])
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(30)


def test_django_admin_is_used_under_its_prefix(site: Site) -> None:
    visitor = site.visitor()
    page = visitor.get(f"{site.url}/app1/admin/")
    assert page.url == f"{site.url}/app1/admin/login/?next=/app1/admin/"
    [token] = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    form = {"username": "ada", "password": "secret", "csrfmiddlewaretoken": token}
    page = visitor.post(page.url, data=form, headers={"Referer": page.url})
    assert (
        page.status_code == 200
        and page.url == f"{site.url}/app1/admin/"
        and "Site administration" in page.text
    )
    assert {cookie.path for cookie in visitor.cookies} == {"/app1"}
    assert {cookie.name for cookie in visitor.cookies} == {"sessionid", "csrftoken"}
    styles = re.findall(r'href="(/[^"]+\.css)"', page.text)
    assert styles and all(style.startswith("/app1/static/") for style in styles)
    for style in styles:
        assert visitor.get(site.url + style).headers["content-type"].startswith("text/css")
    users = visitor.get(f"{site.url}/app1/admin/auth/user")
    assert users.url == f"{site.url}/app1/admin/auth/user/" and "ada" in users.text


def test_flask_is_used_under_its_prefix(site: Site) -> None:
    visitor = site.visitor()
    page = visitor.get(f"{site.url}/app2/")
    [style] = re.findall(r'href="([^"]+\.css)"', page.text)
    assert style == "/app2/static/style.css" and "teal" in visitor.get(site.url + style).text
    page = visitor.get(f"{site.url}/app2/private")
    assert page.url == f"{site.url}/app2/login?next=/private"
    page = visitor.post(page.url, data={"name": "ada"})
    assert (page.url, page.text) == (f"{site.url}/app2/private", "hello ada")
    assert [cookie.path for cookie in visitor.cookies] == ["/app2"]


def test_what_an_application_that_knows_no_prefix_says_is_mapped(site: Site) -> None:
    answer = site.visitor().get(f"{site.url}/app2/unaware", allow_redirects=False)
    assert answer.headers["location"] == "/app2/private"
    assert answer.headers["set-cookie"] == "unaware=1; Path=/app2"


def test_fastapi_is_used_under_its_prefix(site: Site) -> None:
    visitor = site.visitor()
    page = visitor.get(f"{site.url}/app3/")
    [style] = re.findall(r'href="([^"]+\.css)"', page.text)
    assert style == "/app3/static/style.css" and "navy" in visitor.get(site.url + style).text
    assert visitor.get(f"{site.url}/app3/private").url == f"{site.url}/app3/login?next=/private"
    page = visitor.post(f"{site.url}/app3/login/ada")
    assert (page.url, page.text) == (f"{site.url}/app3/private", "hello ada")
    assert [cookie.path for cookie in visitor.cookies] == ["/app3"]
    assert '"/app3/openapi.json"' in visitor.get(f"{site.url}/app3/docs").text.replace("'", '"')
    servers = visitor.get(f"{site.url}/app3/openapi.json").json()["servers"]
    assert servers == [{"url": "/app3"}]


def test_cookies_of_one_application_do_not_reach_the_others(site: Site) -> None:
    visitor = site.visitor()
    visitor.post(f"{site.url}/app2/login", data={"name": "ada"})
    visitor.post(f"{site.url}/app3/login/ada")
    sent = [response.request.headers.get("Cookie", "") for response in site.seen[-2:]]
    assert sent[-1] == "name=ada"
    assert "name=" not in visitor.get(f"{site.url}/app2/private").request.headers["Cookie"]


def test_no_answer_tells_where_or_what_the_applications_are(site: Site) -> None:
    for path in ("/app1/", "/app1/none", "/app2/none", "/app3/none", "/none"):
        site.visitor().get(site.url + path)
    assert len(site.seen) >= 5
    for response in site.seen:
        names = {name.lower() for name in response.headers}
        assert not names & {"server", "x-powered-by"}, response.url
        told = repr(response.headers).encode() + response.content
        for port in site.ports.values():
            assert f"127.0.0.1:{port}".encode() not in told and f"localhost:{port}".encode() not in told
