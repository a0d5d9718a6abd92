# SPDX-License-Identifier: Apache-2.0
"""Endpoints over restarts of control."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Final

from tidegate.config.problem import ConfigError
from tidegate.control.endpoints.roster import Roster

_FORM: Final = 1


class Memory:
    """`endpoints.json` in the runtime directory, mode 0600: `form`, which is 1, and `Roster.to_json`."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "endpoints.json"

    def load(self) -> tuple[Roster, str]:
        """What was saved last; an empty roster and why, if it cannot be used."""
        try:
            value = json.loads(self.path.read_bytes())
            if value.pop("form") != _FORM:
                raise ValueError("another version of tidegate wrote it")
            return Roster.from_json(value), ""
        except FileNotFoundError:
            return Roster(), ""
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
            return Roster(), f"{self.path}: {error}"

    def save(self, roster: Roster) -> str:
        """Writes it, whole or not at all, and no file where there is nothing to keep.

        Returns:
            Why not, or nothing.
        """
        fresh = self.path.with_suffix(".json.new")
        known = roster.to_json()
        try:
            if not any(of_backend for kind in known.values() for of_backend in kind.values()):
                self.path.unlink(missing_ok=True)
                return ""
            with contextlib.suppress(FileNotFoundError):
                fresh.unlink()
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                json.dump({"form": _FORM, **known}, file)
            fresh.replace(self.path)
        except OSError as error:
            return f"{self.path}: {error.strerror}"
        return ""
