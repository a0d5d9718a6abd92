# SPDX-License-Identifier: Apache-2.0
"""Rooms of balancing algorithms, one folder each: how a backend picks an endpoint."""
