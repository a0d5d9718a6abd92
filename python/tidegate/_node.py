# SPDX-License-Identifier: Apache-2.0
"""The node's entry: hands over to the compiled module and does not come back before the end.

Run by the supervisor as `python -m tidegate._node`, with the listening socket of `node.sock` as
descriptor 3 and its settings in TIDEGATE_NODE.
"""

import json
import os
import sys

from tidegate._build import build, version


def main() -> int:
    """Runs the node until it has drained; returns its exit code."""
    settings = os.environ.pop("TIDEGATE_NODE", "")
    if not settings:
        print("error: the node is started by `tidegate run`, not by hand", file=sys.stderr)
        return 2
    try:
        from tidegate import _engine
    except ImportError as error:
        print(
            f"error: the compiled module tidegate._engine cannot be loaded ({error}); "
            "in a checkout `make setup` builds it",
            file=sys.stderr,
        )
        return 1
    # Said by the code that runs, not by the supervisor: that may be of another version.
    return _engine.run_node(json.dumps({**json.loads(settings), "version": version(), "build": build()}))


if __name__ == "__main__":
    sys.exit(main())
