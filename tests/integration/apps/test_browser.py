# SPDX-License-Identifier: Apache-2.0
"""The applications of `examples/apps` visited with a real browser: forms, cookies, styles, links."""

from pathlib import Path

import pytest

from tests.integration.apps.browser import Page, browser
from tests.integration.apps.conftest import Site

HOST = "apps.localhost"
"""A name that browsers trust without TLS, as they do in development."""


@pytest.mark.needs("chromium")
def test_a_visit_with_a_browser(site: Site, tmp_path: Path) -> None:
    port = site.url.rpartition(":")[2]
    with browser(tmp_path / "profile", HOST) as page:
        page.open(f"http://{HOST}:{port}/app1/admin/")
        _django(page)
        page.open(f"http://{HOST}:{port}/app2/")
        _flask(page)
        # From one application to the next by their own links.
        page.click('a[href="/app3/"]')
        _fastapi(page)
        page.click('a[href="/app1/admin/"]')
        # The session of the first is still there, and no other had its cookies.
        assert "Site administration" in page.text
        _leave_django(page)
        assert page.hosts() == {f"{HOST}:{port}"}
        assert page.errors == []
        assert not [url for url, status in page.statuses.items() if status >= 400]


def _django(page: Page) -> None:
    assert page.path == "/app1/admin/login/?next=/app1/admin/"
    page.type("input[name=username]", "ada")
    page.type("input[name=password]", "secret")
    page.click("input[type=submit]")
    assert page.path == "/app1/admin/" and "Site administration" in page.text
    assert page.cookies() == {"csrftoken": "/app1", "sessionid": "/app1"}
    # Its style sheets were loaded from under the prefix and apply.
    assert page.style("#site-name a", "color") != "rgb(0, 0, 238)"
    assert page.style("#header", "display") == "flex"
    page.click('a[href="/app1/admin/auth/user/"]')
    assert page.path == "/app1/admin/auth/user/" and "ada" in page.text


def _flask(page: Page) -> None:
    assert page.style("body", "color") == "rgb(0, 128, 128)"
    page.click('a[href="/app2/private"]')
    assert page.path == "/app2/login?next=/private"
    page.type("input[name=name]", "grace")
    page.click("button")
    assert page.path == "/app2/private" and "hello grace" in page.text
    assert page.cookies()["session"] == "/app2"
    page.click("button")
    assert page.path == "/app2/" and "session" not in page.cookies()


def _fastapi(page: Page) -> None:
    assert page.style("body", "color") == "rgb(0, 0, 128)"
    page.click('a[href="/app3/private"]')
    assert page.path == "/app3/login?next=/private"
    page.type("input[name=name]", "edsger")
    page.click("button")
    assert page.path == "/app3/private" and "hello edsger" in page.text
    assert page.cookies()["name"] == "/app3"
    page.click("button")
    assert page.path == "/app3/" and "name" not in page.cookies()


def _leave_django(page: Page) -> None:
    page.click("#logout-form button")
    assert page.path == "/app1/admin/logout/" and "sessionid" not in page.cookies()
    page.open(page.evaluate("location.origin") + "/app1/admin/")
    assert page.path == "/app1/admin/login/?next=/app1/admin/"
