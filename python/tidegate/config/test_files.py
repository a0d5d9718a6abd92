# SPDX-License-Identifier: Apache-2.0
"""Settings of files, good and bad."""

import json
import os
from pathlib import Path

import pytest

from tidegate.config.compile import Compiler
from tidegate.config.files import Files
from tidegate.config.gateway import Gateway
from tidegate.config.listener import Listener
from tidegate.config.load import load, loads
from tidegate.config.problem import ConfigError
from tidegate.config.roots import check_roots
from tidegate.config.route import Route
from tidegate.config.target import Target


def _to(text: str) -> Target:
    return (
        loads(f"listeners: {{ w: {{ port: 1 }} }}\nroutes: [{{ path: /, to: {text} }}]")
        .gateway.http_routes[0]
        .to
    )


def test_every_form_reads_as_the_same_model() -> None:
    for text in (
        "{ files: /srv/site }",
        "{ files: { root: /srv/site } }",
        "{ type: files, root: /srv/site }",
    ):
        assert _to(text) == Files(root="/srv/site")
    assert Route(path="/", to=Files(root="/srv/site")).to == Files(root="/srv/site")
    assert Route(path="/", to={"files": "/srv/site"}).to == Files(root="/srv/site")
    whole = _to(
        """{ files: { root: s, types: { .a: x/y }, cache_control: { "*.js": no-cache, "**": no-store } } }"""
    )
    assert isinstance(whole, Files)
    assert whole.types == [(".a", "x/y")]
    assert whole.cache_control == [("*.js", "no-cache"), ("**", "no-store")]
    assert Files(root="s", cache_control="no-cache").cache_control == [("**", "no-cache")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "root"),
        ("{ root: '' }", "root"),
        ("{ root: s, index: [a/b] }", "is no name of a file"),
        ("{ root: s, index: ['..'] }", "is no name of a file"),
        ("{ root: s, suffixes: [html] }", "write it with its dot"),
        ("{ root: s, suffixes: ['./x'] }", "is no ending of a name"),
        ("{ root: s, fallback: index.html }", "routes[0].to.files.fallback"),
        ("{ root: s, fallback: /app/ }", "names a folder"),
        ("{ root: s, fallback: /../x }", "routes[0].to.files.fallback"),
        ("{ root: s, symlinks: all }", "is not one of them"),
        ("{ root: s, precompressed: [deflate] }", "is not one of them"),
        ("{ root: s, types: { .a: html } }", "is no media type"),
        ("{ root: s, types: { a: text/html } }", "is no ending of a name"),
        ("{ root: s, charset: 'a b' }", "is no name of a charset"),
        ("{ root: s, cache_control: { 'a/b': no-cache } }", "is no pattern"),
        ("{ root: s, cache_control: { '[a]': no-cache } }", "is no pattern"),
        ("{ root: s, ranges: -1 }", "ranges"),
        ("{ root: s, cache: { entries: 1 } }", "entries"),
        ("{ root: s, try: [x] }", "no such setting"),
        ("{ roto: s }", "did you mean `root`"),
    ],
)
def test_a_mistake_says_what_to_write(text: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        _to(f"{{ files: {text} }}")
    assert any(says in str(problem) for problem in raised.value.problems), raised.value.problems


def test_a_rewrite_has_nothing_to_change() -> None:
    with pytest.raises(ConfigError, match="`files`"):
        Route(path="/a", to={"files": "s"}, rewrite={"prefix": "/"})


@pytest.mark.parametrize(
    ("route", "says"),
    [
        ("to: { files: s }, try_files: s", "goes before a backend, but this route is a `files`"),
        ("to: { respond: 200 }, try_files: s", "goes before a backend, but this route is a `respond`"),
        (
            'to: "http://h", try_files: { root: s, fallback: /a.html }',
            "`fallback` would leave nothing to `to`; leave it out of `try_files`",
        ),
        ('to: "http://h", try_files: { root: s, listing: true }', "`listing` would leave nothing to `to`"),
        ('to: "http://h", try_files: { index: [] }', "root: is missing"),
        ('to: "http://h", try_files: [s]', "try_files"),
    ],
)
def test_what_cannot_go_before_a_backend_is_refused(route: str, says: str) -> None:
    with pytest.raises(ConfigError) as raised:
        loads(f"listeners: {{ w: {{ port: 1 }} }}\nroutes: [{{ path: /, {route} }}]")
    assert any(says in str(problem) for problem in raised.value.problems), raised.value.problems


def test_a_folder_alone_may_be_tried_before_a_backend() -> None:
    short = Route(path="/", to="http://h", try_files="s")
    assert short == Route(path="/", to="http://h", try_files=Files(root="s"))


def test_a_relative_root_starts_at_the_file_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(
        "listeners: { w: { port: 1 } }\nroutes: [{ path: /, to: { files: site } },"
        ' { path: /app, to: "http://h:1", try_files: static }]'
    )
    loaded = load(tmp_path / "t.yaml")
    for folder in (tmp_path, tmp_path / "other"):
        snapshot = Compiler().compile(loaded.gateway, folder=folder)
        route, app = (one for (kind, _), one in snapshot.resources.items() if kind == "route")
        assert json.loads(route.value)["to"]["root"] == str(folder / "site")
        assert json.loads(app.value)["try_files"]["root"] == str(folder / "static")


def test_a_root_that_is_not_there_is_a_mistake_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "site").mkdir()
    text = """
listeners: { w: { port: 1 } }
routes:
  - { path: /a, to: { files: site } }
  - { path: /b, to: { files: gone } }
  - { path: /c, to: { files: { root: file } } }
  - { path: /d, to: "http://h:1", try_files: gone }
"""
    loaded = loads(text, "t.yaml")
    with pytest.raises(ConfigError) as raised:
        check_roots(loaded.gateway, tmp_path, loaded.places.where)
    first, second, third = (str(problem) for problem in raised.value.problems)
    assert first.startswith("t.yaml:5: routes[1].to.files.root: there is no folder")
    assert second.startswith("t.yaml:6: routes[2].to.files.root: ") and "is no folder" in second
    assert third.startswith("t.yaml:7: routes[3].try_files.root: there is no folder")
    gateway = Gateway(
        listeners={"w": Listener(port=1)}, routes=[Route(path="/", to={"files": str(tmp_path / "gone")})]
    )
    with pytest.raises(ConfigError, match=r"test_files\.py:\d+"):
        check_roots(gateway, tmp_path)


def test_a_root_that_may_not_be_entered_is_a_mistake(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        assert os.access(tmp_path, os.R_OK)
        return
    (tmp_path / "site").mkdir(mode=0)
    gateway = Gateway(listeners={"w": Listener(port=1)}, routes=[Route(path="/", to={"files": "site"})])
    with pytest.raises(ConfigError, match="may not be read"):
        check_roots(gateway, tmp_path)
