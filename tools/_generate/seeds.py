# SPDX-License-Identifier: Apache-2.0
"""Whole inputs for fuzz targets whose form follows from the models."""

from __future__ import annotations

from collections.abc import Iterator

from tidegate.config.compile import compile_gateway
from tidegate.config.gateway import Gateway
from tidegate.config.secret import Secret


def outputs() -> Iterator[tuple[str, str]]:
    """The seeds: path from the root, content."""
    gateway = Gateway.model_validate(
        {
            "gateway": {"threads": 1},
            "listeners": {"web": {"port": 80}},
            "backends": {
                "b": {
                    "endpoints": [{"address": "10.0.0.1:80", "zone": "a"}],
                    "health_check": {"type": "http", "statuses": [200, 204]},
                }
            },
            "functions": {"f": {"handler": "m:f", "workers": 1}},
            "routes": [
                {
                    "name": "a",
                    "hosts": ["a.b"],
                    "match": {
                        "path": "/a/{x}",
                        "methods": ["GET"],
                        "headers": {"x": Secret("hunter2", "env:KEY")},
                    },
                    "policies": [{"type": "request_headers", "set": {"x": "y"}}],
                    "to": "b",
                },
                {"name": "f", "path": "/f", "to": {"function": "f"}},
            ],
        }
    )
    snapshot = compile_gateway(gateway, runtime_directory="/run/t", threads=1)
    yield "fuzz/seeds/delta/whole", snapshot.delta_json(None)
