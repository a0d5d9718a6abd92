# SPDX-License-Identifier: Apache-2.0
"""tidegate: load balancer, reverse proxy and API gateway in one program.

The models of a configuration, and what user code needs. Everything is imported when first used, so that
`import tidegate` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidegate.config.acme import Acme, ExternalAccount
    from tidegate.config.admission import Admission
    from tidegate.config.affinity import Affinity
    from tidegate.config.backend import (
        Backend,
        BackendLimits,
        BackendTimeouts,
        Endpoint,
        Failover,
        Pool,
        RetryBudget,
        Zones,
    )
    from tidegate.config.backend_tls import BackendTls
    from tidegate.config.clients import ClientCertificates
    from tidegate.config.cors import Cors
    from tidegate.config.custom_policy import CustomPolicy
    from tidegate.config.files import FileCache, Files
    from tidegate.config.forward_proxy import (
        ForwardDns,
        ForwardLimits,
        ForwardPac,
        ForwardParent,
        ForwardProxy,
        ForwardRule,
        ForwardTimeouts,
        ForwardUser,
    )
    from tidegate.config.function import Function
    from tidegate.config.gateway import Gateway
    from tidegate.config.gateway_settings import AccessLog, Admin, Constant, GatewaySettings
    from tidegate.config.grpc import CallPart, GrpcMatch, GrpcRoute
    from tidegate.config.grpc_web import GrpcWeb
    from tidegate.config.hashing import HashPart
    from tidegate.config.l4 import L4Backend, L4Match, L4Timeouts, TcpRoute, TlsRoute, UdpRoute, UdpTimeouts
    from tidegate.config.listener import Http3, Listener, ListenerLimits, ListenerTimeouts, ProxyProtocol
    from tidegate.config.match import FieldMatch, Match, PathMatch
    from tidegate.config.mirror import Mirror
    from tidegate.config.otlp import Otlp, OtlpHeader
    from tidegate.config.overload import AdaptiveConcurrency, LatencyOutliers, PassiveHealth, RateOutliers
    from tidegate.config.pages import ErrorPage, Maintenance
    from tidegate.config.problem import ConfigError, Problem
    from tidegate.config.processes import Processes
    from tidegate.config.registration import Registration
    from tidegate.config.route import Retries, Rewrite, Route, RouteTimeouts
    from tidegate.config.secret import Secret, env, file
    from tidegate.config.secure import Hsts, ListenerRedirect
    from tidegate.config.target import Forward, Redirect, Respond, WeightedBackend
    from tidegate.config.tls import Certificate, ListenerTls
    from tidegate.config.websocket import WebSocket
    from tidegate.config.weighing import ComputedWeights, LoadReport, SlowStart
    from tidegate.functions import CallNext, Identity, Request, Response, policy
    from tidegate.weighing import EndpointStatus, weights

_HOMES = {
    "AccessLog": "config.gateway_settings",
    "Acme": "config.acme",
    "AdaptiveConcurrency": "config.overload",
    "Admin": "config.gateway_settings",
    "Admission": "config.admission",
    "Affinity": "config.affinity",
    "Backend": "config.backend",
    "BackendLimits": "config.backend",
    "BackendTimeouts": "config.backend",
    "BackendTls": "config.backend_tls",
    "CallNext": "functions",
    "CallPart": "config.grpc",
    "Certificate": "config.tls",
    "ClientCertificates": "config.clients",
    "ComputedWeights": "config.weighing",
    "ConfigError": "config.problem",
    "Constant": "config.gateway_settings",
    "Cors": "config.cors",
    "CustomPolicy": "config.custom_policy",
    "Endpoint": "config.backend",
    "EndpointStatus": "weighing",
    "ErrorPage": "config.pages",
    "ExternalAccount": "config.acme",
    "Failover": "config.backend",
    "FieldMatch": "config.match",
    "FileCache": "config.files",
    "Files": "config.files",
    "Forward": "config.target",
    "ForwardDns": "config.forward_proxy",
    "ForwardLimits": "config.forward_proxy",
    "ForwardPac": "config.forward_proxy",
    "ForwardParent": "config.forward_proxy",
    "ForwardProxy": "config.forward_proxy",
    "ForwardRule": "config.forward_proxy",
    "ForwardTimeouts": "config.forward_proxy",
    "ForwardUser": "config.forward_proxy",
    "Function": "config.function",
    "Gateway": "config.gateway",
    "GatewaySettings": "config.gateway_settings",
    "GrpcMatch": "config.grpc",
    "GrpcRoute": "config.grpc",
    "GrpcWeb": "config.grpc_web",
    "HashPart": "config.hashing",
    "Hsts": "config.secure",
    "Http3": "config.listener",
    "Identity": "functions",
    "L4Backend": "config.l4",
    "L4Match": "config.l4",
    "L4Timeouts": "config.l4",
    "LatencyOutliers": "config.overload",
    "Listener": "config.listener",
    "ListenerLimits": "config.listener",
    "ListenerRedirect": "config.secure",
    "ListenerTimeouts": "config.listener",
    "ListenerTls": "config.tls",
    "LoadReport": "config.weighing",
    "Maintenance": "config.pages",
    "Match": "config.match",
    "Mirror": "config.mirror",
    "Otlp": "config.otlp",
    "OtlpHeader": "config.otlp",
    "PassiveHealth": "config.overload",
    "PathMatch": "config.match",
    "Pool": "config.backend",
    "ProxyProtocol": "config.listener",
    "Problem": "config.problem",
    "Processes": "config.processes",
    "RateOutliers": "config.overload",
    "Redirect": "config.target",
    "Registration": "config.registration",
    "Request": "functions",
    "Respond": "config.target",
    "Response": "functions",
    "Retries": "config.route",
    "RetryBudget": "config.backend",
    "Rewrite": "config.route",
    "Route": "config.route",
    "RouteTimeouts": "config.route",
    "Secret": "config.secret",
    "SlowStart": "config.weighing",
    "TcpRoute": "config.l4",
    "TlsRoute": "config.l4",
    "UdpRoute": "config.l4",
    "UdpTimeouts": "config.l4",
    "WebSocket": "config.websocket",
    "WeightedBackend": "config.target",
    "Zones": "config.backend",
    "env": "config.secret",
    "file": "config.secret",
    "policy": "functions",
    "weights": "weighing",
}

__all__ = [
    "AccessLog",
    "Acme",
    "AdaptiveConcurrency",
    "Admin",
    "Admission",
    "Affinity",
    "Backend",
    "BackendLimits",
    "BackendTimeouts",
    "BackendTls",
    "CallNext",
    "CallPart",
    "Certificate",
    "ClientCertificates",
    "ComputedWeights",
    "ConfigError",
    "Constant",
    "Cors",
    "CustomPolicy",
    "Endpoint",
    "EndpointStatus",
    "ErrorPage",
    "ExternalAccount",
    "Failover",
    "FieldMatch",
    "FileCache",
    "Files",
    "Forward",
    "ForwardDns",
    "ForwardLimits",
    "ForwardPac",
    "ForwardParent",
    "ForwardProxy",
    "ForwardRule",
    "ForwardTimeouts",
    "ForwardUser",
    "Function",
    "Gateway",
    "GatewaySettings",
    "GrpcMatch",
    "GrpcRoute",
    "GrpcWeb",
    "HashPart",
    "Hsts",
    "Http3",
    "Identity",
    "L4Backend",
    "L4Match",
    "L4Timeouts",
    "LatencyOutliers",
    "Listener",
    "ListenerLimits",
    "ListenerRedirect",
    "ListenerTimeouts",
    "ListenerTls",
    "LoadReport",
    "Maintenance",
    "Match",
    "Mirror",
    "Otlp",
    "OtlpHeader",
    "PassiveHealth",
    "PathMatch",
    "Pool",
    "Problem",
    "Processes",
    "ProxyProtocol",
    "RateOutliers",
    "Redirect",
    "Registration",
    "Request",
    "Respond",
    "Response",
    "Retries",
    "RetryBudget",
    "Rewrite",
    "Route",
    "RouteTimeouts",
    "Secret",
    "SlowStart",
    "TcpRoute",
    "TlsRoute",
    "UdpRoute",
    "UdpTimeouts",
    "WebSocket",
    "WeightedBackend",
    "Zones",
    "env",
    "file",
    "policy",
    "weights",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'tidegate' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"tidegate.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
