# SPDX-License-Identifier: Apache-2.0
"""Spans and metrics as a collector gets them: one that is a real HTTP server, and decodes what it is sent."""

from __future__ import annotations

import http.server
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from tidegate.config.gateway_settings import GatewaySettings
from tidegate.config.otlp import Otlp
from tidegate.config.problem import ConfigError
from tidegate.testing import RunningGateway, endpoint, gateway, wait_until

from .kit import ask, shows, small

PATIENCE = 30.0
SERVER, CLIENT = 2, 3
"""Kinds of spans."""
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector:
    """What came, decoded; `statuses` are answered first, then 200."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.answer = b"{}"
        self.broken = 0
        self.received: list[tuple[str, dict[str, str], Any]] = []
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fields = {name.lower(): value for name, value in self.headers.items()}
                collector.received.append((self.path, fields, json.loads(body)))
                self.send_response(collector.statuses.pop(0) if collector.statuses else 200)
                self.send_header("Content-Length", str(len(collector.answer)))
                self.end_headers()
                try:
                    self.wfile.write(collector.answer)
                    self.connection.shutdown(socket.SHUT_WR)
                    # Who leaves before it has read the answer breaks the connection under it.
                    self.rfile.read(1)
                except OSError:
                    collector.broken += 1

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def spans(self, kind: int | None = None) -> list[dict[str, Any]]:
        """Every span, or those of a kind, with its attributes as a mapping."""
        out = []
        for path, _, body in list(self.received):
            if path.endswith("/v1/traces"):
                for resource in body["resourceSpans"]:
                    for scope in resource["scopeSpans"]:
                        out += [{**span, "attributes": plain(span["attributes"])} for span in scope["spans"]]
        return [span for span in out if kind in (None, span["kind"])]

    def metrics(self) -> dict[str, Any]:
        """The metrics of the last sending, by name."""
        bodies = [body for path, _, body in list(self.received) if path.endswith("/v1/metrics")]
        if not bodies:
            return {}
        [resource] = bodies[-1]["resourceMetrics"]
        assert plain(resource["resource"]["attributes"])["service.name"] == "edge"
        return {each["name"]: each for each in resource["scopeMetrics"][0]["metrics"]}


def plain(attributes: list[dict[str, Any]]) -> dict[str, str]:
    return {each["key"]: next(iter(each["value"].values())) for each in attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    thread = threading.Thread(target=collector.server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield collector
    finally:
        collector.server.shutdown()
        collector.server.server_close()
        thread.join()


@shows("GatewaySettings.otlp", "Otlp.url", "Otlp.headers", "OtlpHeader.name", "OtlpHeader.value")
def test_a_request_becomes_a_span_of_its_clients_trace_and_the_endpoint_is_told() -> None:
    with collecting() as collector, endpoint() as upstream:
        settings = (
            f"name: edge, otlp: {{ url: '{collector.url}/base/', metrics: false,"
            " headers: [{ name: x-key, value: sesame }] }"
        )
        with small(upstream, settings=settings) as running:
            ask(
                running,
                "/p?token=secret",
                headers=[f"traceparent: 00-{TRACE}-{PARENT}-01", "tracestate: a=1"],
            )
            assert wait_until(lambda: len(collector.spans()) == 2, PATIENCE)
            entry = running.log(1)[0]
        [span], [tried] = collector.spans(SERVER), collector.spans(CLIENT)
        told = upstream.messages[0]
        assert (tried["traceId"], tried["parentSpanId"]) == (TRACE, span["spanId"])
        assert (span["traceId"], span["parentSpanId"]) == (TRACE, PARENT)
        assert told.get("traceparent") == f"00-{TRACE}-{tried['spanId']}-01"
        assert told.get("tracestate") == "a=1"
        assert entry["trace_id"] == TRACE
        assert (span["name"], span["kind"], span["status"]) == ("GET r", 2, {})
        assert 0 < int(span["endTimeUnixNano"]) - int(span["startTimeUnixNano"]) < 60e9
        expected = {
            "http.request.method": "GET",
            "url.path": "/p",
            "url.query": "token=[redacted]",
            "url.scheme": "http",
            "network.protocol.version": "1.1",
            "http.response.status_code": "200",
            "client.address": "127.0.0.1",
            "server.address": "a.test",
            "tidegate.route": "r",
            "tidegate.backend": "b",
            "tidegate.endpoint": upstream.address,
            "tidegate.request_id": entry["request_id"],
        }
        assert expected.items() <= span["attributes"].items()
        path, fields, _ = collector.received[0]
        assert path == "/base/v1/traces" and fields["x-key"] == "sesame"
        assert fields["content-type"] == "application/json"


def test_each_try_is_a_span_of_its_own() -> None:
    """Semantic conventions for HTTP: a client span per request that is sent, resends counted."""
    with (
        collecting() as collector,
        endpoint(fail="refuse") as dead,
        endpoint(503) as sick,
        endpoint() as well,
    ):
        settings = f"otlp: {{ url: '{collector.url}', metrics: false }}"
        route = "rewrite: { prefix: /in }, retries: { attempts: 1, statuses: [503] }"
        places = f'["{dead.address}", "{sick.address}", "{well.address}"]'
        text = f"""
