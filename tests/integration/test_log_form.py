# SPDX-License-Identifier: Apache-2.0
"""One form of lines in the log of an instance, whichever process says them and whatever code prints."""

import re
from pathlib import Path

import pytest

from tests.integration.supervised import DEADLINE, Event, Supervised, supervised
from tidegate.testing import endpoint, wait_until

CODE = """
import logging, sys, time

print("imported")

def fails(request):
    print("\\x1b[2J12:00:00 node: forged")
    raise ValueError("one\\n12:00:00 node: two")

def logs(request):
    logging.getLogger("mine").warning("watch out")
    return "ok"

def hangs(request):
    while True:
        time.sleep(0.01)
"""
FIGURES = """
import tidegate

@tidegate.weights
def none(endpoints):
    print("computing")
    raise RuntimeError("no figures")
"""
TEXT = """
listeners: { web: { address: 127.0.0.1, port: PORT } }
functions:
  fails: { handler: "code_of_mine:fails" }
  logs: { handler: "code_of_mine:logs" }
  hangs: { handler: "code_of_mine:hangs", deadline: 200ms }
backends:
  well:
    endpoints: ["WELL"]
    health_check: { type: tcp, interval: 100ms, healthy_after: 1 }
    weights: "figures:none"
  sick:
    endpoints: ["127.0.0.1:1"]
    health_check: { type: tcp, interval: 100ms, unhealthy_after: 1 }
routes:
  - { path: /fails, to: { function: fails } }
  - { path: /logs, to: { function: logs } }
  - { path: /hangs, to: { function: hangs } }
  - { path: /well, to: well }
  - { path: /sick, to: sick }
"""
FOR_PEOPLE = re.compile(
    r"\d\d:\d\d:\d\d (supervisor|node|control|worker|weights): [^\x00-\x1f]+|    [^\x00-\x1f]*"
)


def wait_said(gateway: Supervised, *wanted: str) -> None:
    """Waits until each text is in a message."""

    def is_said() -> bool:
        gateway.log()
        return all(any(text in each["message"] for each in gateway.events) for text in wanted)

    assert wait_until(is_said, DEADLINE), gateway.log()


@pytest.mark.parametrize("form", ["json", "human"])
def test_every_process_writes_lines_of_one_form(tmp_path: Path, form: str) -> None:
    (tmp_path / "code_of_mine.py").write_text(CODE)
    (tmp_path / "figures.py").write_text(FIGURES)
    with (
        endpoint() as upstream,
        supervised(tmp_path, TEXT.replace("WELL", upstream.address), "--log-format", form) as gateway,
    ):
        for path in ("/logs", "/fails", "/hangs"):
            gateway.get(path)
        wait_said(
            gateway,
            f"endpoint {upstream.address} of well is up",
            "endpoint 127.0.0.1:1 of sick is down",
            "watch out",
            "the function failed: ValueError",
            "function worker ends itself",
            "figures:none raised RuntimeError: no figures",
        )
        assert gateway.stop() == 0
        gateway.log()
        events = gateway.events
    if form == "human":
        # A blank line of a trace is indented as well, and came without its blanks.
        said = [each["message"] for each in events if each["message"]]
        assert not [line for line in said if not FOR_PEOPLE.fullmatch(line)]
        return
    assert not [each for each in events if not {"time", "level", "process", "message"} <= set(each)]
    assert {each["process"] for each in events} >= {"supervisor", "node", "control", "worker", "weights"}
    printed = [each for each in events if each.get("stream") == "stdout" and each["process"] == "worker"]
    assert [each["message"] for each in printed if "forged" in each["message"]] == [
        "\x1b[2J12:00:00 node: forged"
    ]
    failure: Event = next(each for each in events if "the function failed" in each["message"])
    assert failure["function"] == "fails" and "ValueError: one\n12:00:00 node: two" in failure["traceback"]
