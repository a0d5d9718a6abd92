# SPDX-License-Identifier: Apache-2.0
"""The node's entry: hands over to the compiled module and does not come back before the end.

Run by the supervisor as `python -m tidegate._node`, with the listening socket of `node.sock` as
descriptor 3 and its settings in TIDEGATE_NODE. Those that are not known yet when it is started come through
descriptor 4.
"""

import json
import os
import sys

from tidegate._build import build, version
from tidegate.events import Events, asked


def main() -> int:
    """Runs the node until it has drained; returns its exit code."""
    text = os.environ.pop("TIDEGATE_NODE", "")
    if not text:
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
    own = {"version": version(), "build": build(), "log_offset_s": Events("node", asked()).offset_s}
    settings = json.loads(text) | own
    if "threads" not in settings:
        with open(4, "rb") as pipe:
            rest = pipe.read()
        if not rest:
            # The configuration was refused, or the supervisor is gone.
            return 0
        settings |= json.loads(rest)
    return _engine.run_node(json.dumps(settings))


if __name__ == "__main__":
    sys.exit(main())
