# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven by the DevTools protocol: pages, clicks, keys, and what it noticed."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

DEADLINE = 90.0
"""Seconds for what takes one: the machine may be busy with other tests."""
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-default-apps", "--disable-extensions", "--no-proxy-server", "--remote-debugging-port=0",
)  # fmt: skip


class Page:
    """One page of the browser.

    Attributes:
        errors: What the console showed as an error, and exceptions that nobody caught.
        requested: Every URL that was asked for, by the page or by the browser itself.
        statuses: By URL, the last status that it was answered with.
    """

    def __init__(self, connection: ClientConnection) -> None:
        """Takes a connection to the browser and opens a page in it."""
        self._connection = connection
        self._number = 0
        self._session = ""
        self._loads = 0
        self.errors: list[str] = []
        self.requested: list[str] = []
        self.statuses: dict[str, int] = {}
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self._call(f"{domain}.enable")

    def open(self, url: str) -> None:
        """Types an address and waits for the page."""
        before = self._loads
        failure = self._call("Page.navigate", url=url).get("errorText")
        assert not failure, f"{url}: {failure}"
        self._wait_loaded(before)

    def click(self, selector: str) -> None:
        """Clicks in the middle of an element, which leads to another page, and waits for that."""
        before = self._loads
        self._click(selector)
        self._wait_loaded(before)

    def type(self, selector: str, text: str) -> None:
        """Clicks into a field and types."""
        self._click(selector)
        self._call("Input.insertText", text=text)

    def _click(self, selector: str) -> None:
        where = self.evaluate(
            f"""(() => {{
                const found = document.querySelector({json.dumps(selector)});
                found.scrollIntoView({{block: "center"}});
                const box = found.getBoundingClientRect();
                return [box.x + box.width / 2, box.y + box.height / 2];
            }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            event = {"type": kind, "x": where[0], "y": where[1], "button": "left", "clickCount": 1}
            self._call("Input.dispatchMouseEvent", **event)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        answer = self._call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    @property
    def path(self) -> str:
        """Path and query of the address line."""
        return str(self.evaluate("location.pathname + location.search"))

    @property
    def text(self) -> str:
        """What is to be read on the page."""
        return str(self.evaluate("document.body.innerText"))

    def style(self, selector: str, name: str) -> str:
        """What a property of an element comes to."""
        return str(
            self.evaluate(f"getComputedStyle(document.querySelector({json.dumps(selector)}))[{name!r}]")
        )

    def cookies(self) -> dict[str, str]:
        """By name, the path that each cookie is for; those that scripts do not see as well."""
        return {each["name"]: each["path"] for each in self._call("Storage.getCookies")["cookies"]}

    def hosts(self) -> set[str]:
        """`host:port` of everything that was asked for."""
        urls = [urlsplit(url) for url in self.requested]
        return {url.netloc for url in urls if url.scheme not in ("data", "blob", "about")}

    def _wait_loaded(self, before: int) -> None:
        self._receive_until(lambda: self._loads > before, "the page did not load")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        number = self._number
        message = {"id": number, "method": method, "params": parameters}
        if self._session and not method.startswith(("Target.", "Storage.")):
            message["sessionId"] = self._session
        self._connection.send(json.dumps(message))
        answers: list[dict[str, Any]] = []
        self._receive_until(lambda: bool(answers), f"{method} was not answered", number, answers)
        assert "error" not in answers[0], f"{method}: {answers[0]['error']}"
        result: dict[str, Any] = answers[0]["result"]
        return result

    def _receive_until(
        self,
        is_so: Callable[[], bool],
        otherwise: str,
        number: int = 0,
        answers: list[dict[str, Any]] | None = None,
    ) -> None:
        deadline = time.monotonic() + DEADLINE
        while not is_so():
            try:
                message = json.loads(self._connection.recv(max(deadline - time.monotonic(), 0.0)))
            except TimeoutError:
                raise AssertionError(f"{otherwise}; it noticed {self.errors}") from None
            if "method" in message:
                self._noticed(message["method"], message["params"])
            elif answers is not None and message.get("id") == number:
                answers.append(message)

    def _noticed(self, method: str, said: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loads += 1
        elif method == "Network.requestWillBeSent":
            self.requested.append(said["request"]["url"])
            if "redirectResponse" in said:
                self.statuses[said["redirectResponse"]["url"]] = said["redirectResponse"]["status"]
        elif method == "Network.responseReceived":
            self.statuses[said["response"]["url"]] = said["response"]["status"]
        elif method == "Log.entryAdded" and said["entry"]["level"] == "error":
            self.errors.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("error", "assert"):
            self.errors.append(json.dumps(said["args"]))
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(said["exceptionDetails"]))


@contextlib.contextmanager
def browser(folder: Path, host: str) -> Iterator[Page]:
    """A browser that takes `host` for this machine and finds no other.

    Args:
        folder: For its profile.
        host: A name without a port.
    """
    rules = f"MAP {host} 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
    command = [
        "chromium",
        *_FLAGS,
        f"--user-data-dir={folder}",
        f"--host-resolver-rules={rules}",
        "about:blank",
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        with connect(_address(folder, process), max_size=None) as connection:
            yield Page(connection)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(folder: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the browser that was started listens; it writes that to its profile."""
    file = folder / "DevToolsActivePort"
    deadline = time.monotonic() + DEADLINE
    while True:
        lines = file.read_text().splitlines() if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        assert process.poll() is None, "the browser ended"
        assert time.monotonic() < deadline, "the browser did not start"
        time.sleep(0.05)
