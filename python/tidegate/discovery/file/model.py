# SPDX-License-Identifier: Apache-2.0
"""Settings of `file`."""

from __future__ import annotations

from typing import ClassVar, Literal

from tidegate.config.base import Model
from tidegate.config.types import Duration, FilePath


class FileDiscovery(Model):
    """Endpoints are in a file that something else writes."""

    in_engine: ClassVar[bool] = False

    type: Literal["file"] = "file"
    """The room."""
    path: FilePath
    """A YAML or JSON file, relative to the file that says so."""
    interval: Duration = Duration("1s")
    """How often it is looked at."""
