# SPDX-License-Identifier: Apache-2.0
"""The dashboard and the alerts that come along name only what a gateway has."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tidegate.testing import endpoint, gateway, wait_until

from .settings.kit import ask

PACKAGING = Path(__file__).resolve().parents[2] / "packaging"
RULES = PACKAGING / "prometheus" / "tidegate.rules.yaml"
DASHBOARD = PACKAGING / "grafana" / "tidegate.json"
SCRAPED = {"instance"}
"""Labels that Prometheus adds."""


def expressions(value: Any) -> Iterator[str]:
    """Every `expr`, and every query of a variable, however deep."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("expr", "definition"):
                yield inner
            yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)


def metrics() -> dict[str, set[str]]:
    """The labels of every metric of a gateway that has failed, retried and answered."""
    text = """
gateway: { admin: {}, memory: 2GiB }
listeners: { web: { port: 0 } }
backends: { b: { endpoints: ["FIRST", "SECOND"], balancing: round_robin } }
routes: [{ name: r, path: /, to: b, retries: { attempts: 1, methods: [GET, POST], statuses: [503] } }]
"""
    with endpoint(fail=503) as first, endpoint() as second:
        text = text.replace("FIRST", first.address).replace("SECOND", second.address)
        with gateway(text, threads=1) as running:
            for _ in range(3):
                ask(running, method="POST", body=b"x")
                ask(running)
            ask(running, headers=["Host: a b"])
            # What control says of a backend with `discovery`.
            source = {"kind": "dns", "endpoints": 2, "failures": 1, "is_failing": False, "age_ms": 1}
            running.call("sources.set", sources={"b": source})

            def page() -> str:
                return ask(running, "/metrics", port=running.ports["admin"]).body.decode()

            # Memory is read from time to time.
            assert wait_until(lambda: "tidegate_memory_used_bytes" in page(), 30.0)
            said = page()
    found: dict[str, set[str]] = {}
    for name, labels in re.findall(r"^(tidegate_\w+)(?:\{(.*)\})? \S+$", said, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', labels))
    return found


def test_every_metric_and_label_of_the_dashboard_and_the_alerts_is_there() -> None:
    known = metrics()
    rules, dashboard = yaml.safe_load(RULES.read_text()), json.loads(DASHBOARD.read_text())
    for file, least in ((rules, 8), (dashboard, 20)):
        used = list(expressions(file))
        assert len(used) >= least
        for each in used:
            names = set(re.findall(r"\btidegate_\w+", each))
            assert names and names <= set(known), (each, names - set(known))
            labels = SCRAPED.union(*(known[name] for name in names))
            for name, selector in re.findall(r"(tidegate_\w+)\{([^}]*)\}", each):
                assert set(re.findall(r"(\w+)=", selector)) <= known[name] | SCRAPED, each
            grouped = {
                label.strip() for group in re.findall(r"\bby \(([^)]*)\)", each) for label in group.split(",")
            }
            assert grouped <= labels, (each, grouped - labels)


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    for rule in group["rules"]:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names))


def test_prometheus_takes_the_alerts() -> None:
    """Where its tool is installed; elsewhere the file is judged by the other tests alone."""
    if tool := shutil.which("promtool"):
        subprocess.run([tool, "check", "rules", str(RULES)], check=True, timeout=60)


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
