# SPDX-License-Identifier: Apache-2.0
"""The node's entry: hands over to the compiled module and does not come back before the end.

Run by the supervisor as `python -m tidegate._node`, with the listening socket of `node.sock` as
descriptor 3 and its settings in TIDEGATE_NODE. Those that are not known yet when it is started come through
descriptor 4.
"""

import json
import os
import sys
from datetime import datetime

from tidegate._build import build, version
from tidegate.events import FORMS, resolve


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
    own = {"version": version(), "build": build(), "log_offset_s": _log_offset()}
    settings = json.loads(text) | own
    if "threads" not in settings:
        with open(4, "rb") as pipe:
            rest = pipe.read()
        if not rest:
            # The configuration was refused, or the supervisor is gone.
            return 0
        settings |= json.loads(rest)
    return _engine.run_node(json.dumps(settings))


def _log_offset() -> int | None:
    """How far local time is east of UTC, in seconds, where the log is for people; none where it is JSON."""
    asked = os.environ.get("TIDEGATE_LOG_FORMAT")
    if resolve(next((form for form in FORMS if form == asked), "auto")) == "json":
        return None
    offset = datetime.now().astimezone().utcoffset()
    return round(offset.total_seconds()) if offset else 0


if __name__ == "__main__":
    sys.exit(main())
