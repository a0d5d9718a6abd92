# SPDX-License-Identifier: Apache-2.0
"""testssl.sh against a listener: nothing is found but what the authority of a test does not have.

All of it takes two minutes, and runs with `TIDEGATE_TESTSSL=1`, as in `make conformance`; protocols, ciphers
and their order without.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.tls.authority import Authority
from tests.integration.tls.client import configuration
from tidegate.testing import gateway

pytestmark = [pytest.mark.needs("testssl"), pytest.mark.timeout(600)]
IS_WHOLE = os.environ.get("TIDEGATE_TESTSSL") == "1"
ABOUT_THE_TESTS = {
    "cert_chain_of_trust",
    "cert_expirationStatus",
    "cert_notAfter",
    "cert_revocation",
    # Told of the client's own library.
    "engine_problem",
    # Told of the answer's fields, which the test's route does not set.
    "security_headers",
}


def test_nothing_is_found(tmp_path: Path) -> None:
    pair = Authority(tmp_path).pair("localhost")
    listener = pair.listener()
    assert isinstance(listener["tls"], dict)
    listener["tls"]["hsts"] = "365d"
    report = tmp_path / "report.json"
    with gateway(configuration(listener)) as running:
        how = ["--quiet", "--color", "0", "--warnings", "off", "--nodns", "min", "--ip", "127.0.0.1"]
        sections = [] if IS_WHOLE else ["-p", "-P"]
        url = f"https://localhost:{running.port}/"
        command = ["testssl", *how, *sections, "--jsonfile", str(report), url]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=500)
    told = json.loads(report.read_text())
    found = {
        each["id"]: (each["severity"], each["finding"])
        for each in told
        if each["severity"] not in ("OK", "INFO") and each["id"] not in ABOUT_THE_TESTS
    }
    assert found == {}, done.stdout
    assert {"TLS1_3", "cipher_order"} <= {each["id"] for each in told}
    assert len(told) > (100 if IS_WHOLE else 10)
