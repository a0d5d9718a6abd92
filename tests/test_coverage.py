# SPDX-License-Identifier: Apache-2.0
"""The page that says what proves what names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "internals" / "coverage.md"
FOLDERS = (ROOT, ROOT / "tests", ROOT / "python" / "tidegate", ROOT / "crates")
"""Where the page's paths begin."""
DEFINED = {
    ".py": r"^(?:async )?def {name}\(",
    ".rs": r"^ *(?:async )?fn {name}\(",
    ".yaml": r"^- id: {name}$",
}


def missing(reference: str) -> str | None:
    """What of `file` or `file::name` is not there."""
    path, _, name = reference.partition("::")
    file = next((folder / path for folder in FOLDERS if (folder / path).exists()), None)
    if file is None:
        return f"{path}: no such file"
    if name and not re.search(
        DEFINED[file.suffix].format(name=re.escape(name)), file.read_text(), re.MULTILINE
    ):
        return f"{path}: has no {name}"
    return None


def test_every_test_that_is_named_is_there():
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    named = [name for row in rows for name in re.findall(r"`([\w./-]+\.(?:py|rs|yaml)(?:::[\w-]+)?)`", row)]
    assert len(named) > 200
    assert sorted({found for name in named if (found := missing(name))}) == []
