# SPDX-License-Identifier: Apache-2.0
"""`did you mean`: the nearest of a few known words."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` is likely a slip of, if there is one.

    Spelling with hyphens or in camel case counts as the same word.
    """
    words = list(known)
    plain = _plain(word)
    for candidate in words:
        if _plain(candidate) == plain:
            return candidate
    found = get_close_matches(word, words, n=1, cutoff=0.65)
    if found:
        return found[0]
    begun = [candidate for candidate in words if len(word) >= 3 and candidate.startswith(word)]
    return begun[0] if len(begun) == 1 else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """What to put behind `no such thing`: `; did you mean X?`, or the whole of a short list, or nothing."""
    words = list(known)
    found = nearest(word, words)
    if found is not None:
        return f"; did you mean `{found}`?"
    if 0 < len(words) <= 16:
        return "; known are " + ", ".join(f"`{known_word}`" for known_word in words)
    return ""


def _plain(word: str) -> str:
    return word.replace("-", "").replace("_", "").lower()
