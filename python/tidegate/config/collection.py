# SPDX-License-Identifier: Apache-2.0
"""Keeps Python's cycle collector out of work that makes many objects which all live on."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_MANY: Final = 100_000


@contextmanager
def no_collection() -> Iterator[None]:
    """Switches the cycle collector off for a while, if it was on.

    Reading 10,000 routes makes a million objects and no cycles; looking for some took half of the time. When
    so many were made they are left out of later searches as well, until they are freed by their counts.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            if gc.get_count()[0] > _MANY:
                gc.freeze()
            gc.enable()
