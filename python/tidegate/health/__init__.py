# SPDX-License-Identifier: Apache-2.0
"""Rooms of health checks, one folder each: how endpoints are probed."""
