# SPDX-License-Identifier: Apache-2.0
"""Rooms of discovery, one folder each: where a backend's endpoints come from besides the configuration.

They run in control, in Python alone. Each has its `Settings` and `follow`, which tells what it finds for as
long as it is wanted; `report.py` has what it tells it to.
"""
