# SPDX-License-Identifier: Apache-2.0
"""Where a backend's requests go: zones, priorities, sessions, limits."""
