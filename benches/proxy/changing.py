# SPDX-License-Identifier: Apache-2.0
"""Changes a proxy's endpoints beside a load."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable


class Changing:
    """Adds and removes the third endpoint in turn, a change each `pause` seconds, until stopped.

    A change that takes longer than the pause puts off the next, and none is made up for. The last one is
    always a removal, so that every turn begins alike.
    """

    def __init__(self, change: Callable[[bool], None], pause: float) -> None:
        self._change = change
        self._pause = pause
        self._end = threading.Event()
        self._began = time.monotonic()
        self.done = 0
        """Changes made."""
        self.refused = 0
        """Changes that failed; the first is told on standard error."""
        self.seconds = 0.0
        """How long it went on; set by `stop`."""
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        """Ends it, the third endpoint being away."""
        self.seconds = time.monotonic() - self._began
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        is_there = False
        due = time.monotonic()
        while not self._end.is_set() or is_there:
            is_there = not is_there
            try:
                self._change(is_there)
                self.done += 1
            except Exception as error:
                if not self.refused:
                    print(f"bench: a change was refused: {error}", file=sys.stderr)
                self.refused += 1
            due = max(due + self._pause, time.monotonic())
            self._end.wait(max(0.0, due - time.monotonic()))
