# SPDX-License-Identifier: Apache-2.0
"""The proxies compared: for each how it is driven (`NAME.py`) and its configuration."""

from benches.proxy.peers.asyncio_peer import AsyncioProxy
from benches.proxy.peers.caddy import Caddy
from benches.proxy.peers.envoy import Envoy
from benches.proxy.peers.haproxy import Haproxy
from benches.proxy.peers.nginx import Nginx
from benches.proxy.peers.peer import Peer
from benches.proxy.peers.tidegate import Tidegate

PEERS: list[type[Peer]] = [Tidegate, Nginx, Haproxy, Envoy, Caddy, AsyncioProxy]

__all__ = ["PEERS", "Peer"]
