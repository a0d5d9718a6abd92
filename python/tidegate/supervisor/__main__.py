# SPDX-License-Identifier: Apache-2.0
"""The entry of a supervisor that takes another one's place; the first one is started by `tidegate run`."""

import json
import os
import sys


def main() -> int:
    """Runs until it is told to stop; returns the exit code."""
    from tidegate.supervisor.succession import VARIABLE, Handed, check

    text = os.environ.pop(VARIABLE, "")
    if not text:
        print("error: this is started by `tidegate upgrade`, not by hand", file=sys.stderr)
        return 2
    handed = Handed.read(text)
    if handed.is_check:
        print(json.dumps(check(handed)))
        return 0
    from tidegate.supervisor.run import take_over

    return take_over(handed)


if __name__ == "__main__":
    sys.exit(main())
