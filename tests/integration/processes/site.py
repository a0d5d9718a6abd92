# SPDX-License-Identifier: Apache-2.0
"""A gateway with processes of its own, and what the tests ask of it."""

import contextlib
import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.integration.supervised import DEADLINE, Event, Supervised, supervised

SERVER = Path(__file__).with_name("server.py")
TEXT = """
gateway: {{ threads: 2, graceful_stop: 5s }}
listeners: {{ web: {{ address: 127.0.0.1, port: PORT }} }}
backends:
  app:
    processes:
      command: [python, {server}, "{{port}}"]
      count: {count}
      environment: {{ ANSWER: {answer}{environment} }}
      {settings}
    {backend}
routes: [{{ path: /, to: app }}]
"""


def text(
    answer: str = "one", *, count: int = 2, environment: str = "", settings: str = "", backend: str = ""
) -> str:
    """A configuration whose processes answer with a word.

    Args:
        answer: The word.
        count: How many processes there are.
        environment: More variables, such as `DIES: "1"`.
        settings: More of `processes`.
        backend: More of the backend.
    """
    more = f", {environment}" if environment else ""
    return TEXT.format(
        server=SERVER, answer=answer, count=count, environment=more, settings=settings, backend=backend
    )


@contextlib.contextmanager
def site(folder: Path, configuration: str) -> Iterator[Supervised]:
    """A gateway whose processes all serve."""
    with supervised(folder, configuration) as gateway:
        wait_ready(gateway, told(gateway)["count"])
        yield gateway


def printed(gateway: Supervised, beginning: str, count: int) -> list[Event]:
    """Waits until processes have printed so many lines that begin so."""

    def found() -> list[Event]:
        gateway.log()
        lines = [each for each in gateway.events if each.get("process") == "backend app"]
        return [each for each in lines if each["message"].startswith(beginning)]

    wait_until(lambda: len(found()) >= count, f"{beginning} was not printed {count} times")
    return found()


def status_of(gateway: Supervised) -> int:
    """The status of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        return connection.getresponse().status


def told(gateway: Supervised) -> dict[str, Any]:
    """What `tidegate status` says of the processes of `app`."""
    status = json.loads(gateway.run("status", "--json").stdout)
    found: dict[str, Any] = status["control"]["backends"][0]
    return found


def pids(gateway: Supervised) -> list[int]:
    """The processes that get requests, by their numbers."""
    return [each["pid"] for each in told(gateway)["processes"] if each["state"] == "ready"]


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    """Waits for something that nobody tells."""
    deadline = time.monotonic() + DEADLINE
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def wait_ready(gateway: Supervised, count: int) -> list[int]:
    """Waits until so many processes get requests, and no other is there; returns them."""
    found: list[int] = []

    def is_so() -> bool:
        nonlocal found
        processes = told(gateway)["processes"]
        found = [each["pid"] for each in processes if each["state"] == "ready"]
        return len(found) == len(processes) == count

    wait_until(is_so, f"not {count} processes")
    return found


class Load:
    """Requests all the time, on connections that stay.

    Attributes:
        answers: Bodies that came with 200.
        failures: What else came of a request.
    """

    def __init__(self) -> None:
        self.answers: set[str] = set()
        self.failures: list[str] = []
        self.count = 0


THREADS = 4


@contextlib.contextmanager
def load(gateway: Supervised, path: str = "/") -> Iterator[Load]:
    """Asks from `THREADS` threads until the block ends, at least once each."""
    seen = Load()
    stop = threading.Event()

    def work() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=DEADLINE)
        while True:
            try:
                connection.request("GET", path)
                response = connection.getresponse()
                body = response.read().decode()
                if response.status == 200:
                    seen.answers.add(body)
                else:
                    seen.failures.append(f"{response.status} {body}")
            except (OSError, http.client.HTTPException) as error:
                seen.failures.append(repr(error))
                connection.close()
            seen.count += 1
            # The gateway and its processes need the machine as well.
            if stop.wait(0.002):
                connection.close()
                return

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    try:
        wait_until(lambda: seen.count >= THREADS, "no answers")
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
