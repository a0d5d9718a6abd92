# SPDX-License-Identifier: Apache-2.0
"""What `tidegate demo` does with its options."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from types import FrameType

from tidegate.demo.files import MissingFilesError
from tidegate.demo.overview import as_values, draw
from tidegate.demo.places import HTTPS, NoPlaceError
from tidegate.demo.running import TIDEGATE, DemoError, Running
from tidegate.demo.screen import Screen
from tidegate.demo.topology import DEFAULT, TOPOLOGIES, Topology
from tidegate.demo.tour import run_tour
from tidegate.demo.tour.steps import STEPS

OK, RED, USAGE = 0, 1, 2
"""Exit codes: all well; a step was red or the demo could not run; the options make no sense."""


DESCRIPTION = """\
Run a small shop behind a chain of tidegates, all of them real processes on this
machine, until Ctrl-C. Or walk through what the chain does and check each step on
the services' own logs and databases."""
EPILOG = """\
examples:
  tidegate demo
  tidegate demo --topology function --port 9000
  tidegate demo --tour
  tidegate demo --break busy
  tidegate demo --tour --json > result.json

exit codes: 0 all well, 1 a step was red or the demo could not run, 2 wrong options"""


class _InterruptedError(Exception):
    """Ctrl-C or a request to end."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code.

    Args:
        arguments: Those after `tidegate demo`; the process's own without it.
    """
    parser = argparse.ArgumentParser(
        prog="tidegate demo",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--topology", default=DEFAULT, metavar="NAME", help=f"one of {', '.join(TOPOLOGIES)}")
    parser.add_argument("--port", type=int, default=HTTPS, help="of HTTPS, for browsers; 0 takes any")
    parser.add_argument("--tour", action="store_true", help="walk through the steps, check each, and end")
    parser.add_argument(
        "--break", dest="break_step", metavar="STEP", help="the tour with one step's feature switched off"
    )
    parser.add_argument("--list", dest="list_names", action="store_true", help="list topologies and steps")
    parser.add_argument("--json", dest="as_json", action="store_true", help="print the result as JSON")
    return run(**vars(parser.parse_args(arguments)))


def run(
    *,
    topology: str = DEFAULT,
    port: int = HTTPS,
    tour: bool = False,
    break_step: str | None = None,
    list_names: bool = False,
    as_json: bool = False,
    command: Sequence[str] = TIDEGATE,
) -> int:
    """Runs the demo until Ctrl-C, or its tour; returns the exit code.

    Args:
        topology: A name of TOPOLOGIES.
        port: For browsers, over HTTPS on 127.0.0.1; 0 takes any that is free.
        tour: Walk through the steps and check each, then end. Only with the topology `chain`.
        break_step: The name or number of a step whose feature is switched off; implies `tour`.
        list_names: Print topologies and steps, and do nothing.
        as_json: Print the result, or the list, as one JSON object on standard output and progress on
            standard error.
        command: How tidegate is called.
    """
    screen = Screen(sys.stderr if as_json else sys.stdout)
    if list_names:
        _list(screen, as_json)
        return OK
    problem = _problem(topology, tour or break_step is not None, break_step)
    if problem:
        print(f"error: {problem}", file=sys.stderr)
        return USAGE
    try:
        with _signals_as_exceptions():
            if tour or break_step is not None:
                return _tour(port, _step_name(break_step or ""), screen, as_json, command)
            return _show(TOPOLOGIES[topology], port, screen, as_json, command)
    except _InterruptedError:
        screen.line("Ended; nothing is left running.")
        return OK
    except (DemoError, NoPlaceError, MissingFilesError) as error:
        print(f"error: {error}", file=sys.stderr)
        return RED


def _problem(topology: str, tour: bool, break_step: str | None) -> str:
    if topology not in TOPOLOGIES:
        return f"no topology `{topology}`{_nearest(topology, TOPOLOGIES)}; there are {', '.join(TOPOLOGIES)}"
    if tour and topology != DEFAULT:
        return f"the tour walks through the topology `{DEFAULT}` only; leave `--topology` out"
    if break_step is not None and not _step_name(break_step):
        names = [step.name for step in STEPS]
        return f"no step `{break_step}`{_nearest(break_step, names)}; there are {', '.join(names)}"
    return ""


def _nearest(word: str, names: Sequence[str] | dict[str, Topology]) -> str:
    near = get_close_matches(word, list(names), 1)
    return f", did you mean `{near[0]}`" if near else ""


def _step_name(text: str) -> str:
    """The step that is meant by a name or a number from 1; "" for none."""
    for number, step in enumerate(STEPS, 1):
        if text in (step.name, str(number)):
            return step.name
    return ""


def _list(screen: Screen, as_json: bool) -> None:
    if as_json:
        steps = [{"name": step.name, "title": step.title, "break": step.broken} for step in STEPS]
        shown = [{"name": topology.name, "title": topology.title} for topology in TOPOLOGIES.values()]
        print(json.dumps({"topologies": shown, "steps": steps}, indent=2))
        return
    screen.title("Topologies (tidegate demo --topology NAME)")
    for topology in TOPOLOGIES.values():
        screen.line(f"  {topology.name:14} {topology.title}")
    screen.line()
    screen.title("Steps of the tour (tidegate demo --tour; --break STEP switches one feature off)")
    for number, step in enumerate(STEPS, 1):
        screen.line(f"  {number}. {step.name:13} {step.title}")
        screen.line(screen.paint(f"     {'':13} --break switches off {step.broken}", "quiet"))


def _tour(port: int, broken: str, screen: Screen, as_json: bool, command: Sequence[str]) -> int:
    result = run_tour(port, broken, screen, command)
    if as_json:
        print(json.dumps(result.as_json(), indent=2, ensure_ascii=False))
    return OK if result.is_green else RED


def _show(topology: Topology, port: int, screen: Screen, as_json: bool, command: Sequence[str]) -> int:
    screen.line(f"Starting {topology.title} ...")
    with Running(topology, port, command=command) as running:
        if as_json:
            print(json.dumps(as_values(running), indent=2), flush=True)
        draw(running, screen)
        # Not signal.pause(): a signal between two checks would be slept through.
        threading.Event().wait()
    return OK


@contextmanager
def _signals_as_exceptions() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP end what runs, once: while everything is ended, more of them wait."""
    raised = False

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise _InterruptedError

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
