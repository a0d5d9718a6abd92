# SPDX-License-Identifier: Apache-2.0
"""Requests in a row from several clients, until told to stop; each one not answered with 200 counts."""

import http.client
import threading
from types import TracebackType
from typing import Self

PATIENCE = 30.0


class Traffic:
    """Clients that ask again and again, half of them on connections that they keep.

    Attributes:
        answers: What each answer said, in the order they came.
        lost: What went wrong, one text for each request that was not answered with 200.
    """

    def __init__(self, port: int, clients: int = 4, path: str = "/") -> None:
        self.answers: list[str] = []
        self.lost: list[str] = []
        self._port, self._path = port, path
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._ask, args=[number % 2 == 0]) for number in range(clients)
        ]

    def heard(self, answer: str, since: int = 0) -> bool:
        """Whether an answer came after the first `since`."""
        return answer in self.answers[since:]

    def _ask(self, keeps: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        while not self._stop.is_set():
            try:
                connection.request("GET", self._path)
                response = connection.getresponse()
                body = response.read().decode()
                if response.status == 200:
                    self.answers.append(body)
                else:
                    self.lost.append(f"status {response.status}: {body}")
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection.close()
            if not keeps:
                connection.close()
        connection.close()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(PATIENCE * 2)
