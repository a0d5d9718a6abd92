# SPDX-License-Identifier: Apache-2.0
"""What one instance of a service must know, read from its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Who this instance is and where its things are."""

    instance: str
    """Its name in logs and answers: `user-1`."""
    zone: str
    """The zone it runs in: `az-1`."""
    data: Path
    """The folder of the databases; instances of one service share a database."""
    logs: Path
    """The folder of the request logs: one `<instance>.jsonl` each."""
    gateway: str
    """Where services and page reach each other, without a slash at the end: `http://127.0.0.1:8080`."""

    @classmethod
    def from_environment(cls, service: str, environment: Mapping[str, str] | None = None) -> Settings:
        """Reads SHOP_INSTANCE, SHOP_ZONE, SHOP_DATA, SHOP_LOGS and SHOP_GATEWAY.

        Args:
            service: Names the instance when SHOP_INSTANCE does not.
            environment: Read instead of the process's own.
        """
        values = os.environ if environment is None else environment
        data = Path(values.get("SHOP_DATA", "shop-data"))
        return cls(
            instance=values.get("SHOP_INSTANCE", service),
            zone=values.get("SHOP_ZONE", "nowhere"),
            data=data,
            logs=Path(values.get("SHOP_LOGS", str(data / "logs"))),
            gateway=values.get("SHOP_GATEWAY", "http://127.0.0.1:8080").rstrip("/"),
        )
