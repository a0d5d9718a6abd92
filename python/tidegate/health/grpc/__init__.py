# SPDX-License-Identifier: Apache-2.0
"""The room `grpc`."""

from tidegate.health.grpc.model import GrpcCheck

Settings = GrpcCheck

__all__ = ["GrpcCheck", "Settings"]
