# SPDX-License-Identifier: Apache-2.0
"""Large files, read in pieces."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tidegate.config.load import Loader
from tidegate.config.problem import ConfigError


def large(count: int, change: str = "") -> str:
    routes = "".join(
        f"  # route {n}\n  - name: r{n}\n    path: /p{n}{change if n == count // 2 else ''}\n"
        f"    to: 'http://h:{n % 50 + 1}'\n\n"
        for n in range(count)
    )
    return f"listeners:\n  web: {{ port: 8080 }}\nroutes: # many\n\n{routes}\nbackends:\n  b: [ 'h:1' ]\n"


def test_a_large_file_read_in_pieces_means_what_it_means_whole() -> None:
    text = large(2000)
    loader = Loader()
    pieces = loader.loads([("t", Path("."), text)])
    whole = Loader().loads([("t", Path("."), text.replace("# many", "#\tmany"))])
    assert pieces.gateway == whole.gateway
    assert pieces.places.where(("routes", 1234)) == whole.places.where(("routes", 1234))
    assert pieces.places.where(("backends", "b")) == whole.places.where(("backends", "b"))


def test_a_route_changed_in_a_large_file_is_the_only_one_read_again() -> None:
    loader = Loader()
    before = loader.loads([("t", Path("."), large(2000))]).gateway
    after = loader.loads([("t", Path("."), "# a line more\n" + large(2000, "x"))])
    changed = [
        n
        for n, (old, new) in enumerate(zip(before.http_routes, after.gateway.http_routes, strict=True))
        if old is not new
    ]
    assert changed == [1000]
    line = ("# a line more\n" + large(2000, "x")).splitlines().index("  - name: r1500") + 1
    assert after.places.where(("routes", 1500)) == f"t:{line}"


@pytest.mark.parametrize(
    "break_it",
    [
        lambda text: text.replace("path: /p900", "path: p900"),
        lambda text: text.replace("name: r900", "name: r901"),
        lambda text: text.replace("'http://h:1'\n", '"http://h:1\n', 1),
        lambda text: text.replace("    path: /p900\n", "    path: /p900\n    path: /x\n"),
        lambda text: text.replace("to: 'http://h:1'", "to: *b", 1),
        lambda text: text.replace("name: r900", "name: ${env:GONE}"),
    ],
)
def test_mistakes_in_a_large_file_are_said_as_in_a_small_one(break_it: Callable[[str], str]) -> None:
    text = break_it(large(2000))
    found = []
    for whole in (False, True):
        with pytest.raises(ConfigError) as caught:
            # A tab keeps a text from being cut into pieces.
            given = text.replace("# many", "#\tmany") if whole else text
            Loader(environment={}).loads([("t", Path("."), given)])
        found.append(str(caught.value))
    assert found[0] == found[1]


def test_environment_in_a_large_file_is_read_each_time() -> None:
    text = large(2000).replace("path: /p900\n", "path: /${env:P}\n")
    values = {"P": "one"}
    loader = Loader(environment=values)
    assert loader.loads([("t", Path("."), text)]).gateway.http_routes[900].match.path.value == "/one"
    values["P"] = "two"
    assert loader.loads([("t", Path("."), text)]).gateway.http_routes[900].match.path.value == "/two"
