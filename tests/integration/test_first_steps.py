# SPDX-License-Identifier: Apache-2.0
"""What a newcomer types: every example of `--help` as it stands, and the files of `tidegate init`, served."""

import http.client
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from email.message import Message
from pathlib import Path

import pytest

from tests.integration.supervised import DEADLINE, Supervised, environment, supervised
from tests.ports import free_port
from tidegate.cli import init
from tidegate.cli.commands import app
from tidegate.testing import FakeEndpoint, endpoint

CONFIG = """
gateway: { threads: 1, trusted_proxies: [127.0.0.1] }
listeners: { web: { address: 127.0.0.1, port: PORT } }
backends:
  app: { processes: { command: [PYTHON, -m, http.server, --bind, 127.0.0.1, "{port}"] } }
routes:
  - { name: home, path: /home, to: { respond: home } }
  - { name: app1, path: /app1, to: "http://localhost:9" }
  - { name: app, path: /app, to: app }
  - { name: pay, path: /payments, hosts: [api.myapp.com], to: "http://localhost:9" }
""".replace("PYTHON", sys.executable)
SHOP = """
from tidegate import Gateway, Listener, Route
gateway = Gateway(
    listeners={"web": Listener(address="127.0.0.1", port=PORT)},
    routes=[Route(path="/", to={"respond": "hi"})],
)
"""


def examples() -> list[str]:
    """The lines below `Examples:` of each command's help."""
    told = [command.epilog or "" for command in app.registered_commands]
    # The demo's are those of tests/integration/test_demo_tour.py: each runs for a while.
    return [
        line.strip()
        for text in told
        for line in text.splitlines()[2:]
        if line.strip()[:13] != "tidegate demo"
    ]


STAYS = ("tidegate run ", "tidegate proxy ")
"""What runs until it is stopped."""


