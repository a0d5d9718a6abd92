# SPDX-License-Identifier: Apache-2.0
import asyncio
import json
import os
from pathlib import Path

import pytest

import tidegate
from tidegate.config.compile import Compiler
from tidegate.config.load import loads
from tidegate.config.problem import ConfigError
from tidegate.config.snapshot import Snapshot
from tidegate.control.apply import hashes_of
from tidegate.control.compiled import Compiled, address_of
from tidegate.control.endpoints import Change, Memory, Roster
from tidegate.control.pools import stamp
from tidegate.control.sources import Sources, is_object
from tidegate.control.watch import Watcher

TEXT = """
gateway: { threads: 2, user: web, function_user: code }
listeners:
  web: { address: "::1", port: 8080 }
  local: { address: "unix:/run/x.sock" }
functions:
  hello: { handler: "m:hello", workers: 2, memory: 64MiB, deadline: 3s }
  users: { handler: "m:users", kind: lambda, pool: shared }
  orders: { handler: "m:orders", kind: lambda, pool: shared }
routes: [{ path: /hello, to: { function: hello } }]
"""


@pytest.fixture
def compiled(tmp_path: Path) -> Compiled:
    (tmp_path / "tidegate.yaml").write_text(TEXT)
    return Sources([str(tmp_path / "tidegate.yaml")], tmp_path / "run").read()


def test_listeners_become_addresses_under_the_nodes_keys(compiled: Compiled) -> None:
    assert compiled.addresses() == [
        {"key": "tcp:[::1]:8080", "address": "::1", "port": 8080},
        {"key": "unix:/run/x.sock", "path": "/run/x.sock"},
    ]
    assert address_of("0.0.0.0", 80)["key"] == "tcp:0.0.0.0:80"
    assert (compiled.user, compiled.function_user, compiled.settings()["threads"]) == ("web", "code", 2)


def test_functions_become_pools(compiled: Compiled, tmp_path: Path) -> None:
    pools = {pool["name"]: pool for pool in compiled.pools}
    assert set(pools) == {"hello", "shared"}
    hello = pools["hello"]
    assert hello["sockets"] == [str(tmp_path / "run" / "workers" / f"hello-{n}.sock") for n in (0, 1)]
    assert hello["settings"]["path"] == str(tmp_path.resolve())
    assert hello["settings"]["memory"] == 64 << 20
    assert hello["settings"]["functions"][0]["handler"] == "m:hello"
    assert [each["name"] for each in pools["shared"]["settings"]["functions"]] == ["users", "orders"]


def test_a_pool_changes_with_its_code_and_not_with_that_of_others(tmp_path: Path) -> None:
    (tmp_path / "tidegate.yaml").write_text(TEXT)
    sources = Sources([str(tmp_path / "tidegate.yaml")], tmp_path / "run")
    before = {pool["name"]: pool["hash"] for pool in sources.read().pools}
    assert {pool["name"]: pool["hash"] for pool in sources.read().pools} == before
    (tmp_path / "tidegate.yaml").write_text(TEXT.replace("deadline: 3s", "deadline: 4s"))
    after = {pool["name"]: pool["hash"] for pool in sources.read().pools}
    assert after["hello"] != before["hello"] and after["shared"] == before["shared"]
    (tmp_path / "m.py").write_text("")
    assert {pool["name"]: pool["hash"] for pool in sources.read().pools}["shared"] != before["shared"]


def test_a_stamp_sees_code_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    first = stamp(tmp_path)
    (tmp_path / "data.json").write_text("{}")
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.py").write_text("")
    (tmp_path / "env").mkdir()
    (tmp_path / "env" / "pyvenv.cfg").write_text("")
    (tmp_path / "env" / "b.py").write_text("")
    assert stamp(tmp_path) == first
    (tmp_path / "a.py").write_text("22")
    assert stamp(tmp_path) != first


