# SPDX-License-Identifier: Apache-2.0
"""The process that computes weights: imports `module:function` and answers one line of JSON with another.

Run by `weights.Weighing` with the function's name. An empty line says that the import was tried: what the
import takes is not counted against the first answer. Whatever the user's code prints goes to the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import queue
import sys
import threading
from collections.abc import Mapping
from typing import Any

from tidegate.functions import _log
from tidegate.weighing import MARK, EndpointStatus

MOST = 1000.0


class Wrong(Exception):
    """The function cannot be used, or what it returned."""


def load(handler: str) -> Any:
    """The function, which must be marked by `@weights`.

    Raises:
        Wrong: It is not there, its module fails, or it is not marked.
    """
    module, _, attribute = handler.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise Wrong(f"importing {handler} failed: {type(error).__name__}: {error}") from error
    if not getattr(found, MARK, False):
        raise Wrong(f"{handler} is no function for weights; write `@tidegate.weights` above it")
    return found


def judged(answer: Any, addresses: set[str]) -> dict[str, float]:
    """The weights that were returned.

    Raises:
        Wrong: They are no mapping from these addresses to numbers from 0 to 1000.
    """
    if not isinstance(answer, Mapping):
        raise Wrong(f"returned {type(answer).__name__}; return a mapping from addresses to numbers")
    for address, weight in answer.items():
        if address not in addresses:
            raise Wrong(f"returned a weight for {address!r}, which is no endpoint of this backend")
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= MOST:
            raise Wrong(f"returned {weight!r} for {address}; return a number from 0 to {MOST:g}")
    return {str(address): float(weight) for address, weight in answer.items()}


def main() -> None:
    """Answers until nobody asks any more."""
    answers = os.fdopen(os.dup(1), "w")
    log = _log.install("weights")
    asked: queue.Queue[str] = queue.Queue()
    # Code that hangs must not keep this process when control is gone.
    threading.Thread(target=_listen, args=(asked,), daemon=True).start()
    sys.path.insert(0, os.getcwd())
    function: Any = None
    with contextlib.suppress(Wrong):
        function = load(sys.argv[1])
    print(file=answers, flush=True)
    with asyncio.Runner() as runner:
        while True:
            endpoints = [EndpointStatus(**each) for each in json.loads(asked.get())]
            try:
                function = function or load(sys.argv[1])
                answer = function(endpoints)
                if asyncio.iscoroutine(answer):
                    answer = runner.run(answer)
                told: dict[str, Any] = {"weights": judged(answer, {each.address for each in endpoints})}
            except Wrong as wrong:
                told = {"error": str(wrong)}
            except Exception as error:
                told = {"error": f"raised {type(error).__name__}: {error}"}
                log.failure(f"{sys.argv[1]} {told['error']}", error)
            print(json.dumps(told), file=answers, flush=True)


def _listen(asked: queue.Queue[str]) -> None:
    for line in sys.stdin:
        asked.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
