# SPDX-License-Identifier: Apache-2.0
"""Settings of error pages and maintenance, good and bad."""

import json
from pathlib import Path
from typing import Any

import pytest

from tidegate.config.compile import compile_gateway
from tidegate.config.gateway import Gateway
from tidegate.config.load import load, loads
from tidegate.config.pages import ErrorPage, Maintenance
from tidegate.config.problem import ConfigError


def _gateway(route: str = "", listener: str = "", settings: str = "") -> Gateway:
    return loads(
        f"gateway: {{ {settings} }}\nlisteners: {{ w: {{ port: 1, {listener} }} }}\n"
        f"routes: [{{ path: /, to: {{ respond: 200 }}, {route} }}]"
    ).gateway


def _value(gateway: Gateway, kind: str) -> dict[str, Any]:
    resources = compile_gateway(gateway, threads=1).resources
    (found,) = (json.loads(one.value) for (of, _), one in resources.items() if of == kind)
    assert isinstance(found, dict)
    return found


def test_every_form_reads_as_the_same_model() -> None:
    page = ErrorPage(bodies=[("text/html", "x")])
    for text in ("404: x", '"404": { bodies: x }', "404: { bodies: { text/html: x } }"):
        assert _gateway(f"error_pages: {{ {text} }}").http_routes[0].error_pages == [("404", page)]
    assert ErrorPage(bodies="x") == page
    for text, expected in (
        ("true", Maintenance()),
        ("false", Maintenance(enabled=False)),
        ("{ bodies: x }", Maintenance(bodies=[("text/html", "x")])),
    ):
        assert _gateway(f"maintenance: {text}").http_routes[0].maintenance == expected
    assert _gateway().http_routes[0].maintenance is None


@pytest.mark.parametrize("text", ["404.html", "/404.html", "pages/50x.htm", "../errors/problem.json"])
def test_the_name_of_a_file_is_no_page(text: str) -> None:
    for page in (f'404: "{text}"', f'404: {{ bodies: {{ text/html: "{text}" }} }}'):
        with pytest.raises(ConfigError, match=rf"for the file write `\$\{{file:{text}\}}`"):
            _gateway(f"error_pages: {{ {page} }}")
    assert _gateway(f'error_pages: {{ 404: "see {text}" }}').http_routes[0].error_pages


def test_one_status_goes_before_its_class() -> None:
    pages = _gateway("error_pages: { 5xx: a, 503: b, 4xx: c, 404: d }").http_routes[0].error_pages
    assert [statuses for statuses, _ in pages] == ["503", "404", "5xx", "4xx"]


def test_a_listener_gets_the_gateways_pages_behind_its_own() -> None:
    gateway = _gateway("", "error_pages: { 5xx: own }", "error_pages: { 503: all }, maintenance: true")
    value = _value(gateway, "listener")
    assert [statuses for statuses, _ in value["error_pages"]] == ["5xx", "503"]
    assert value["maintenance"]["enabled"] is True
    off = _gateway("", "maintenance: false", "maintenance: true")
    assert _value(off, "listener")["maintenance"]["enabled"] is False
    assert "maintenance" not in _value(gateway, "gateway")


def test_a_page_is_a_file_that_is_read_with_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "404.html").write_text("<h1>{status}</h1>\n")
    (tmp_path / "t.yaml").write_text(
        "listeners: { w: { port: 1 } }\nroutes:\n  - { path: /, to: { respond: 200 },\n"
        '      error_pages: { 404: "${file:404.html}" } }'
    )
    loaded = load(tmp_path / "t.yaml")
    assert loaded.gateway.http_routes[0].error_pages[0][1].bodies == [("text/html", "<h1>{status}</h1>")]
    assert tmp_path / "404.html" in loaded.files
    (tmp_path / "404.html").unlink()
    with pytest.raises(ConfigError, match=r"t\.yaml:4:.*404\.html"):
        load(tmp_path / "t.yaml")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("error_pages: { 200: x }", "is no status of an error"),
        ("error_pages: { 40x: x }", "is no status of an error"),
        ("error_pages: [x]", "error_pages"),
        ("error_pages: x", "must be a mapping from statuses to pages"),
        ("error_pages: { 404: {} }", "bodies"),
        ("error_pages: { 404: { bodies: {} } }", "must not be empty"),
        ("error_pages: { 404: { bodies: 5 } }", "must be a text, which is HTML"),
        ("error_pages: { 404: { bodies: { html: x } } }", "is no media type"),
        ("error_pages: { 404: { bodies: x, status: 99 } }", "must be at least 200"),
        ("error_pages: { 404: { bodies: x, status: 204 } }", "has no body"),
        ("error_pages: { 404: { bodies: x, intercept: 1 } }", "must be `true` or `false`"),
        ("maintenance: { retry: 5m }", "did you mean `retry_after`"),
        ("maintenance: { allow: [x] }", "allow"),
        ("maintenance: 5", "maintenance"),
    ],
)
def test_a_mistake_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        _gateway(text)
    assert any(says in str(problem) for problem in raised.value.problems), raised.value.problems
