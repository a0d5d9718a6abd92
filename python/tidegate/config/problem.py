# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a configuration, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake.

    As text: `file:line:column: path: what is wrong, what to write instead`; parts that are not known are
    left out.
    """

    message: str
    """What is wrong and what to write instead, without a final full stop."""
    path: str = ""
    """Where in the configuration: `routes[2].match.path`; empty for the whole."""
    file: str = ""
    """The file, as the user named it."""
    line: int = 0
    """From 1; 0 is unknown."""
    column: int = 0
    """From 1, in characters; 0 is unknown."""

    @property
    def where(self) -> str:
        """`file:line:column: path`, without the parts that are not known."""
        place = ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        return ": ".join(part for part in (place, self.path) if part)

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class ConfigError(Exception):
    """A configuration with mistakes: all of them, in the order of the files.

    Attributes:
        problems: At least one.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[list[Problem]]]:
        return (ConfigError, (self.problems,))
