# SPDX-License-Identifier: Apache-2.0
"""The supervisor's event loop: descriptors, timers and signals, and nothing else."""

import contextlib
import heapq
import itertools
import os
import selectors
import signal
import time
from collections.abc import Callable, Iterable

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE
SIGNALS = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCHLD,
)
"""What a supervisor listens to."""


class Timer:
    """A call in the future, until it is cancelled."""

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Makes the call not happen."""
        self.callback = None


class Loop:
    """Calls back when descriptors are ready, timers are due or signals came, one at a time."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()
        self._stopped = False
        self._signals: tuple[int, int] | None = None

    def watch(self, descriptor: int, callback: Callable[[int], None], events: int = READ) -> None:
        """Calls `callback(events)` whenever `descriptor` is ready; replaces an earlier watch."""
        try:
            self._selector.modify(descriptor, events, callback)
        except KeyError:
            self._selector.register(descriptor, events, callback)

    def unwatch(self, descriptor: int) -> None:
        """Ends a watch; call it before the descriptor is closed."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(descriptor)

    def after(self, seconds: float, callback: Callable[[], None]) -> Timer:
        """Calls back once, `seconds` from now on the monotonic clock."""
        timer = Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._order), timer))
        return timer

    def handle_signals(self, numbers: Iterable[int], callback: Callable[[int], None]) -> None:
        """Calls back, from the loop and not from within other code, for each of these signals."""
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._signals = (read, write)
        for number in numbers:
            # Nothing to do here: the wake-up descriptor gets the number.
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)

        def received(_events: int) -> None:
            for number in os.read(read, 512):
                callback(number)

        self.watch(read, received)

    def stop(self) -> None:
        """Makes `run` return after the current callback."""
        self._stopped = True

    def run(self) -> None:
        """Calls back until `stop`."""
        while not self._stopped:
            for key, events in self._selector.select(self._wait()):
                # An earlier callback of this round may have ended this watch.
                current = self._selector.get_map().get(key.fd)
                if current is not None and current.data is key.data and not self._stopped:
                    key.data(events)
            self._fire()

    def close(self) -> None:
        """Gives the signals and descriptors back."""
        if self._signals is not None:
            signal.set_wakeup_fd(-1)
            for descriptor in self._signals:
                os.close(descriptor)
        self._selector.close()

    def _wait(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        if not self._timers:
            return None
        return max(self._timers[0][0] - time.monotonic(), 0)

    def _fire(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now and not self._stopped:
            timer = heapq.heappop(self._timers)[2]
            if timer.callback is not None:
                callback, timer.callback = timer.callback, None
                callback()
