# SPDX-License-Identifier: Apache-2.0
"""Rooms of policies, one folder each: what happens to a message besides forwarding."""
