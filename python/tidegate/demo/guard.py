# SPDX-License-Identifier: Apache-2.0
"""Ends a demo's processes when the demo itself is killed and cannot.

A gateway outlives whoever started it, as it should; one that nobody can see any more should not. Run
as `python -m tidegate.demo.guard FOLDER`, told process identifiers on standard input, one a line.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

from tidegate.demo.process import Member, descendants


def main(folder: Path) -> None:
    """Waits for the end of its input, which comes with the demo's own, and then cleans up."""
    # Whoever stops the demo by its terminal or session must not stop the cleaning.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    watched: list[Member] = []
    for line in sys.stdin:
        member = Member.of(int(line))
        if member is not None:
            watched.append(member)
    left = [member for member in watched if member.is_there()]
    # Looked up before the first is ended: its children would then belong to somebody else.
    family = [child for member in left for child in descendants(member.pid)]
    for member in (*left, *family):
        member.kill()
    for member in (*left, *family):
        member.wait_gone()
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    os.chdir("/")
    main(Path(sys.argv[1]))
