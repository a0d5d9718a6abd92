# SPDX-License-Identifier: Apache-2.0
"""Step: an instance is added by configuration, then drained and taken away, without losing a request."""

from __future__ import annotations

from tidegate.demo.client import Answer, Pending, request
from tidegate.demo.topology import service
from tidegate.demo.tour.held import is_held
from tidegate.demo.tour.step import Step, StepError, Tour

NEW = service("payment", "az-1", 3)
GATEWAYS = ("gateway-1", "gateway-2")
LAST = '      - { address: "127.{block}.2.42:7070", zone: az-2 }\n'
REQUESTS = 60


def _reload(tour: Tour) -> None:
    if tour.is_broken:
        return
    for gateway in GATEWAYS:
        done = tour.running.tidegate("reload", "--name", gateway)
        if done.returncode != 0:
            tour.check(
                False, f"`tidegate reload --name {gateway}` said: {(done.stdout + done.stderr).strip()}"
            )


def _ask(tour: Tour, count: int) -> list[Answer]:
    return [tour.ask("/payments") for _ in range(count)]


def _line(tour: Tour) -> tuple[str, str]:
    last = LAST.replace("{block}", str(tour.running.places.block))
    return last, f'      - {{ address: "{tour.running.address(NEW)}", zone: az-1 }}\n'


def _run(tour: Tour) -> None:
    running, config = tour.running, tour.running.configs["gateway.yaml"]
    running.add_service(NEW)
    running.wait_answering(NEW)
    mark = tour.evidence.mark()
    last, line = _line(tour)
    config.replace(last, last + line)
    _reload(tour)
    answers = _ask(tour, REQUESTS)
    reached = tour.evidence.since(mark, NEW.name, "/payments")
    tour.check(
        bool(reached),
        f"{NEW.name} added to the file, `tidegate reload`: it logged {len(reached)} of {REQUESTS}",
    )
    tour.check(all(answer.status == 200 for answer in answers), f"and all {REQUESTS} were answered")

    request(running.address(NEW), "/control/hold", form={})
    mark = tour.evidence.mark()
    kept = _catch(tour, mark)
    config.replace(line, "")
    _reload(tour)
    mark = tour.evidence.mark()
    answers = _ask(tour, REQUESTS)
    reached = tour.evidence.since(mark, NEW.name, "/payments")
    tour.check(
        not reached,
        f"taken out of the file with a request in flight: it logged {len(reached)} of {REQUESTS} more",
    )
    tour.check(
        all(answer.status == 200 for answer in answers), f"and all {REQUESTS} were answered by the others"
    )
    request(running.address(NEW), "/control/release", form={})
    status = kept.finish()[0]
    tour.check(status == 200, f"released, the one in flight ended well (status {status})")
    running.services[NEW.name].stop(3.0)
    tour.check(all(answer.status == 200 for answer in _ask(tour, 20)), "stopped, and nobody misses it")


def _catch(tour: Tour, mark: dict[str, int]) -> Pending:
    """Sends requests until one is held by the new instance."""
    for _ in range(100):
        pending = tour.send("/payments")
        if is_held(tour, pending, NEW.name, mark, 0):
            return pending
        pending.finish()
    raise StepError(f"100 requests and none reached {NEW.name}")


def _restore(tour: Tour) -> None:
    config = tour.running.configs["gateway.yaml"]
    _, line = _line(tour)
    if line in config.text:
        config.replace(line, "")
    for gateway in GATEWAYS:
        tour.running.tidegate("reload", "--name", gateway)
    if NEW.name in tour.running.services:
        tour.running.services[NEW.name].stop(3.0)


STEP = Step(
    name="instance",
    title="An instance is added by configuration, then drained and removed",
    run=_run,
    broken="the reload: the file changes and nobody is told",
    restore=_restore,
)
