# SPDX-License-Identifier: Apache-2.0
"""libyaml's errors in our words: what is wrong and what to write instead."""

from __future__ import annotations

import re

import yaml

_NO_BLANK = re.compile(r"\s*[a-z_]+:[{\[\"']")


def place(error: yaml.MarkedYAMLError) -> tuple[int, int]:
    """Line and column of an error, from 0."""
    mark = error.problem_mark or error.context_mark
    return (mark.line, mark.column) if mark is not None else (0, 0)


def words(error: yaml.MarkedYAMLError, text: str) -> str:
    """What is wrong with `text`."""
    problem, context = error.problem or "", error.context or ""
    line, column = place(error)
    began = error.context_mark.line + 1 if error.context_mark is not None else 0
    written = _line(text, line)
    if "scanning an alias" in context:
        return 'a text that begins with `*` needs quotes, as in `"*.example.com"`'
    if "scanning an anchor" in context:
        return "a text that begins with `&` needs quotes"
    if "expected ',' or" in problem:
        if "${" in written[: column + 2]:
            return "`${...}` inside `{ }` or `[ ]` needs quotes"
        closing = "}" if "mapping" in context else "]"
        return f"a `,` or `{closing}` is missing; it was opened on line {began}"
    if "mapping values are not allowed" in problem:
        return "a second `: ` in one line; put the text in quotes, or begin a new line"
    if "cannot start any token" in problem:
        if written[column : column + 1] == "\t":
            return "a tab; indent with blanks"
        return f"a text can not begin with `{written[column : column + 1]}`; put it in quotes"
    if "unexpected end of stream" in problem and "quoted" in context:
        return f"the quotes opened on line {began} are not closed"
    if "expected key" in problem:
        hint = "; a blank is missing behind the `:`" if _NO_BLANK.match(_line(text, began - 1)) else ""
        return f"the indentation does not fit the mapping that began on line {began}{hint}"
    if "expected '-' indicator" in problem:
        return f"the indentation does not fit the list that began on line {began}"
    if "block sequence entries are not allowed" in problem:
        return "a list's `- ` begins on a line of its own"
    if "unknown escape" in problem:
        return "an escape that is not known; in single quotes a `\\` is a plain character"
    return ", ".join(part for part in (problem, context) if part) or "is no YAML"


def _line(text: str, number: int) -> str:
    lines = text.split("\n", number + 1)
    return lines[number] if number < len(lines) else ""
