# SPDX-License-Identifier: Apache-2.0
"""Connections and datagrams in a network of their own, with addresses and a link as outside."""

from __future__ import annotations

import pytest

from tests.integration.dark.zones import run_inside


@pytest.mark.timeout(120)
@pytest.mark.needs("ip", "unshare", "nsenter")
def test_clients_go_by_their_address_to_their_backend_or_nowhere() -> None:
    """Two addresses, two backends, and one that is denied: TCP and UDP, IPv4 and IPv6."""
    run_inside("tests.integration.l4.inside")
