# SPDX-License-Identifier: Apache-2.0
"""`python -m tidegate.demo`: the same as `tidegate demo`."""

from __future__ import annotations

import argparse
import sys

from tidegate.demo.command import main
from tidegate.demo.topology import DEFAULT


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tidegate demo", description="Run the shop behind tidegates.")
    parser.add_argument("--topology", default=DEFAULT)
    parser.add_argument("--port", type=int, default=8080, help="for browsers; 0 takes any")
    parser.add_argument("--tour", action="store_true", help="walk through the steps and check each")
    parser.add_argument("--break", dest="break_step", metavar="STEP", help="switch one step's feature off")
    parser.add_argument("--list", dest="list_names", action="store_true", help="topologies and steps")
    parser.add_argument("--json", dest="as_json", action="store_true", help="the result as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main(**vars(_arguments())))