def test_functions_of_one_pool_have_one_folder(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    text = TEXT.replace('"m:orders", kind', '"m:orders", path: other, kind')
    (tmp_path / "tidegate.yaml").write_text(text)
    with pytest.raises(ConfigError, match="shares pool `shared` with `users` and has another `path`"):
        Sources([str(tmp_path / "tidegate.yaml")], tmp_path / "run").read()


def test_what_was_compiled_survives_the_way_through_a_process(compiled: Compiled) -> None:
    again = Compiled.from_json(json.loads(json.dumps(compiled.to_json())))
    assert again == compiled


def test_threads_on_the_command_line_win(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").write_text(TEXT)
    assert Sources([str(tmp_path / "t.yaml")], tmp_path, threads=7).read().settings()["threads"] == 7


def test_a_module_and_object_is_told_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_object("shop:gateway") and is_object("shop.main:app.gateway")
    assert not is_object("tidegate.yaml") and not is_object("/etc/x.yaml") and not is_object("./a:b")
    (tmp_path / "shop:gateway").write_text("")
    assert not is_object("shop:gateway")
    with pytest.raises(ConfigError, match="alone"):
        Sources(["shop:other", "x.yaml"], tmp_path)


def test_the_nodes_hashes_are_in_its_order() -> None:
    loaded = loads(
        "listeners: { b: { port: 1 }, a: { port: 2 } }\nroutes: [{ path: /, to: { respond: 200 } }]\n"
    )
    snapshot: Snapshot = Compiler().compile(loaded.gateway)
    order = [
        ("gateway", "gateway"),
        ("listener", "a"),
        ("listener", "b"),
        ("route", "/"),
        ("route_order", "routes"),
    ]
    assert hashes_of(snapshot) == "".join(snapshot.resources[key].hash for key in order)


def object_in(folder: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> Sources:
    (folder / "made.py").write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(Path(tidegate.__path__[0]).absolute().parent))
    return Sources(["made:gateway"], folder / "run")


def test_an_object_and_its_file_compile_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sources = object_in(
        tmp_path,
        "from tidegate import Gateway, Listener, Route\n"
        "print('noise')\n"
        "def gateway():\n"
        "    return Gateway(listeners={'web': Listener(port=80)},\n"
        "        routes=[Route(path='/a', to={'respond': 'x'})])\n",
        monkeypatch,
    )
    found = sources.read()
    loaded = loads("listeners: { web: { port: 80 } }\nroutes: [{ path: /a, to: { respond: x } }]\n")
    assert found.snapshot.resources == Compiler().compile(loaded.gateway).resources
    assert found.snapshot.positions["route", "/a"] == "made.py:5"
    assert found.files == [tmp_path / "made.py"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("gateway = 1\n", "is of type int; name a tidegate.Gateway"),
        ("import nowhere\n", "made.py:1: importing made:gateway failed: ModuleNotFoundError"),
        ("def f(:\n", "made.py:1"),
        ("x = 1\n", "has no attribute 'gateway'"),
        ("import os; os._exit(7)\n", "the process ended with code 7"),
        ("import sys; sys.exit('bye')\n", "the process ended with code 1"),
    ],
)
def test_an_object_that_is_none_is_told(
    text: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigError) as caught:
        object_in(tmp_path, text, monkeypatch).read()
    assert says in str(caught.value)


def watched(folder: Path, files: list[Path], code: list[Path], change: "list[Path]") -> int:
    """How often a watcher calls back for a burst of changes, the last of which is to `sentinel`."""

    async def run() -> int:
        calls = 0
        seen = asyncio.Event()

        async def changed() -> None:
            nonlocal calls
            calls += 1
            seen.set()

        watcher = Watcher(changed)
        watcher.watch(files, code)
        # The watch begins when the kernel has it; a change of its own shows that.
        async with asyncio.timeout(20):
            while not seen.is_set():
                probe = files[0].with_suffix(".probe")
                probe.write_text("x")
                os.rename(probe, files[0])
                try:
                    async with asyncio.timeout(0.5):
                        await seen.wait()
                except TimeoutError:
                    continue
        seen.clear()
        calls = 0
        for path in change:
            path.write_text("changed")
        try:
            async with asyncio.timeout(1):
                await seen.wait()
        except TimeoutError:
            return 0
        finally:
            watcher.close()
        return calls

    return asyncio.run(run())


def test_a_burst_of_changes_is_one(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.yaml" for n in range(5)]
    for path in files:
        path.write_text("")
    assert watched(tmp_path, files, [], files) == 1


def test_other_files_beside_do_not_count_and_code_below_does(tmp_path: Path) -> None:
    main = tmp_path / "t.yaml"
    main.write_text("")
    (tmp_path / "code" / "deep").mkdir(parents=True)
    assert watched(tmp_path, [main], [], [tmp_path / "other.txt"]) == 0
    assert watched(tmp_path, [main], [tmp_path / "code"], [tmp_path / "code" / "deep" / "m.py"]) == 1


def test_endpoints_are_kept_on_disk_while_there_are_some(tmp_path: Path) -> None:
    memory = Memory(tmp_path)
    known = Roster(changes={"b": {"127.0.0.1:1": Change(draining=True)}})
    empty = Roster(found={"b": []}, registered={"b": {}}, changes={"b": {}})
    assert not memory.save(empty) and not list(tmp_path.iterdir())
    assert not memory.save(known) and memory.load()[0] == known
    assert not memory.save(empty) and not list(tmp_path.iterdir())
