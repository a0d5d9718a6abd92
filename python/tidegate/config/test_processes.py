# SPDX-License-Identifier: Apache-2.0
import pytest

from tidegate.config.backend import Backend
from tidegate.config.load import loads
from tidegate.config.problem import ConfigError
from tidegate.config.secret import Secret

TEXT = """listeners: {{ web: {{ port: 80 }} }}
backends:
  app:
    processes: {{ {processes} }}
    {backend}
routes: [{{ path: /, to: app }}]
"""
GOOD = 'command: [serve, "{port}"]'


def backend_of(processes: str, backend: str = "") -> Backend:
    return loads(TEXT.format(processes=processes, backend=backend)).gateway.backends["app"]


def test_a_command_with_a_port_is_enough() -> None:
    processes = backend_of(GOOD).processes
    assert processes is not None
    assert (processes.command, processes.count, processes.environment) == (["serve", "{port}"], 1, {})
    assert [int(processes.start_timeout), int(processes.drain_timeout), int(processes.stop_timeout)] == [
        30_000, 30_000, 10_000,
    ]  # fmt: skip


def test_the_port_may_be_in_the_environment_instead() -> None:
    processes = backend_of('command: [serve], environment: { PORT: "{port}" }').processes
    assert processes is not None and processes.environment == {"PORT": "{port}"}


def test_what_comes_from_outside_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE", "postgres://ada:hunter2@db")
    processes = backend_of(f'{GOOD}, environment: {{ DATABASE_URL: "${{env:DATABASE}}" }}').processes
    assert processes is not None and "hunter2" not in repr(processes)
    url = processes.environment["DATABASE_URL"]
    assert isinstance(url, Secret) and url.reveal() == "postgres://ada:hunter2@db"


@pytest.mark.parametrize(
    ("processes", "backend", "says"),
    [
        ("command: [serve]", "", "4:16: backends.app.processes: nothing in `command` or `environment` has"),
        ('command: ["", "{port}"]', "", "the first part of `command` is the program"),
        ("command: []", "", "4:27: backends.app.processes.command"),
        (f"{GOOD}, count: 0", "", "backends.app.processes.count: must be at least 1"),
        (f"{GOOD}, count: 257", "", "backends.app.processes.count: must be at most 256"),
        (f"{GOOD}, environment: {{ A-B: x }}", "", "`A-B` is no name of an environment variable"),
        (f"{GOOD}, environment: {{ A: 3 }}", "", "must be text; put `3` in quotes"),
        (f'{GOOD}, environment: {{ A: "\\0" }}', "", "`A` has a NUL in it"),
        (GOOD, 'endpoints: ["127.0.0.1:1"]', "`processes` are all its endpoints; leave `endpoints` out"),
        (GOOD, "discovery: { type: dns, name: x, port: 1 }", "leave `discovery` out"),
        (GOOD, "registration: { token: 0123456789abcdef }", "leave `registration` out"),
        (f"{GOOD}, workers: 3", "", "`workers` is no setting here; write `count`"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_what_to_write(processes: str, backend: str, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        backend_of(processes, backend)
    assert says in str(refused.value)
