# SPDX-License-Identifier: Apache-2.0
"""Policies as listeners, routes and backends name them: rooms, or names of sets in section `policies`."""

from __future__ import annotations

from typing import Annotated

from tidegate.config.base import Model
from tidegate.config.rooms import Rooms

Policy = Annotated[Model, Rooms("policies")]
PolicyUse = Annotated[Model | str, Rooms("policies", named=True)]
Policies = list[PolicyUse]
