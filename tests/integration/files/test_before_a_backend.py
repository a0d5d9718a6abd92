# SPDX-License-Identifier: Apache-2.0
"""Files of a folder that go before a backend: `try_files`."""

import shutil
from pathlib import Path

import pytest

from tidegate.testing import FakeEndpoint, decide, endpoint, gateway
from tidegate.testing.gateways import wait_until

from .site import ask, write


def _text(root: Path, upstream: FakeEndpoint, files: str = "", route: str = "") -> str:
    marked = "policies: [{ type: request_headers, set: { X-Backend: b } }]"
    return f"""
listeners: {{ web: {{ port: 0 }} }}
backends: {{ app: {{ endpoints: ["{upstream.address}"], {marked} }} }}
routes:
  - path: /shop
    to: app
    rewrite: {{ prefix: / }}
    try_files: {{ root: "{root}", cache: {{ validity: null }}, {files} }}
    {route}
"""


def _site(root: Path) -> None:
    write(root / "a b.css", "file")
    write(root / "a b.css.gz", "gzip")
    write(root / ".env", "secret")
    write(root / "docs" / "index.html", "docs")
    write(root / "empty" / "x", "x")
    (root / "out").symlink_to("/etc/passwd")


_CASES = [
    ("GET", "/shop/a%20b.css", True),
    ("HEAD", "/shop/a%20b.css", True),
    ("GET", "/shop/docs/", True),
    ("GET", "/shop/docs", False),
    ("GET", "/shop/empty/", False),
    ("GET", "/shop/empty", False),
    ("GET", "/shop/", False),
    ("GET", "/shop/orders/7", False),
    ("GET", "/shop/.env", False),
    ("GET", "/shop/out", False),
    ("POST", "/shop/a%20b.css", False),
    ("OPTIONS", "/shop/a%20b.css", False),
    ("DELETE", "/shop/orders/7", False),
]


def test_files_go_first_and_a_backend_gets_all_else(tmp_path: Path) -> None:
    _site(tmp_path)
    with endpoint() as upstream, gateway(_text(tmp_path, upstream), threads=1) as running:
        for method, target, is_file in _CASES:
            before = len(upstream.messages)
            answer = ask(running, target, method=method)
            assert answer.status == 200
            asked = upstream.messages[before:]
            assert len(asked) == (0 if is_file else 1), (method, target)
            if asked:
                # As without `try_files`: the prefix is gone, the backend's policies have run.
                assert asked[0].target == target.removeprefix("/shop")
                assert asked[0].get("x-backend") == "b"
        assert ask(running, "/shop/a%20b.css").body == b"file"
        ranged = ask(running, "/shop/a%20b.css", "Range: bytes=1-2")
        assert (ranged.status, ranged.body) == (206, b"il")


def test_explain_says_the_same(tmp_path: Path) -> None:
    _site(tmp_path)
    with endpoint() as upstream:
        text = _text(tmp_path, upstream)
        for method, target, is_file in _CASES:
            told = decide(text, {"method": method, "url": f"http://a.test{target}"})
            assert told["outcome"] == ("file" if is_file else "forward"), (method, target, told)
            if is_file:
                assert told["file"].startswith(f"{tmp_path}/")


def test_settings_of_files_count_and_so_do_policies_of_the_route(tmp_path: Path) -> None:
    _site(tmp_path)
    files = 'precompressed: [gzip], cache_control: "max-age=60"'
    route = "policies: [{ type: response_headers, set: { X-Route: r } }]"
    with endpoint() as upstream, gateway(_text(tmp_path, upstream, files, route), threads=1) as running:
        answer = ask(running, "/shop/a%20b.css", "Accept-Encoding: gzip")
        assert (answer.body, answer.get("cache-control"), answer.get("x-route")) == (
            b"gzip", "max-age=60", "r",
        )  # fmt: skip
        answer = ask(running, "/shop/orders/7")
        assert (answer.get("cache-control"), answer.get("x-route")) == (None, "r")


def test_a_file_that_comes_and_goes_is_noticed(tmp_path: Path) -> None:
    with endpoint() as upstream, gateway(_text(tmp_path, upstream), threads=1) as running:
        for _ in range(2):
            assert ask(running, "/shop/new").body != b"new"
            file = write(tmp_path / "new", "new")
            assert ask(running, "/shop/new").body == b"new"
            file.unlink()


def test_a_folder_that_has_gone_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    root = tmp_path / "site"
    _site(root)
    with endpoint() as upstream, gateway(_text(root, upstream), threads=1) as running:
        shutil.move(root, tmp_path / "away")
        assert ask(running, "/shop/orders/7").status == 500
        assert ask(running, "/shop/orders", method="POST").status == 200
        shutil.move(tmp_path / "away", root)
        assert wait_until(lambda: ask(running, "/shop/orders/7").status == 200)


@pytest.mark.parametrize("dead", ["/shop/a%20b.css", "/shop/docs/"])
def test_files_are_sent_while_the_backend_is_away(tmp_path: Path, dead: str) -> None:
    _site(tmp_path)
    with endpoint() as upstream:
        text = _text(tmp_path, upstream)
    with gateway(text, threads=1) as running:
        assert ask(running, dead).status == 200
        assert ask(running, "/shop/orders/7").status == 502
