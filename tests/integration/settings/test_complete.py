# SPDX-License-Identifier: Apache-2.0
"""Whether each setting that reaches the node is shown by a test of this folder."""

import importlib
import re
from pathlib import Path

from .kit import SHOWN

_HERE = Path(__file__).parent
_WIRE = Path(__file__).parents[3] / "crates" / "config" / "src" / "generated.rs"
_ZONES = "tests/integration/balancing/test_zones.py"
_AFFINITY = "tests/integration/balancing/test_affinity.py"
_PROXY = "tests/integration/l4/test_proxy_protocol.py"
_L4 = "tests/integration/l4/test_choice.py"
_OVERLOAD = "tests/integration/balancing/test_overload.py"
_ELSEWHERE = {
    "BackendLimits.requests": _OVERLOAD,
    "BackendLimits.total_requests": _OVERLOAD,
    "BackendLimits.total_connections": _OVERLOAD,
    "PassiveHealth.statuses": _OVERLOAD,
    "PassiveHealth.exclude_at_most": _OVERLOAD,
    "PassiveHealth.interval": _OVERLOAD,
    "PassiveHealth.success_rate": _OVERLOAD,
    "PassiveHealth.latency": _OVERLOAD,
    "RateOutliers": _OVERLOAD,
    "LatencyOutliers": _OVERLOAD,
    "Backend.adaptive_concurrency": _OVERLOAD,
    "AdaptiveConcurrency": _OVERLOAD,
    "GatewaySettings.memory": "tests/integration/bad_days/test_memory.py",
    "GatewaySettings.zone": _ZONES,
    "Backend.zones": _ZONES,
    "Backend.failover": _ZONES,
    "Zones": _ZONES,
    "Failover": _ZONES,
    "Endpoint.priority": _ZONES,
    "Backend.affinity": _AFFINITY,
    "Affinity": _AFFINITY,
    "Backend.start_wait": "`processes.wait`: tests/integration/processes/test_lives.py",
    "Listener.named_only": "tests/integration/reload/test_listeners.py",
    "Listener.tls": "tests/integration/tls",
    "Backend.tls": "tests/integration/tls/test_backend.py",
    "BackendTls": "tests/integration/tls/test_backend_terms.py",
    "ClientCertificates": "tests/integration/tls/test_client_certificates.py",
    "Backend.http2": "tests/integration/http2/test_endpoints.py",
    "Listener.http2": "tests/integration/http2/test_exchanges.py",
    "Listener.http3": "tests/integration/http3/test_exchanges.py",
    "Http3": "tests/integration/http3/test_exchanges.py",
    "ListenerLimits.streams": "tests/integration/http2/test_limits.py",
    "Listener.redirect": "tests/integration/tls/test_secure.py",
    "ListenerRedirect": "tests/integration/tls/test_secure.py",
    "Listener.forward": "tests/integration/forward",
    "ForwardProxy": "tests/integration/forward",
    "ForwardUser": "tests/integration/forward/test_who.py",
    "ForwardLimits": "tests/integration/forward/test_who.py",
    "ForwardLimits.upload": "tests/integration/forward/test_rates.py",
    "ForwardLimits.download": "tests/integration/forward/test_rates.py",
    "ForwardParent": "tests/integration/forward/test_parents.py",
    "ForwardRule": "tests/integration/forward/test_where.py",
    "ForwardDns": "tests/integration/forward/test_where.py",
    "ForwardTimeouts": "tests/integration/forward/test_times.py",
    "Hsts": "tests/integration/tls/test_secure.py",
    "ListenerTls": "tests/integration/tls/test_certificates.py and test_terms.py",
    "Certificate": "tests/integration/tls/test_certificates.py",
    "Certificate.ocsp": "tests/integration/tls/test_stapling.py",
    "Certificate.ocsp_until": "tests/integration/tls/test_stapling.py",
    "ListenerTimeouts.first_bytes": "tests/integration/l4/test_mixed.py",
    "ListenerTimeouts.handshake": "tests/integration/tls/test_listener.py",
    "Files": "tests/integration/files and test_files.py",
    "Retries.grpc_statuses": "tests/integration/grpc/test_retries.py",
    "Route.web": "tests/integration/grpc/test_web.py",
    "GrpcWeb": "tests/integration/grpc/test_web.py and test_cors.py",
    "Cors": "tests/integration/grpc/test_cors.py",
    "Route.try_files": "tests/integration/files/test_before_a_backend.py",
    "RouteOrder": "the order of routes: tests/integration/oracle, and of connections: " + _L4,
    "L4Route": _L4,
    "L4Match": _L4 + ", and of QUIC: tests/integration/l4/test_quic.py",
    "Listener.proxy_protocol": _PROXY,
    "ProxyProtocol": _PROXY,
    "Backend.proxy_protocol": _PROXY,
    "L4Timeouts": "tests/integration/l4/test_relay.py",
    "PythonPolicy": "python/tidegate/functions/test_live.py",
    "Function": "python/tidegate/functions/test_live.py",
}


def _settings() -> set[str]:
    """`Struct.field` of every field of the wire."""
    found = set()
    for struct, body in re.findall(
        r"^pub struct (\w+) \{\n(.*?)^\}", _WIRE.read_text(), re.MULTILINE | re.DOTALL
    ):
        for name, renamed in re.findall(r"^    pub (?:r#)?(\w+):()", body, re.MULTILINE):
            assert not renamed
            found.add(f"{struct}.{'match' if name == 'matches' else name}")
    return found


def test_every_setting_has_a_test_that_shows_its_effect() -> None:
    for module in _HERE.glob("test_*.py"):
        importlib.import_module(f"{__package__}.{module.stem}")
    missing = {name for name in _settings() - SHOWN if not {name, name.partition(".")[0]} & set(_ELSEWHERE)}
    assert missing == set()
    assert _settings() >= SHOWN
