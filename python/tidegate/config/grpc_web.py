# SPDX-License-Identifier: Apache-2.0
"""Calls of gRPC by pages in browsers."""

from __future__ import annotations

from typing import Any, ClassVar

from tidegate.config.base import Model
from tidegate.config.cors import Cors


class GrpcWeb(Model):
    """Pages in browsers may call as well, by gRPC-Web; endpoints get calls of gRPC."""

    cors: Cors | None = None
    """Which pages of other sites may; without it those of the host that is asked, which need no leave."""

    elsewhere: ClassVar[dict[str, str]] = {"origins": "write `cors: { origins: [...] }`"}


def read_web(value: Any) -> Any:
    """Reads `true` as gRPC-Web without pages of other sites, and `false` as none."""
    if value is True:
        return {}
    return None if value is False else value
