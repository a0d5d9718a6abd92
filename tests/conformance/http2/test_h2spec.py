# SPDX-License-Identifier: Apache-2.0
"""h2spec, the conformance suite of HTTP/2, against a listener with TLS and one with prior knowledge."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.integration.http2.client import configuration
from tests.integration.tls import client as tls
from tests.integration.tls.authority import Authority
from tidegate.testing import Reply, endpoint, gateway

pytestmark = pytest.mark.needs("h2spec")
CASES = 145


def failures(folder: Path, port: int, *arguments: str) -> list[str]:
    """Runs all cases; the descriptions of those that fail."""
    report = folder / "report.xml"
    program = Path(sys.executable).parent / "h2spec"
    command = [
        str(program) if program.exists() else "h2spec",
        *("-h", "localhost", "-p", str(port), "-o", "10", "-j", str(report), *arguments),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=110)
    cases = list(ElementTree.parse(report).iter("testcase"))
    assert len(cases) == CASES, done.stdout
    assert not [case for case in cases if case.find("skipped") is not None]
    wrong = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    return [f"{case.get('package')}: {case.get('classname')}" for case in wrong]


def test_with_tls_no_case_fails(tmp_path: Path) -> None:
    pair = Authority(tmp_path).pair("localhost")
    with endpoint(Reply(body=b"enough for small windows")) as upstream:
        text = tls.configuration(pair.listener(), {"path": "/", "to": upstream.url})
        with gateway(text) as running:
            assert failures(tmp_path, running.port, "-t", "-k") == []


def test_with_prior_knowledge_only_http1_is_not_taken_for_a_wrong_preface(tmp_path: Path) -> None:
    with (
        endpoint(Reply(body=b"enough for small windows")) as upstream,
        gateway(configuration({"path": "/", "to": upstream.url})) as running,
    ):
        # The port speaks HTTP/1.1 as well, and answers in it what is no HTTP/2.
        assert failures(tmp_path, running.port) == ["http2/3.5: Sends invalid connection preface"]
