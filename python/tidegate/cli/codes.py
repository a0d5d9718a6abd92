# SPDX-License-Identifier: Apache-2.0
"""Exit codes, and how a command ends early."""

from collections.abc import Sequence
from typing import NoReturn, Protocol

from tidegate.events import fail

OK = 0
FAILED = 1
"""It was tried and did not work."""
USAGE = 2
"""The command line itself is wrong."""
REFUSED = 3
"""The configuration has mistakes, all of them printed."""
NOT_RUNNING = 4
"""No instance runs, or it is not clear which one is meant."""

TEXT = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 configuration refused, 4 instance not running."


class _Problem(Protocol):
    def __str__(self) -> str: ...


def stop(message: str, code: int = FAILED) -> NoReturn:
    """Prints `error: MESSAGE` and ends the command."""
    fail(message)
    raise SystemExit(code)


def refuse(problems: Sequence[_Problem]) -> NoReturn:
    """Prints each problem on a line of its own and ends the command with `REFUSED`."""
    for problem in problems:
        fail(str(problem))
    count = len(problems)
    fail(f"the configuration has {count} mistake{'s' if count != 1 else ''}; nothing was changed")
    raise SystemExit(REFUSED)
