# SPDX-License-Identifier: Apache-2.0
"""Control's entry: run by the supervisor with its socket as descriptor 3 and `control.sock` as 4."""

import os
import sys


def main() -> int:
    """Runs until the supervisor is gone; returns the exit code."""
    settings = os.environ.pop("TIDEGATE_CONTROL", "")
    if not settings:
        print("error: control is started by `tidegate run`, not by hand", file=sys.stderr)
        return 2
    from tidegate.control.controller import run

    return run(settings)


if __name__ == "__main__":
    sys.exit(main())
