# SPDX-License-Identifier: Apache-2.0
"""Code that loops, leaks, crashes or blocks: what it costs, and what the log says."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tidegate.functions.conftest import ENTRY, Node, Start, eventually

LOOP = """
    import asyncio, time
    async def f(request):
        if request.path == "/loop":
            while True:
                pass
        if request.path == "/later":
            await asyncio.sleep(0)
            while True:
                pass
        if request.path == "/hang":
            time.sleep(3600)
        return "fine"
"""


@pytest.mark.parametrize("path", ["/loop", "/later", "/hang"])
def test_code_that_keeps_the_loop_ends_its_worker(start: Start, path: str) -> None:
    worker = start(LOOP, deadline_ms=200)
    node, other = worker.node(), worker.node()
    first = node.head(path=path, deadline_ms=200)
    second = node.head(path="/fine", deadline_ms=200)
    node.socket.sendall(first[1] + second[1])
    fatal = node.next()
    begun = [first[0]] if path != "/later" else [first[0], second[0]]
    if path == "/later":
        # The other one of the same read had begun and ended before.
        assert (fatal.kind, fatal.exchange) == ("respond", second[0])
        fatal, begun = node.next(), [first[0]]
    assert (fatal.kind, fatal.begun) == ("fatal", begun)
    assert (other.next().kind, worker.wait()) == ("fatal", 4)
    line = worker.log()[-1]
    assert (line["level"], line["function"], line["request"]) == ("error", "f", "req-1")
    assert "held up" in line["message"]
    assert "shop_code.py" in line["traceback"]


def test_a_task_of_the_code_that_keeps_the_loop_ends_its_worker(start: Start) -> None:
    worker = start(
        """
        import asyncio
        async def spin():
            while True:
                pass
        async def f(request):
            asyncio.get_running_loop().create_task(spin())
            return "fine"
        """,
        deadline_ms=200,
    )
    node = worker.node()
    assert node.ask(deadline_ms=200).body == b"fine"
    # Nobody waits; the next request finds out.
    node.begin(deadline_ms=200)
    assert worker.wait() == 4


def test_a_thread_that_never_ends_ends_its_worker_and_gives_back_what_waits(start: Start) -> None:
    worker = start("def f(event, context):\n    while True:\n        pass", "lambda", concurrency=1)
    node = worker.node()
    numbers = [node.begin(deadline_ms=200) for _ in range(3)]
    fatal = node.next()
    assert (fatal.kind, fatal.begun, worker.wait()) == ("fatal", numbers[:1], 4)
    line = worker.log()[-1]
    assert (line["request"], "after its deadline" in line["message"]) == ("req-1", True)


def test_a_crash_costs_the_worker_only(start: Start) -> None:
    worker = start("import os\ndef f(request):\n    os._exit(9)")
    node = worker.node()
    node.begin()
    with pytest.raises(EOFError):
        node.next()
    assert worker.wait() == 9


def test_leaking_code_meets_its_memory_limit(start: Start) -> None:
    worker = start(
        """
        kept = []
        async def f(request):
            kept.append(bytearray(32 << 20))
            return str(len(kept))
        """,
        worker={"memory": 256 << 20},
    )
    node = worker.node()
    answers = [node.ask()]
    while answers[-1].kind == "respond":
        answers.append(node.ask())
    # Threads and the allocator take a little of it.
    assert 3 <= len(answers) - 1 <= 10
    assert (answers[-1].reason, node.next().kind, worker.wait()) == ("memory", "fatal", 5)
    lines = worker.log()
    assert "MemoryError" in lines[-2]["traceback"]
    assert ("memory limit" in lines[-1]["message"], lines[-1]["request"]) == (True, f"req-{len(answers)}")


def test_a_coroutine_that_blocks_within_its_deadline_only_delays(start: Start) -> None:
    worker = start("import time\nasync def f(request):\n    time.sleep(0.3)\n    return 'done'")
    assert worker.node().ask(deadline_ms=400).body == b"done"
    assert worker.process.poll() is None


def test_exceptions_become_errors_and_their_tracebacks_log_lines(start: Start) -> None:
    worker = start(
        """
        import asyncio, logging, sys
        async def f(request):
            print("one\\ntwo", "half", end="")
            print("to stderr", file=sys.stderr)
            logging.getLogger("shop").warning("careful: %s", "x")
            await asyncio.sleep(0)
            asyncio.create_task(chatter())
            if request.path == "/exit":
                sys.exit(3)
            raise ValueError("broken\\nin two lines")
        async def chatter():
            print("from a task")
        """
    )
    node = worker.node()
    assert node.ask().reason == "exception"
    eventually(lambda: len(worker.log()) >= 5)
    assert node.ask(path="/exit").reason == "exception"
    worker.terminate()
    node.close()
    assert worker.wait() == 0
    lines = worker.log()
    assert all(line["function"] == "f" and line["process"] == "worker" for line in lines)
    first = [line for line in lines if line["request"] == "req-1"]
    texts = [line["message"] for line in first]
    assert texts[:4] == [
        "one",
        "to stderr",
        "careful: x",
        "the function failed: ValueError: broken\nin two lines",
    ]
    assert set(texts[4:]) == {"two half" + "from a task"} or "from a task" in texts[4]
    assert [line.get("stream") for line in first[:2]] == ["stdout", "stderr"]
    assert (first[2]["logger"], first[2]["level"]) == ("shop", "warning")
    assert "shop_code.py" in first[3]["traceback"]
    assert "_carry.py" not in first[3]["traceback"]
    assert any("SystemExit" in line["message"] for line in lines)


def test_printed_text_cannot_pass_as_a_line_of_another_request(start: Start) -> None:
    worker = start(
        """
        async def f(request):
            print(request.headers["x-text"])
            print("half of " + request.id, end="")
            return "done"
        """
    )
    node = worker.node()
    forged = '{"request":"req-9"}\r\x85 "}'
    for _ in range(2):
        node.ask(headers=[("x-text", forged)])
    lines = worker.log()
    assert [(line["request"], line["message"]) for line in lines] == [
        ("req-1", forged), ("req-1", "half of req-1"), ("req-2", forged),
    ]  # fmt: skip


def test_what_cannot_be_loaded_is_said_with_what_to_write(start: Start) -> None:
    cases = [
        ({"handler": "shop_code:ff"}, "has no 'ff'; did you mean 'f'?"),
        ({"handler": "shop_cod:f"}, "no module 'shop_cod'; did you mean 'shop_code'?"),
        ({"handler": "shop_code"}, "written as package.module:attribute"),
        ({"handler": "shop_code:limit"}, "cannot be called"),
        ({"kind": "policy"}, "write @policy above it"),
        ({"kind": "lambda"}, "a lambda is a plain def"),
        ({"handler": "shop_code:p"}, "is a @policy: its kind is policy"),
    ]
    code = """
        from tidegate import policy
        limit = 5
        async def f(request):
            pass
        @policy
        async def p(request):
            pass
        """
    for settings, expected in cases:
        options = {"kind": "function", **settings}
        worker = start(code, is_ready=False, **options)
        assert expected in worker.ready["problem"]
        assert (worker.wait(), worker.log()[-1]["message"]) == (3, worker.ready["problem"])
    for code, expected in (
        ("import nowhere_to_be_found", "imports nowhere_to_be_found, which is not installed here"),
        ("1 / 0", "importing shop_code failed"),
        (
            "from tidegate import policy\n@policy\ndef f(request, call_next): pass",
            "importing shop_code failed",
        ),
    ):
        worker = start(code, is_ready=False)
        assert expected in worker.ready["problem"]
        assert "shop_code.py" in worker.log()[-1]["traceback"]


def test_a_draining_worker_finishes_what_it_has(start: Start) -> None:
    worker = start(
        """
        import asyncio
        async def f(request):
            while not released.is_set():
                if request.path == "/release":
                    released.set()
                await asyncio.sleep(0.001)
            return "done"
        released = asyncio.Event()
        """
    )
    node = worker.node()
    number = node.begin()
    worker.terminate()
    assert node.next().kind == "closing"
    # Sent before the node knew.
    late = node.begin(path="/release")
    assert {node.next().exchange, node.next().exchange} == {number, late}
    assert worker.process.poll() is None
    node.close()
    assert worker.wait() == 0


def test_a_drain_does_not_wait_for_ever(start: Start) -> None:
    worker = start(
        "import asyncio\nasync def f(request):\n    await asyncio.sleep(3600)", worker={"grace_ms": 50}
    )
    node = worker.node()
    node.begin()
    worker.terminate()
    assert (node.next().kind, worker.wait()) == ("closing", 0)


def test_a_node_that_breaks_the_protocol_loses_its_connection_only(start: Start) -> None:
    worker = start("async def f(request):\n    return 'fine'")
    good = worker.node()
    for garbage in (b"\xff" * 64, b"\0\0\0\x05\x7f\0\0\0\1", b"\0\0\0\x08\x01\0\0\0\1abc"):
        bad = worker.node()
        bad.socket.sendall(garbage)
        with pytest.raises(EOFError):
            bad.next()
    assert good.ask().body == b"fine"
    assert all("malformed frame" in line["message"] for line in worker.log())


def test_a_node_that_goes_away_has_its_requests_cancelled(start: Start) -> None:
    worker = start(
        """
        import asyncio
        async def f(request):
            try:
                await asyncio.sleep(3600)
            finally:
                print("cancelled")
        """
    )
    node = worker.node()
    node.begin()
    node.begin()
    node.close()
    eventually(lambda: len(worker.log()) == 2)


def test_user_code_runs_in_its_own_environment(start: Start, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "only_here.py").write_text("name = 'only here'")
    worker = start(
        """
        import sys, only_here
        from tidegate import Response
        def missing(name):
            try:
                __import__(name)
            except ImportError:
                return True
        def f(request):
            return [only_here.name, sys.prefix, missing("pydantic"), missing("functions"),
                    sorted(m for m in sys.modules if m.startswith(("tidegate.config", "pydantic", "yaml")))]
        """,
        python=python,
    )
    answer = worker.node().ask()
    assert __import__("json").loads(answer.body) == ["only here", str(tmp_path / "venv"), True, True, []]


def test_the_entry_refuses_to_be_started_by_hand() -> None:
    environment = {key: value for key, value in os.environ.items() if key != "TIDEGATE_WORKER"}
    ended = subprocess.run(
        [sys.executable, "-P", ENTRY], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "by hand" in ended.stderr) == (2, True)
    environment["TIDEGATE_WORKER"] = '{"functions": [{"name": "f", "handler": "a:b", "kind": "web"}]}'
    ended = subprocess.run(
        [sys.executable, "-P", ENTRY], env=environment, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, "unknown kind" in ended.stderr) == (2, True)


def test_a_worker_serves_several_nodes(start: Start) -> None:
    worker = start("async def f(request):\n    return request.path")
    nodes: list[Node] = [worker.node() for _ in range(4)]
    for position, node in enumerate(nodes):
        node.begin(path=f"/{position}")
    assert [node.next().body for node in nodes] == [f"/{position}".encode() for position in range(4)]
