# SPDX-License-Identifier: Apache-2.0
"""The demo's options, and that it leaves nothing behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tidegate.demo.client import wait_for
from tidegate.demo.command import main
from tidegate.demo.process import Process, descendants
from tidegate.demo.running import ConfigFile, DemoError
from tidegate.demo.topology import TOPOLOGIES
from tidegate.demo.tour.steps import STEPS


def test_the_list_names_each_topology_and_step(capsys: pytest.CaptureFixture[str]):
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in TOPOLOGIES)
    assert all(step.name in said and step.broken in said for step in STEPS)
    assert "\x1b[" not in said, "no colour where nobody looks"
    assert main(["--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [step["name"] for step in listed["steps"]] == [step.name for step in STEPS]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--topology", "chian"], "no topology `chian`, did you mean `chain`; there are chain, "),
        (["--break", "bussy"], "no step `bussy`, did you mean `busy`; there are profile, "),
        (["--break", "11"], "no step `11`"),
        (["--tour", "--topology", "function"], "only; leave `--topology` out"),
    ],
)
def test_options_that_make_no_sense_are_explained(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


def test_a_process_is_ended_with_all_that_it_started(tmp_path: Path):
    # A child and a grandchild that do not care about SIGTERM.
    deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    script = (
        "import subprocess, sys, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"subprocess.run([sys.executable, '-c', {deaf + '; time.sleep(60)'!r}], start_new_session=True)\n"
    )
    process = Process("deaf", [sys.executable, "-c", script], {}, tmp_path / "said.txt", tmp_path)
    process.start()
    assert wait_for(lambda: "deaf" in process.last_words(), 15.0)
    family = descendants(process.pid)
    assert len(family) == 1
    process.stop(grace=0.1)
    assert not process.is_running
    assert not family[0].is_there()


def test_a_configuration_is_changed_in_one_place_or_not_at_all(tmp_path: Path):
    config = ConfigFile(tmp_path / "a.yaml", "a: 1\nb: 1\n")
    config.replace("a: 1", "a: 2")
    assert config.text == "a: 2\nb: 1\n"
    with pytest.raises(DemoError, match="0 times"):
        config.replace("c: 1", "c: 2")
    config.write("a: 1\na: 1\n")
    with pytest.raises(DemoError, match="2 times"):
        config.replace("a: 1", "a: 2")
