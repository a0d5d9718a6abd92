# SPDX-License-Identifier: Apache-2.0
"""Customers who keep clicking while something happens."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType

from tidegate.demo.client import Answer, wait_for
from tidegate.demo.tour.step import Tour

SAFE_PATHS = ("/orders?user=1", "/cart/1", "/payments")


class Traffic:
    """Threads that send one request after the other, each on a new connection, until the block ends."""

    def __init__(
        self, tour: Tour, paths: Sequence[str] = SAFE_PATHS, threads: int = 2, address: str = ""
    ) -> None:
        """Takes the tour they are part of; `address` is that of a gateway instead of the load balancer."""
        self._tour = tour
        self._address = address
        self._paths = paths
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._click, args=(n,), daemon=True) for n in range(threads)]
        self.answers: list[Answer] = []

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def failed(self) -> list[Answer]:
        """The answers that were none, or not 200."""
        return [answer for answer in self.answers if answer.status != 200]

    def wait_more(self, count: int, seconds: float = 10.0) -> bool:
        """Whether `count` more answers came within `seconds`, or one failed before that."""
        target = len(self.answers) + count
        return wait_for(lambda: len(self.answers) >= target or bool(self.failed), seconds)

    def _click(self, number: int) -> None:
        while not self._stop.is_set():
            # list.append is atomic; nobody needs the order of two threads.
            self.answers.append(self._tour.ask(self._paths[number % len(self._paths)], address=self._address))
            number += 1


def sample(answers: Sequence[Answer], limit: int = 3) -> str:
    """A few answers as text, for a check that failed."""
    return "; ".join(str(answer) for answer in answers[:limit])
