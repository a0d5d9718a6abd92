# SPDX-License-Identifier: Apache-2.0
"""Where the shop's source and the topologies' files are: beside this package, or in a checkout."""

from __future__ import annotations

from pathlib import Path


class MissingFilesError(Exception):
    """The shop is not there; the text says how to get it."""


def root() -> Path:
    """The folder with `shop/` and `topologies/`.

    A checkout comes first: a copy that a wheel build left beside this package may be older.

    Raises:
        MissingFilesError: There is neither.
    """
    here = Path(__file__).resolve()
    for candidate in (here.parents[3] / "examples", here.parent / "_files"):
        if (candidate / "shop" / "serve.py").is_file() and (candidate / "topologies").is_dir():
            return candidate
    raise MissingFilesError(
        "the shop's files are missing from this installation; reinstall with `pip install --force tidegate`"
    )
