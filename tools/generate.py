# SPDX-License-Identifier: Apache-2.0
"""Writes what follows from the Pydantic models: Rust structs, lists of rooms, JSON Schema, reference pages.

`python tools/generate.py` writes, `--check` fails when something is stale, `--dry-run` names it. Run from
anywhere in the checkout; needs the packages of `tidegate` and nothing compiled.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "python"), str(ROOT)]

from tidegate.config.rooms import AREAS, room, tags  # noqa: E402
from tidegate.config.route import Route  # noqa: E402
from tidegate.config.wire import (  # noqa: E402
    BackendWire,
    EndpointWire,
    FunctionWire,
    GatewayWire,
    L4RouteWire,
    ListenerWire,
    RouteOrder,
)
from tools._generate import pages, rooms, seeds  # noqa: E402
from tools._generate.rust import RustFile  # noqa: E402

COMMAND = "python tools/generate.py"


def outputs() -> Iterator[tuple[str, str]]:
    """Every generated file: path from the root, content."""
    snapshot = RustFile()
    routes = (RouteOrder, Route, L4RouteWire)
    for model in (GatewayWire, ListenerWire, BackendWire, EndpointWire, *routes, FunctionWire):
        snapshot.model(model)
    # Rooms that only function workers run have no folder in Rust; the engine itself reads their settings.
    for area in AREAS:
        for tag in tags(area):
            if not room(area, tag).in_engine:
                snapshot.model(room(area, tag))
    yield "crates/config/src/generated.rs", snapshot.text("python/tidegate/config", crate="crate")
    for area in AREAS:
        yield from rooms.outputs(area)
    yield from pages.outputs(ROOT)
    yield from seeds.outputs()


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; 1 when `--check` found something stale."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="write nothing, fail when a file is stale")
    mode.add_argument("--dry-run", action="store_true", help="write nothing, name the files that are stale")
    options = parser.parse_args(arguments)
    expected = dict(outputs())
    stale = [path for path, text in expected.items() if _current(ROOT / path) != text]
    left_over = [path for path in _generated_before() if path not in expected]
    for path in stale:
        if not (options.check or options.dry_run):
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(expected[path], encoding="utf-8")
            print(f"wrote {path}")
        else:
            print(f"stale: {path}")
    for path in left_over:
        if not (options.check or options.dry_run):
            (ROOT / path).unlink()
            print(f"removed {path}")
        else:
            print(f"left over: {path}")
    if options.check and (stale or left_over):
        print(f"run `{COMMAND}` (or `make generate`) and commit what it writes", file=sys.stderr)
        return 1
    return 0


def _current(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _generated_before() -> list[str]:
    """Files of earlier runs that a later one may not write any more."""
    found = [
        path
        for path in (ROOT / "docs/reference").rglob("*.md")
        if (_current(path) or "").startswith(pages.MARK)
    ]
    for area in AREAS:
        found += (ROOT / "crates" / area / "src").glob("*/config.rs")
    return sorted(str(path.relative_to(ROOT)) for path in found)


if __name__ == "__main__":
    sys.exit(main())
