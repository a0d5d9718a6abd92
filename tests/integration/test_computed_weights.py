# SPDX-License-Identifier: Apache-2.0
"""Weights that a user's Python function computes, through a whole gateway."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tidegate.testing import FakeEndpoint, endpoint, wait_until

from .supervised import Supervised, supervised

FUNCTION = """
import json, os, time
import tidegate
from pathlib import Path

HERE = Path(__file__).parent

@tidegate.weights
{kind} by_file(endpoints):
    print("asked about", len(endpoints))
    text = (HERE / "weights.json").read_text()
    if text == "raise": raise RuntimeError("no figures today")
    if text == "hang": time.sleep(3600)
    if text == "exit": os._exit(3)
    if text == "no mapping": return 7
    return dict(zip([each.address for each in endpoints], json.loads(text)))

def unmarked(endpoints):
    return {{}}
"""


def configuration(*endpoints: FakeEndpoint, handler: str = "figures:by_file", more: str = "") -> str:
    weights = f"weights: {{ handler: '{handler}', every: 50ms, deadline: 500ms {more} }}" if handler else ""
    addresses = ", ".join(f'"{each.address}"' for each in endpoints)
    return f"""
listeners: {{ web: {{ address: 127.0.0.1, port: PORT }} }}
backends: {{ b: {{ endpoints: [{addresses}], balancing: round_robin, {weights} }} }}
routes: [{{ path: /, to: b }}]
"""


def set_weights(folder: Path, text: str) -> None:
    fresh = folder / "weights.new"
    fresh.write_text(text)
    fresh.rename(folder / "weights.json")


def write_function(folder: Path, kind: str = "def") -> None:
    (folder / "figures.py").write_text(FUNCTION.format(kind=kind))
    set_weights(folder, "[1, 3]")


def status(gateway: Supervised) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(gateway.run("status", "--json").stdout)
    return told


def weights_now(gateway: Supervised) -> list[float]:
    backends = (status(gateway)["node"] or {"backends": []})["backends"]
    return [each["weight_now"] for backend in backends for each in backend["endpoints"]]


@pytest.mark.parametrize("kind", ["def", "async def"])
def test_computed_weights_move_traffic_and_survive_the_node(tmp_path: Path, kind: str) -> None:
    write_function(tmp_path, kind)
    with endpoint() as one, endpoint() as two, supervised(tmp_path, configuration(one, two)) as gateway:
        assert wait_until(lambda: weights_now(gateway) == [1, 3])
        before = len(one.messages), len(two.messages)
        for _ in range(40):
            gateway.get()
        assert abs(len(one.messages) - before[0] - 10) <= 2
        set_weights(tmp_path, "[1, 0]")
        assert wait_until(lambda: weights_now(gateway) == [1, 0])
        before = len(one.messages), len(two.messages)
        for _ in range(10):
            gateway.get()
        assert (len(one.messages) - before[0], len(two.messages) - before[1]) == (10, 0)
        # A weight of 0 for all leaves nobody to ask, so all are asked.
        set_weights(tmp_path, "[0, 0]")
        assert wait_until(lambda: weights_now(gateway) == [0, 0])
        gateway.get()
        set_weights(tmp_path, "[2, 1]")
        assert wait_until(lambda: weights_now(gateway) == [2, 1])
        os.kill(gateway.pid("node"), signal.SIGKILL)
        assert wait_until(lambda: weights_now(gateway) == [2, 1])
        [told] = status(gateway)["control"]["weights"]
        assert told["weights"] == {one.address: 2, two.address: 1}
        assert (told["backend"], told["handler"], told["error"]) == ("b", "figures:by_file", "")
        shown = gateway.run("status").stdout
        assert "figures:by_file" in shown and "1 now 2" in shown


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("raise", "raised RuntimeError: no figures today"),
        ("hang", "took over 0.5 s"),
        ("exit", "the process of figures:by_file ended"),
        ("no mapping", "returned int; return a mapping from addresses to numbers"),
        ("[-1, 1]", "returned -1 for 127.0.0.1"),
        ("[1e9, 1]", "return a number from 0 to 1000"),
        ('["1", 1]', "return a number from 0 to 1000"),
        ("[NaN, 1]", "returned nan"),
    ],
)
def test_what_fails_leaves_the_last_weights_and_is_told(tmp_path: Path, wrong: str, says: str) -> None:
    write_function(tmp_path)
    with endpoint() as one, endpoint() as two, supervised(tmp_path, configuration(one, two)) as gateway:
        assert wait_until(lambda: weights_now(gateway) == [1, 3])
        set_weights(tmp_path, wrong)
        gateway.wait_event("weights of b stay as they are", says)
        assert weights_now(gateway) == [1, 3]
        assert says in status(gateway)["control"]["weights"][0]["error"]
        assert gateway.get() == "ok\n"
        set_weights(tmp_path, "[5, 1]")
        gateway.wait_event("weights of b are computed again")
        assert wait_until(lambda: weights_now(gateway) == [5, 1])


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        ("figures:unmarked", "is no function for weights; write `@tidegate.weights` above it"),
        ("figures:missing", "importing figures:missing failed: AttributeError"),
        ("nowhere:by_file", "importing nowhere:by_file failed: ModuleNotFoundError"),
    ],
)
def test_a_function_that_is_none_is_told_and_traffic_goes_on(tmp_path: Path, handler: str, says: str) -> None:
    write_function(tmp_path)
    text = configuration
    with endpoint() as one, supervised(tmp_path, text(one, handler=handler)) as gateway:
        gateway.wait_event("weights of b stay as they are", says)
        assert gateway.get() == "ok\n"


def test_a_change_of_the_configuration_starts_and_ends_it(tmp_path: Path) -> None:
    write_function(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "figures.py").write_text(FUNCTION.format(kind="def"))
    set_weights(elsewhere, "[4, 1]")
    with (
        endpoint() as one,
        endpoint() as two,
        supervised(tmp_path, configuration(one, two, handler="")) as gateway,
    ):
        assert weights_now(gateway) == [1, 1]
        gateway.write(configuration(one, two))
        assert gateway.run("reload", "--name", "t").returncode == 0
        assert wait_until(lambda: weights_now(gateway) == [1, 3])
        gateway.write(configuration(one, two, more=", path: elsewhere"))
        assert gateway.run("reload", "--name", "t").returncode == 0
        assert wait_until(lambda: weights_now(gateway) == [4, 1])
        gateway.write(configuration(one, two, handler=""))
        assert gateway.run("reload", "--name", "t").returncode == 0
        assert wait_until(lambda: weights_now(gateway) == [1, 1])
        assert status(gateway)["control"]["weights"] == []


def test_a_change_that_only_control_uses_is_told(tmp_path: Path) -> None:
    """Such a reload said "configuration unchanged": the node sees none of it."""
    write_function(tmp_path)
    (tmp_path / "endpoints.yaml").write_text("[]")
    with endpoint() as one, endpoint() as two:
        plain = f"gateway: {{ admin: {{ port: {free_port()} }} }}\n" + configuration(one, two)

        def with_part(text: str) -> str:
            return plain.replace("balancing: round_robin,", f"balancing: round_robin, {text},")

        with supervised(tmp_path, plain) as gateway:
            gateway.wait_event("configuration applied")
            for text, changed in (
                (plain.replace("500ms", "600ms"), "weights of b"),
                (with_part("discovery: { type: file, path: endpoints.yaml }"), "discovery of b"),
                (with_part("registration: { token: a-token-of-some-length }"), "registration of b"),
                (plain, "registration of b"),
            ):
                gateway.write(text)
                told = gateway.run("reload", "--name", "t")
                assert told.returncode == 0, told.stderr
                assert changed in gateway.wait_event("configuration applied")["changed"]
            assert gateway.run("reload", "--name", "t").returncode == 0
            gateway.wait_event("configuration unchanged")
