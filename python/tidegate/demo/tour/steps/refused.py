# SPDX-License-Identifier: Apache-2.0
"""Step: a wrong configuration is refused with the places of its mistakes, and the old one stays."""

from __future__ import annotations

from dataclasses import dataclass

from tidegate.demo.topology import Instance
from tidegate.demo.tour.step import Step, Tour
from tidegate.demo.tour.traffic import Traffic, sample

NAME = "gateway-1"


@dataclass(frozen=True)
class Mistake:
    """A right text, the wrong one in its place, and the word that is wrong."""

    right: str
    wrong: str
    at: str
    says: str


MISTAKES = (
    Mistake("path: /payments, to: payment,", "path: /payments, to: paymet,", "paymet", "payment"),
    Mistake("path: /orders, to: order,", "pathh: /orders, to: order,", "pathh", "path"),
    Mistake("graceful_stop: 2s", "graceful_stop: soon", "soon", "5s"),
)
"""A backend that does not exist, a setting that does not exist, a value of the wrong kind."""


def _instance(tour: Tour) -> Instance:
    return next(instance for instance in tour.running.topology.instances if instance.name == NAME)


def _run(tour: Tour) -> None:
    running, config = tour.running, tour.running.configs["gateway.yaml"]
    for mistake in MISTAKES:
        config.replace(mistake.right, mistake.wrong)
    with Traffic(tour, address=running.address(_instance(tour))) as traffic:
        traffic.wait_more(10)
        if tour.is_broken:
            # What remains without a reload that refuses: start again with what the file says.
            running.instances[NAME].stop(5.0)
            running.restart(NAME)
            said, code = "", 1
        else:
            done = running.tidegate("reload", "--name", NAME)
            said, code = done.stdout + done.stderr, done.returncode
        traffic.wait_more(30)
    count = len(traffic.answers)
    tour.check(
        not traffic.failed and count >= 40,
        f"a file with three mistakes: the old configuration stays, {len(traffic.failed)} of {count} requests "
        f"failed {sample(traffic.failed)}".strip(),
    )
    tour.check(code != 0, f"`tidegate reload` ends with exit code {code}")
    for mistake in MISTAKES:
        place = f"{config.path.name}:{_place(config.text, mistake.at)}"
        tour.check(
            _says(said, place, mistake.says), f"it says `{_message(said, place) or place + ': nothing'}`"
        )


def _place(text: str, word: str) -> str:
    """`line:column` of the first `word`, both from 1."""
    before = text[: text.index(word)]
    return f"{before.count(chr(10)) + 1}:{len(before) - before.rfind(chr(10))}"


def _message(said: str, place: str) -> str:
    line = next((line for line in said.splitlines() if f"{place}:" in line), "")
    return line[line.find(place) :] if line else ""


def _says(said: str, place: str, word: str) -> bool:
    return word in _message(said, place)


def _restore(tour: Tour) -> None:
    running, config = tour.running, tour.running.configs["gateway.yaml"]
    for mistake in MISTAKES:
        if mistake.wrong in config.text:
            config.replace(mistake.wrong, mistake.right)
    if running.instances[NAME].is_running:
        running.tidegate("reload", "--name", NAME)
    else:
        running.add_instance(_instance(tour))
    running.wait_answering(_instance(tour))
    tour.ask("/payments")


STEP = Step(
    name="refused",
    title="A wrong configuration is refused, and the old one stays",
    run=_run,
    broken="the refusal: the gateway is started again with the wrong file",
    restore=_restore,
)
