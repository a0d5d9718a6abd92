# SPDX-License-Identifier: Apache-2.0
"""What all policies have besides the settings of their rooms."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from tidegate.config.base import Model
from tidegate.config.marks import ControlOnly
from tidegate.config.types import Condition, Flag, Name


class PolicySettings(Model):
    """Settings of a policy: those of its room are a class of their own that derives from this one."""

    name: Annotated[Name | None, ControlOnly()] = None
    """What it is called in logs, metrics, `explain` and `disable`; the name of its room by default."""
    when: Annotated[Condition | None, ControlOnly()] = None
    """A condition in CEL: the policy takes part where it is true."""
    shadow: Annotated[Flag, ControlOnly()] = False
    """Whether it is only tried: what it would have refused is counted and logged, and not done."""
    locked: Annotated[Flag, ControlOnly()] = False
    """Whether nobody further in may `disable` it."""
    on_error: Annotated[Literal["refuse", "continue"], ControlOnly()] = "refuse"
    """What becomes of a request when the policy fails: it is refused, or goes on without it."""

    @property
    def called(self) -> str:
        """The policy's name, its own or that of its room."""
        return self.name or str(self.type)  # type: ignore[attr-defined]

    def use(self) -> dict[str, Any]:
        """What the node is told of it besides the settings of its room."""
        told = {
            "name": self.name,
            "when": self.when,
            "shadow": self.shadow,
            "continues": self.on_error == "continue",
        }
        return {key: value for key, value in told.items() if value}

    def read(self, folder: Path) -> tuple[dict[str, str], list[str]]:
        """What goes to the node once however many routes have the policy, such as what stands in files.

        It is JSON, by the setting that it is of; with it comes what is wrong with it.

        Args:
            folder: What relative paths start from.
        """
        return {}, []

    def found(self, folder: Path) -> Self:
        """The same with its files where they are, wherever that is read from."""
        return self

    def files(self, folder: Path) -> Iterable[Path]:
        """The files that `read` reads."""
        return ()

    def redacted(self) -> tuple[list[str], list[str]]:
        """Fields and query parameters that carry credentials: what no log is to show."""
        return [], []


class Disable(Model):
    """Takes a policy away that stands further out: `{ disable: NAME }`."""

    disable: Name
    """What the policy is called."""