gateway: {{ {settings} }}
listeners: {{ web: {{ port: 0 }} }}
backends:
  b:
    balancing: round_robin
    endpoints: {places}
    passive_health: {{ enabled: false }}
routes: [{{ name: r, path: /, to: b, {route} }}]
"""
        with gateway(text, threads=1) as running:

            def has_spans(count: int) -> bool:
                return len(collector.spans(SERVER)) == count

            def tries() -> list[list[dict[str, Any]]]:
                spans = sorted(collector.spans(CLIENT), key=lambda span: int(span["startTimeUnixNano"]))
                parents = [span["spanId"] for span in collector.spans(SERVER)]
                assert {span["parentSpanId"] for span in spans} <= set(parents)
                return [[span for span in spans if span["parentSpanId"] == parent] for parent in parents]

            for count in range(1, 4):
                assert ask(running, "/p?token=secret&a=1", headers=[f"traceparent: 00-{TRACE}-{PARENT}-01"])
                assert wait_until(partial(has_spans, count), PATIENCE)
        by_endpoint = {each.address: each for each in (dead, sick, well)}
        for of_request in tries():
            for number, span in enumerate(of_request):
                at, attributes = by_endpoint[span["attributes"]["tidegate.endpoint"]], span["attributes"]
                assert (span["name"], span["traceId"]) == ("GET", TRACE)
                assert attributes["url.full"] == f"http://{at.address}/in/p?token=[redacted]&a=1"
                assert f"{attributes['server.address']}:{attributes['server.port']}" == at.address
                assert attributes.get("http.request.resend_count", "0") == str(number)
                assert attributes["tidegate.backend"] == "b"
                status = {dead: None, sick: "503", well: "200"}[at]
                assert attributes.get("http.response.status_code") == status
                error = {dead: "connection_refused", sick: "503", well: None}[at]
                assert attributes.get("error.type") == error
                assert span["status"] == ({"code": 2} if error else {})
                assert int(span["endTimeUnixNano"]) >= int(span["startTimeUnixNano"]) > 0
        ways = {
            tuple(by_endpoint[span["attributes"]["tidegate.endpoint"]] for span in each) for each in tries()
        }
        assert max(map(len, ways)) >= 2 and {each[-1] for each in ways} == {well}
        told = {message.get("traceparent") for at in (sick, well) for message in at.messages}
        heard = [
            span for span in collector.spans(CLIENT) if span["attributes"].get("http.response.status_code")
        ]
        assert told == {f"00-{TRACE}-{span['spanId']}-01" for span in heard}


@shows("Otlp.one_in")
def test_the_clients_word_on_sampling_counts_and_else_the_share() -> None:
    with collecting() as collector, endpoint(respond=[200, 200, 500]) as upstream:
        settings = f"otlp: {{ url: '{collector.url}', one_in: 1000000, metrics: false }}"
        with small(upstream, settings=settings) as running:
            ask(running, headers=[f"traceparent: 00-{TRACE}-{PARENT}-00"])
            ask(running, headers=["traceparent: nonsense", "tracestate: a=1"])
            ask(running, headers=[f"traceparent: 00-{TRACE}-{PARENT}-01"])
            assert wait_until(lambda: len(collector.spans(SERVER)) == 1, PATIENCE)
        [span] = collector.spans(SERVER)
        assert span["status"] == {"code": 2} and span["attributes"]["error.type"] == "500"
        first, second, _ = upstream.messages
        assert re.fullmatch(rf"00-{TRACE}-[0-9a-f]{{16}}-00", first.get("traceparent") or "")
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-00", second.get("traceparent") or "")
        assert second.get("tracestate") is None


@shows("Otlp.traces", "Otlp.metrics", "Otlp.interval")
def test_metrics_are_sent_as_they_are_shown_and_traces_can_be_off() -> None:
    with collecting() as collector, endpoint() as upstream:
        settings = f"name: edge, otlp: {{ url: '{collector.url}', traces: false, interval: 100ms }}"
        with small(upstream, settings=settings) as running:
            given = f"00-{TRACE}-{PARENT}-01"
            for _ in range(3):
                ask(running, headers=[f"traceparent: {given}"])
            assert {message.get("traceparent") for message in upstream.messages} == {given}

            def requests() -> float:
                found = collector.metrics().get("tidegate_requests_total")
                return sum(point["asDouble"] for point in found["sum"]["dataPoints"]) if found else 0

            assert wait_until(lambda: requests() == 3, PATIENCE)
            metrics = collector.metrics()
            total = metrics["tidegate_requests_total"]["sum"]
            assert total["isMonotonic"] and total["aggregationTemporality"] == 2
            assert plain(total["dataPoints"][0]["attributes"]) == {"route": "r", "status": "2xx"}
            [point] = metrics["tidegate_request_duration_seconds"]["histogram"]["dataPoints"]
            assert sum(map(int, point["bucketCounts"])) == int(point["count"]) == 3
            assert len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1
            assert "dataPoints" in metrics["tidegate_endpoint_up"]["gauge"]
        assert collector.spans() == []


def test_what_a_busy_collector_does_not_take_is_sent_again() -> None:
    with collecting() as collector, endpoint() as upstream:
        collector.statuses = [503]
        settings = f"otlp: {{ url: '{collector.url}', metrics: false }}"
        with small(upstream, settings=settings) as running:
            ask(running)
            assert wait_until(lambda: len(collector.spans(SERVER)) == 2, PATIENCE)
        for kind in (SERVER, CLIENT):
            first, again = collector.spans(kind)
            assert first == again


def _lost(running: RunningGateway) -> int:
    page = ask(running, "/metrics", port=running.ports["admin"]).body.decode()
    found = re.search(r"^tidegate_otlp_lost_spans (\d+)$", page, re.MULTILINE)
    return 0 if found is None else int(found[1])


def test_without_a_collector_requests_go_on_and_what_is_lost_is_counted() -> None:
    with collecting() as collector:
        url = collector.url
    settings = f"admin: {{}}, otlp: {{ url: '{url}', metrics: false }}"
    with endpoint() as upstream, small(upstream, settings=settings) as running:
        for _ in range(3):
            assert ask(running).status == 200
        assert wait_until(lambda: _lost(running) >= 3, PATIENCE)


@pytest.mark.parametrize("number", ["2", '"2"'])
def test_what_a_collector_rejects_of_a_batch_is_counted(number: str) -> None:
    with collecting() as collector, endpoint() as upstream:
        collector.answer = f'{{"partialSuccess": {{"rejectedSpans": {number}}}}}'.encode()
        settings = f"admin: {{}}, otlp: {{ url: '{collector.url}', metrics: false }}"
        with small(upstream, settings=settings) as running:
            ask(running)
            assert wait_until(lambda: _lost(running) == 2, PATIENCE)
        # It had its answer read to the end.
        assert collector.broken == 0


def test_the_last_spans_are_sent_when_the_node_stops() -> None:
    with collecting() as collector, endpoint() as upstream:
        settings = f"otlp: {{ url: '{collector.url}', metrics: false }}"
        with small(upstream, settings=settings) as running:
            ask(running, headers=["Referer: x"])
        assert [span["kind"] for span in collector.spans()] == [SERVER, CLIENT]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("https://c.test:4318", "send to one nearby"),
        ("http://c.test", "write `http://host:4318`"),
        ("c.test:4318", "write `http://host:4318`"),
        ("http://u:p@c.test:4318", "`headers` take credentials"),
        ({"url": "http://c.test:4318", "interval": "1ms"}, "at least 100ms"),
        ({"url": "http://c.test:4318", "one_in": 0}, "greater than or equal to 1"),
    ],
)
def test_what_is_no_collector_is_refused(setting: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        Otlp.model_validate(setting)


def test_who_looks_for_tracing_is_told_where_it_is() -> None:
    with pytest.raises(ConfigError, match=re.escape("write `otlp: http://localhost:4318`")):
        GatewaySettings(tracing={})  # type: ignore[call-arg]
