# SPDX-License-Identifier: Apache-2.0
"""Every example of a configuration in the documentation: it is right, and both forms mean the same.

A ```yaml block that holds a configuration is followed by a ```python block that builds the same one as
`gateway`. A block holds one if its top-level keys are sections.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tidegate.config.check import check_gateway
from tidegate.config.compile import compile_gateway
from tidegate.config.gateway import Gateway
from tidegate.config.load import loads
from tidegate.config.snapshot import Snapshot

CERTIFICATE = re.compile(r"\b[a-z-]+\.(?:pem|key)\b")
ROOT = Path(__file__).resolve().parents[3]
# A longer fence shows a whole page, whose own blocks are part of its text.
BLOCK = re.compile(r"^(`{3,})(\w+)[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
OUTSIDE = re.compile(r"\$\{env:([A-Z][A-Z_]+)\}")
SECTIONS = set(Gateway.model_fields)


def is_configuration(text: str) -> bool:
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return isinstance(data, dict) and bool(data) and data.keys() <= SECTIONS


def pages() -> list[Path]:
    rooms = (ROOT / "python" / "tidegate").glob("**/README.md")
    found = {*(ROOT / "docs").glob("**/*.md"), *rooms, *ROOT.glob("README.md")}
    # Its examples need a package that the page makes; a test of its own follows it.
    return sorted(found - {ROOT / "docs" / "guides" / "policy-of-your-own.md"})


def pairs() -> Iterator[Any]:
    """(page, YAML, Python or None) of every example."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        blocks = [
            (found[2], found[3], text.count("\n", 0, found.start()) + 1) for found in BLOCK.finditer(text)
        ]
        for number, (language, body, line) in enumerate(blocks):
            if language in ("yaml", "yml") and is_configuration(body):
                after = blocks[number + 1] if number + 1 < len(blocks) else ("", "", 0)
                name = f"{page.relative_to(ROOT)}:{line}"
                yield pytest.param(page, body, after[1] if after[0] == "python" else None, id=name)


def snapshot(gateway: Gateway) -> Snapshot:
    check_gateway(gateway)
    return compile_gateway(gateway, threads=2, runtime_directory="/run/t")


@pytest.mark.parametrize(("page", "text", "code"), list(pairs()))
def test_an_example_is_right_and_means_the_same_in_both_forms(
    page: Path, text: str, code: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in OUTSIDE.findall(text):
        monkeypatch.setenv(name, "from-outside")
    for name in CERTIFICATE.findall(text):
        (tmp_path / name).write_text(name)
    from_yaml = snapshot(loads(text).gateway)
    if code is None and page == ROOT / "README.md":
        # The first screen shows one form; the guides show both.
        return
    assert code is not None, "the next block is not Python that builds the same gateway"
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "example", "exec"), names)
    from_python = snapshot(names["gateway"])
    assert from_python.resources == from_yaml.resources
    assert from_python.endpoints == from_yaml.endpoints


def test_every_room_has_an_example() -> None:
    readmes = [page for page in pages() if page.name == "README.md" and "tidegate" in page.parts[-4:]]
    without = [str(page) for page in readmes if "```yaml" not in page.read_text(encoding="utf-8")]
    assert without == []


@pytest.mark.parametrize("heading", ["What it does", "Settings", "Metrics", "Errors", "Example", "Limits"])
def test_every_room_tells_the_same_things(heading: str) -> None:
    rooms = [
        path
        for area in ("balancing", "policies", "health", "discovery")
        for path in ROOT.glob(f"python/tidegate/{area}/*/README.md")
    ]
    assert rooms
    for page in rooms:
        text = page.read_text(encoding="utf-8")
        assert text.startswith(f"# {page.parent.name}\n")
        assert f"\n## {heading}\n" in text, page
