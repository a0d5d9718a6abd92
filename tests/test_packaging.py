# SPDX-License-Identifier: Apache-2.0
import configparser
import re
import subprocess
from pathlib import Path

import pytest

PACKAGING = Path(__file__).resolve().parents[1] / "packaging"


def unit() -> "configparser.RawConfigParser":
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(PACKAGING / "tidegate.service")
    return parser


@pytest.mark.needs("systemd-analyze")
def test_systemd_understands_the_unit_file(tmp_path: Path) -> None:
    copy = tmp_path / "tidegate.service"
    # The program is not installed where the tests run.
    text = (PACKAGING / "tidegate.service").read_text().replace("/usr/local/bin/tidegate", "/bin/true")
    copy.write_text(text)
    said = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False
    )
    assert [line for line in said.stderr.splitlines() if "tidegate.service" in line] == []


def test_the_unit_leaves_node_and_workers_to_the_next_supervisor() -> None:
    service = unit()["Service"]
    assert service["KillMode"] == "process"
    assert service["Restart"] == "always"
    assert service["Type"] == "notify"
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert service["RuntimeDirectoryPreserve"] == "restart"


def test_a_stop_may_take_longer_than_a_graceful_one() -> None:
    seconds = int(re.fullmatch(r"(\d+)s", unit()["Service"]["TimeoutStopSec"]).group(1))  # type: ignore[union-attr]
    assert seconds >= 30 + 5 + 5


def test_the_containers_command_is_ours() -> None:
    text = (PACKAGING / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["tidegate"]' in text
    assert 'CMD ["run", "/etc/tidegate/tidegate.yaml", "--name", "main"]' in text
    assert "tools/wheel.py --out /wheels" in text