def folder_with_files(folder: Path, port: int) -> dict[str, str]:
    """A folder as the examples expect it, and an environment whose PATH has `tidegate`."""
    (folder / "conf.d").mkdir()
    for name, text in (("tidegate.yaml", CONFIG), ("conf.d/web.yaml", CONFIG), ("shop.py", SHOP)):
        (folder / name).write_text(text.replace("PORT", str(port)))
    (folder / "password.txt").write_text("a long one\n")
    programs = folder / "bin"
    programs.mkdir()
    (programs / "tidegate").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tidegate "$@"\n')
    (programs / "tidegate").chmod(0o755)
    given = environment(folder)
    if not given["TIDEGATE_USER"]:
        del given["TIDEGATE_USER"]
    return {**given, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"}


def typed(example: str, folder: Path, given: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """A line typed into bash, which reports the failure of any part of it."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", example],
        env=given,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE,
        check=False,
    )


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Supervised, dict[str, str]]]:
    folder = tmp_path_factory.mktemp("edge")
    port = free_port()
    given = folder_with_files(folder, port)
    with supervised(folder, CONFIG, name="edge", port=port) as gateway:
        yield gateway, given


@pytest.mark.parametrize("example", [each for each in examples() if not each.startswith(STAYS)])
def test_an_example_of_the_help_works(
    example: str, edge: tuple[Supervised, dict[str, str]], tmp_path: Path
) -> None:
    gateway, given = edge
    folder = gateway.folder
    line = example.replace(":8080", f":{gateway.port}")
    if line.startswith("pip "):
        # What is installed here is what is tested; the command behind it is ours.
        line = line.partition(" && ")[2]
    if " init " in line:
        # Where no file is yet.
        folder = tmp_path
    if " --record " in line:
        # It records until it is stopped.
        line += " --once"
    if " why " in line:
        # A trusted client's identifier is kept.
        fetch(gateway.port, "/home", **{"X-Request-Id": line.split()[-1]})
    if "zsh" in line or "fish" in line:
        # The shell itself may not be here; what it is handed is judged by the tests of the command line.
        line = re.sub(r"source <\((.*)\)|\| source", r"\1", line)
    done = typed(line, folder, given)
    assert done.returncode == 0, (line, done.stdout, done.stderr)
    if "--json" in line or "schema" in line:
        written = folder / "tidegate.schema.json"
        assert json.loads(done.stdout or written.read_text())


@pytest.mark.parametrize("example", [each for each in examples() if each.startswith(STAYS)])
def test_an_example_that_runs_on_serves_until_it_is_stopped(example: str, tmp_path: Path) -> None:
    port = free_port()
    given = folder_with_files(tmp_path, port)
    line = example.replace(":8080", f":{port}")
    if line.startswith("tidegate proxy") and "--listen" not in line:
        line += f" --listen :{port}"
    process = subprocess.Popen(
        ["bash", "-c", f"exec {line} --log-format json"],
        env=given,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said: list[str] = []
    try:
        for text in process.stderr:
            said.append(text)
            if "configuration applied" in text:
                break
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as connection:
            connection.request("GET", "/")
            assert connection.getresponse().status in (200, 404, 502, 503)
        process.send_signal(signal.SIGTERM)
        said.append(process.stderr.read())
        assert process.wait(DEADLINE) == 0
    except BaseException as error:
        error.add_note("".join(said))
        raise
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(DEADLINE)
        process.stderr.close()


def test_bash_completes_what_is_typed_once_the_script_is_sourced(
    edge: tuple[Supervised, dict[str, str]],
) -> None:
    gateway, given = edge
    script = (
        "source <(tidegate completion bash)\n"
        "COMP_WORDS=(tidegate rel) COMP_CWORD=1\n"
        "_tidegate_completion tidegate\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    done = typed(script, gateway.folder, given)
    assert done.stdout.split() == ["reload"], (done.stdout, done.stderr)


def seen_on_a_terminal(command: list[str], folder: Path, given: dict[str, str]) -> str:
    """What a program prints when its output is a terminal."""
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as screen:
        process = subprocess.Popen(command, env=given, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        said = b""
        while True:
            try:
                piece = screen.read(65536)
            except OSError:
                # How a terminal says that nobody has its other end.
                break
            if not piece:
                break
            said += piece
        assert process.wait(DEADLINE) == 0, said
    return said.decode()


@pytest.mark.parametrize("command", [["explain", "GET", "/home"], ["status"], ["demo", "--list"]])
def test_colour_is_for_terminals_and_can_be_switched_off(
    command: list[str], edge: tuple[Supervised, dict[str, str]]
) -> None:
    gateway, given = edge
    line = [sys.executable, "-m", "tidegate", *command]
    plain = {key: value for key, value in given.items() if key != "NO_COLOR"}
    assert "\x1b[" in seen_on_a_terminal(line, gateway.folder, {**plain, "TERM": "xterm"})
    # https://no-color.org: present and not empty.
    assert "\x1b[" in seen_on_a_terminal(line, gateway.folder, {**plain, "TERM": "xterm", "NO_COLOR": ""})
    for off in ({"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b[" not in seen_on_a_terminal(line, gateway.folder, {**plain, **off})
    assert "\x1b[" not in typed("tidegate " + " ".join(command), gateway.folder, plain).stdout


def fetch(port: int, path: str, method: str = "GET", **fields: str) -> tuple[int, Message, str]:
    """One request: the answer's status, its fields, its body."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE)) as connection:
        connection.request(method, path, headers=fields)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


@pytest.mark.parametrize("template", init.TEMPLATES)
def test_a_file_of_init_is_served(template: str, tmp_path: Path) -> None:
    with ExitStack() as stack:
        text, origins = init.read(f"{template}.yaml").replace("port: 8080", "port: PORT"), []
        for number in range(8081, 8086):
            origins.append(stack.enter_context(endpoint()))
            text = text.replace(f"localhost:{number}", origins[-1].address)
        admin = free_port()
        text = text.replace("9180", str(admin))
        (tmp_path / "hello.py").write_text(init.read("hello.py"))
        gateway = stack.enter_context(supervised(tmp_path, text))
        JUDGES[template](gateway.port, origins, admin)


def reverse_proxy(port: int, origins: list[FakeEndpoint], _admin: int) -> None:
    assert fetch(port, "/app1/x")[0] == fetch(port, "/app2/users")[0] == 200
    assert [origin.messages[-1].target for origin in origins[:2]] == ["/app1/x", "/users"]
    assert fetch(port, "/", Host="status.localhost")[2] == "all is well\n"
    status, fields, _ = fetch(port, "/other")
    assert status == 302 and str(fields["location"]).endswith("/app1")


def load_balancer(port: int, origins: list[FakeEndpoint], _admin: int) -> None:
    assert {fetch(port, "/")[0] for _ in range(60)} == {200}
    served = [any(message.target == "/" for message in origin.messages) for origin in origins]
    assert served == [True, True, True, False, False]
    for origin in origins[:3]:
        assert origin.wait(lambda it: any(each.target == "/healthz" for each in it.messages), DEADLINE)


def api_gateway(port: int, origins: list[FakeEndpoint], admin: int) -> None:
    status, fields, _ = fetch(port, "/users/7", Host="api.localhost")
    assert (status, fields["x-content-type-options"]) == (200, "nosniff")
    assert fetch(port, "/payments", "POST", Host="api.localhost")[0] == 200
    assert any((each.method, each.target) == ("POST", "/payments") for each in origins[2].messages)
    assert {fetch(port, "/home", Host="api.localhost")[0] for _ in range(10)} == {200}
    assert origins[3].messages
    assert fetch(port, "/payments", Host="api.localhost")[0] == 404
    assert fetch(port, "/users/7", Host="elsewhere.example")[0] == 404
    assert "tidegate_" in fetch(admin, "/metrics")[2]


def serverless(port: int, _origins: list[FakeEndpoint], _admin: int) -> None:
    assert fetch(port, "/hello/world")[2] == "hello world\n"
    assert json.loads(fetch(port, "/users/7")[2]) == {"id": "7"}


JUDGES = {
    "reverse-proxy": reverse_proxy,
    "load-balancer": load_balancer,
    "gateway": api_gateway,
    "serverless": serverless,
}
