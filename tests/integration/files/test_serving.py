# SPDX-License-Identifier: Apache-2.0
"""What is sent for which path."""

import json
import os
import socket
from pathlib import Path

import pytest

from tidegate.testing import Wire, decide, gateway

from .site import DATE, ask, serving, write


def test_a_file_is_sent_with_what_tells_about_it(tmp_path: Path) -> None:
    write(tmp_path / "index.html", "<h1>home</h1>")
    with serving(tmp_path) as running:
        for target in ("/", "/index.html", "/?q=1"):
            answer = ask(running, target)
            assert (answer.status, answer.body) == (200, b"<h1>home</h1>")
            assert answer.get("content-type") == "text/html; charset=utf-8"
            assert answer.get("last-modified") == DATE
            assert answer.get("accept-ranges") == "bytes"
            assert answer.get("x-content-type-options") == "nosniff"
            tag = answer.get("etag")
            assert tag is not None and tag.startswith('"')
            assert answer.get("vary") is None and answer.get("cache-control") is None
            head = ask(running, target, method="HEAD")
            assert (head.status, head.body, head.get("content-length")) == (200, b"", "13")
            assert (head.get("etag"), head.get("accept-ranges")) == (tag, "bytes")


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
def test_every_byte_arrives_from_memory_or_from_the_file(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    write(tmp_path / "f.bin", content)
    with serving(tmp_path) as running:
        for version in ("1.1", "1.0"):
            answer = ask(running, "/f.bin", version=version)
            assert (answer.status, answer.get("content-length")) == (200, str(size))
            assert answer.body == content
            assert answer.get("content-type") == "application/octet-stream"
        assert {entry["bytes_out"] for entry in running.log(2)} == {size}


def test_the_routes_prefix_is_no_part_of_the_name(tmp_path: Path) -> None:
    write(tmp_path / "a" / "b.txt", "b")
    with serving(tmp_path, path="/static") as running:
        assert ask(running, "/static/a/b.txt").body == b"b"
        assert ask(running, "/static/a/b.txt").get("content-type") == "text/plain; charset=utf-8"
        assert ask(running, "/a/b.txt").status == 404
        assert ask(running, "/static").get("location") == "/static/"


def test_a_whole_path_that_is_matched_is_the_name(tmp_path: Path) -> None:
    write(tmp_path / "robots.txt", "User-agent: *")
    with serving(tmp_path, path="{ exact: /robots.txt }") as running:
        assert ask(running, "/robots.txt").body == b"User-agent: *"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_files_are_only_read(tmp_path: Path, method: str) -> None:
    write(tmp_path / "f.txt", "x")
    with serving(tmp_path) as running:
        answer = ask(running, "/f.txt", method=method)
        assert (answer.status, answer.get("allow")) == (405, "GET, HEAD, OPTIONS")
        answer = ask(running, "/f.txt", method="OPTIONS")
        assert (answer.status, answer.get("allow"), answer.body) == (204, "GET, HEAD, OPTIONS", b"")


def test_a_folder_gets_its_slash_and_stays_on_this_host(tmp_path: Path) -> None:
    write(tmp_path / "a b" / "index.html", "in")
    (tmp_path / "empty").mkdir()
    with serving(tmp_path) as running:
        answer = ask(running, "/a%20b?x=//evil.test")
        assert (answer.status, answer.get("location")) == (301, "/a%20b/?x=//evil.test")
        assert ask(running, "/a%20b/").body == b"in"
        assert ask(running, "/empty/").status == 404
        assert ask(running, "/a%20b/index.html/").status == 404
    text = f"""
listeners: {{ web: {{ port: 0, merge_slashes: false }} }}
routes: [{{ path: /, to: {{ files: "{tmp_path}" }} }}]
"""
    with gateway(text, threads=1) as running:
        assert ask(running, "//a%20b").status == 404


def test_only_files_are_sent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        (tmp_path / "device").symlink_to("/dev/zero")
        with serving(tmp_path, "symlinks: unsafe_anywhere") as running:
            assert [ask(running, f"/{name}").status for name in ("pipe", "socket", "device")] == [404] * 3
            assert len(running.log(3)) == 3


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        # Root reads everything; the mode says so all the same.
        assert os.access(tmp_path, os.R_OK)
        return
    write(tmp_path / "secret.txt", "x").chmod(0)
    with serving(tmp_path) as running:
        assert ask(running, "/secret.txt").status == 403


def test_a_root_that_has_gone_is_an_error_until_it_is_back(tmp_path: Path) -> None:
    root = tmp_path / "site"
    write(root / "f.txt", "x")
    with serving(root) as running:
        root.rename(tmp_path / "away")
        assert ask(running, "/f.txt").status == 500
        assert running.log(1)[-1]["error"] == "proxy_internal_error"
        (tmp_path / "away").rename(root)
        assert ask(running, "/f.txt").status == 200


def test_a_listing_names_what_can_be_asked_for(tmp_path: Path) -> None:
    names = ["<b>.txt", 'quote".txt', "javascript:alert(1)", "ünï.txt", "a&b", "per%20cent"]
    for name in names:
        write(tmp_path / name, name)
    write(tmp_path / ".hidden", "x")
    write(tmp_path / "sub" / "f", "x")
    (tmp_path / "out").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    with serving(tmp_path, "listing: true") as running:
        told = json.loads(ask(running, "/", "Accept: application/json").body)
        assert [item["name"] for item in told["items"]] == ["sub", *sorted(names, key=str.encode)]
        assert told["complete"] is True
        assert told["items"][0]["type"] == "folder"
        assert told["items"][1] == {"name": "<b>.txt", "type": "file", "size": 7, "modified": DATE}
        page = ask(running, "/", "Accept: text/html,*/*;q=0.1")
        text = page.body.decode()
        assert "<b>.txt" not in text and "&lt;b&gt;.txt" in text
        assert ".hidden" not in text and "pipe" not in text and ">out" not in text
        assert page.get("content-security-policy") == "default-src 'none'; style-src 'unsafe-inline'"
        links = [part.split('"')[0] for part in text.split('href="')[1:]]
        assert len(links) == len(names) + 2
        for link in links[1:]:
            assert link.startswith("./")
            assert ask(running, link.removeprefix(".")).status == 200 or link == "./sub/"
        assert ask(running, "/sub/", "Accept: application/json").status == 200


def test_a_page_has_its_fallback_and_an_asset_has_not(tmp_path: Path) -> None:
    write(tmp_path / "index.html", "app")
    write(tmp_path / "app.js", "js")
    browser = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    with serving(tmp_path, "fallback: /index.html") as running:
        for target, accept, expected in [
            ("/users/7", browser, 200),
            ("/users/john.doe", browser, 200),
            ("/users/7", "Accept: */*", 200),
            ("/users/7", "X-None: 1", 200),
            ("/users/7", "Accept: application/json", 404),
            ("/missing.js", "Accept: */*", 404),
            ("/missing.js", "Accept: text/javascript, */*;q=0", 404),
            ("/.env", "Accept: */*", 404),
            ("/app.js", "Accept: */*", 200),
        ]:
            answer = ask(running, target, accept)
            assert answer.status == expected, (target, accept)
            if expected == 200 and target != "/app.js":
                # A cache must not give the page to who would have got a 404.
                assert (answer.body, answer.get("vary")) == (b"app", "Accept")
            elif expected == 200:
                assert answer.get("vary") is None
        assert ask(running, "/users/7", browser, method="POST").status == 405


def test_suffixes_are_tried_behind_the_name(tmp_path: Path) -> None:
    write(tmp_path / "about.html", "about")
    with serving(tmp_path, "suffixes: [.htm, .html]") as running:
        assert ask(running, "/about").body == b"about"
        assert ask(running, "/about.html").body == b"about"
        assert ask(running, "/about/").status == 404
    with serving(tmp_path) as running:
        assert ask(running, "/about").status == 404


def test_what_was_compressed_before_is_sent_to_who_takes_it(tmp_path: Path) -> None:
    write(tmp_path / "a.js", "plain")
    write(tmp_path / "a.js.gz", "gz")
    write(tmp_path / "a.js.br", "br")
    write(tmp_path / "old.js", "plain")
    write(tmp_path / "old.js.gz", "stale", at=1_000_000)
    with serving(tmp_path, "precompressed: [br, gzip]") as running:
        for accept, body, coding in [
            ("gzip, br", b"br", "br"),
            ("gzip, br;q=0.5", b"gz", "gzip"),
            ("gzip;q=0, br;q=0", b"plain", None),
            ("identity", b"plain", None),
            ("*", b"br", "br"),
        ]:
            answer = ask(running, "/a.js", f"Accept-Encoding: {accept}")
            assert (answer.body, answer.get("content-encoding")) == (body, coding), accept
            assert answer.get("vary") == "Accept-Encoding"
            assert answer.get("content-type") == "text/javascript; charset=utf-8"
        assert ask(running, "/a.js").body == b"plain"
        assert ask(running, "/old.js", "Accept-Encoding: gzip").body == b"plain"
        tags = {ask(running, "/a.js", f"Accept-Encoding: {one}").get("etag") for one in ("br", "gzip", "x")}
        assert len(tags) == 3
        gz = ask(running, "/a.js", "Accept-Encoding: gzip").get("etag")
        assert ask(running, "/a.js", "Accept-Encoding: gzip", f"If-None-Match: {gz}").status == 304
        assert ask(running, "/a.js", "Accept-Encoding: br", f"If-None-Match: {gz}").status == 200


def test_policies_change_what_is_answered(tmp_path: Path) -> None:
    write(tmp_path / "f.txt", "x")
    policy = "policies: [{ type: response_headers, set: { X-A: b }, remove: [X-Content-Type-Options] }]"
    with serving(tmp_path, route=policy) as running:
        answer = ask(running, "/f.txt")
        assert (answer.get("x-a"), answer.get("x-content-type-options")) == ("b", None)


def test_explain_says_which_file_would_be_sent(tmp_path: Path) -> None:
    write(tmp_path / "index.html", "x")
    write(tmp_path / "a b.css", "x")
    write(tmp_path / "a b.css.gz", "x")
    (tmp_path / "sub").mkdir()
    text = f"""
listeners: {{ web: {{ port: 0 }} }}
routes:
  - path: /s
    to: {{ files: {{ root: "{tmp_path}", precompressed: [gzip], fallback: /index.html }} }}
"""
    with gateway(text, threads=1) as running:
        for method, target, headers, outcome, file in [
            ("GET", "/s/", [], "file", "index.html"),
            ("GET", "/s/a%20b.css", [], "file", "a b.css"),
            ("GET", "/s/a%20b.css", [("Accept-Encoding", "gzip")], "file", "a b.css.gz"),
            ("GET", "/s/a%20b.css", [("Range", "bytes=0-0")], "file", "a b.css"),
            ("GET", "/s/users/7", [], "file", "index.html"),
            ("GET", "/s/none.css", [], "respond", None),
            ("GET", "/s/sub", [], "redirect", None),
            ("POST", "/s/", [], "respond", None),
            ("OPTIONS", "/s/", [], "respond", None),
        ]:
            told = decide(text, {"method": method, "url": f"http://a.test{target}", "headers": headers})
            assert told["outcome"] == outcome, (target, told)
            assert told.get("file") == (None if file is None else f"{tmp_path}/{file}")
            seen = ask(running, target, *(f"{name}: {value}" for name, value in headers), method=method)
            assert (seen.status, seen.get("location")) == (told["status"], told.get("location"))


def test_a_kept_connection_carries_files_one_after_the_other(tmp_path: Path) -> None:
    write(tmp_path / "small", b"s" * 100)
    write(tmp_path / "large", b"l" * 500_000)
    with serving(tmp_path) as running, Wire(("127.0.0.1", running.port)) as wire:
        names = ["small", "large", "none", "small", "large"]
        for name in names:
            wire.send(f"GET /{name} HTTP/1.1\r\nHost: a\r\n\r\n".encode(), "GET")
        assert wire.wait_final(5)
        assert [len(answer.body) for answer in wire.final_responses] == [100, 500_000, 14, 100, 500_000]
