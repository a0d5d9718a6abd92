# SPDX-License-Identifier: Apache-2.0
"""Applications of Django, Flask and FastAPI under one domain, visited as a user does: `examples/apps`."""

import re

from tests.integration.apps.conftest import Site


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
    assert page.url == f"{site.url}/app2/private" and page.text.startswith("hello ada ")
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
    page = visitor.post(f"{site.url}/app3/login", data={"name": "ada"})
    assert page.url == f"{site.url}/app3/private" and page.text.startswith("hello ada ")
    assert [cookie.path for cookie in visitor.cookies] == ["/app3"]
    assert '"/app3/openapi.json"' in visitor.get(f"{site.url}/app3/docs").text.replace("'", '"')
    servers = visitor.get(f"{site.url}/app3/openapi.json").json()["servers"]
    assert servers == [{"url": "/app3"}]


def test_cookies_of_one_application_do_not_reach_the_others(site: Site) -> None:
    visitor = site.visitor()
    visitor.post(f"{site.url}/app2/login", data={"name": "ada"})
    visitor.post(f"{site.url}/app3/login", data={"name": "ada"})
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
        for port in site.ports:
            assert f"127.0.0.1:{port}".encode() not in told and f"localhost:{port}".encode() not in told
