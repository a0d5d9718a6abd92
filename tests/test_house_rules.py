# SPDX-License-Identifier: Apache-2.0
"""Rules of the house that a machine can judge: layers, rooms, words, sizes, where `unsafe` may stand."""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LAYERS = (
    ("core",),
    ("config",),
    ("request",),
    ("contract", "functions", "files", "egress", "passwords", "tls", "issuing", "expression", "jose"),
    ("telemetry", "net"),
    ("http", "http2"),
    ("http3",),
    ("routing", "client"),
    ("balancing", "policies", "health"),
    ("engine",),
    ("python",),
)
"""Crates from the bottom up: a crate uses crates of lower rows only."""

WITHOUT_RUNTIME = (
    "core",
    "config",
    "request",
    "contract",
    "functions",
    "files",
    "tls",
    "http",
    "http2",
    "http3",
    "routing",
)
"""Crates that are pure: no tokio, no sockets."""

AREAS = ("balancing", "policies", "health", "discovery")
"""Areas whose rooms exist in Python and, where they run in the engine, in Rust under the same name."""

MOST_LINES = 400
MOST_TEST_LINES = 500
LONG_FILES: dict[str, str] = {}
"""Files that may be longer, each with the reason; an entry that is not needed any more fails, too."""

OTHER_WORDS = {
    "entrypoint": "listener", "frontend": "listener", "server": "listener, endpoint or origin server",
    "vhost": "listener", "location": "route", "router": "route", "ingress": "route", "rule": "match",
    "condition": "match", "predicate": "match", "upstream": "backend", "cluster": "backend",
    "service": "backend", "target_group": "backend", "member": "endpoint", "target": "endpoint",
    "middleware": "policy", "plugin": "policy", "interceptor": "filter", "hook": "filter",
    "strategy": "balancer", "scheduler": "balancer", "monitor": "health check",
    "datacenter": "region or zone", "availability_set": "zone", "worker": "thread or function worker",
    "xds": "snapshot",
    "consumer": "application or subscription", "usage_plan": "plan", "conn": "connection", "addr": "address",
    "req": "request", "resp": "response", "cfg": "a whole word", "msg": "message", "param": "parameter",
}  # fmt: skip
"""What a setting must not be called, alone or with `s`, and what we say instead."""

MEANT = {
    ("GrpcMatch", "service"): "a service as gRPC has them",
    ("GrpcCheck", "service"): "a service as gRPC has them",
    ("Function", "workers"): "function workers",
    ("FunctionWire", "workers"): "function workers",
    ("Redirect", "location"): "the field Location of RFC 9110",
}
"""Settings that use such a word for something else."""


@cache
def tracked(*suffixes: str) -> list[Path]:
    """Files of the checkout that are committed or about to be."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    paths = [ROOT / name for name in listed.split("\0") if name.endswith(suffixes)]
    return [path for path in paths if path.is_file()]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def is_test(path: Path) -> bool:
    name = name_of(path)
    return path.name.startswith("test") or "/tests/" in f"/{name}" or path.name == "conftest.py"


def test_each_source_file_states_its_licence_first():
    wrong = []
    for path in tracked(".rs", ".py", ".pyi", ".sh"):
        if "/cli/templates/" in name_of(path):
            continue  # becomes the user's own file
        lines = path.read_text().splitlines()
        first = next((line for line in lines if not line.startswith("#!")), "")
        if lines and first.lstrip("/# ") != "SPDX-License-Identifier: Apache-2.0":
            wrong.append(name_of(path))
    assert not wrong, "first line must be `SPDX-License-Identifier: Apache-2.0` as a comment"


def test_a_crate_uses_only_crates_of_lower_layers():
    height = {f"tidegate-{name}": index for index, row in enumerate(LAYERS) for name in row}
    wrong = []
    for manifest in sorted(ROOT.glob("crates/*/Cargo.toml")):
        package = tomllib.loads(manifest.read_text())
        name = package["package"]["name"]
        assert name == f"tidegate-{manifest.parent.name}"
        assert name in height, f"{name}: give it a layer in LAYERS"
        used = [one for one in package.get("dependencies", {}) if one.startswith("tidegate-")]
        wrong += [f"{name} uses {one}" for one in used if height[one] >= height[name]]
        if manifest.parent.name in WITHOUT_RUNTIME and "tokio" in package.get("dependencies", {}):
            wrong.append(f"{name} uses tokio")
    assert not wrong


def test_unsafe_code_stands_only_in_net_and_python_and_says_why():
    wrong = []
    for path in tracked(".rs"):
        crate = name_of(path).split("/")[1] if name_of(path).startswith("crates/") else ""
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines, 1):
            code = re.sub(r'"(\\.|[^"])*"', '""', line.split("//")[0])
            if not re.search(r"\bunsafe\s*(\{|impl\b|fn\b|extern\b)", code):
                continue
            before = "\n".join(lines[max(0, number - 8) : number])
            if crate not in ("net", "python"):
                wrong.append(f"{name_of(path)}:{number}: unsafe outside net/ and python/")
            elif "SAFETY:" not in before and "# Safety" not in before:
                wrong.append(f"{name_of(path)}:{number}: no `// SAFETY:` before it")
    for library in [*ROOT.glob("crates/*/src/lib.rs"), *ROOT.glob("benches/*/src/main.rs")]:
        if (
            library.parts[-3] not in ("net", "python")
            and "#![forbid(unsafe_code)]" not in library.read_text()
        ):
            wrong.append(f"{name_of(library)}: #![forbid(unsafe_code)] is missing")
    assert not wrong


@pytest.mark.parametrize("area", AREAS)
def test_one_room_has_one_name_in_python_and_rust(area: str):
    python = {path.parent.name for path in ROOT.glob(f"python/tidegate/{area}/*/__init__.py")}
    rust = {path.parent.name for path in ROOT.glob(f"crates/{area}/src/*/config.rs")}
    assert python, f"python/tidegate/{area} has no room"
    assert rust <= python, f"rooms of crates/{area} without settings in Python: {sorted(rust - python)}"
    for room in sorted(python):
        module = importlib.import_module(f"tidegate.{area}.{room}")
        settings = module.Settings
        assert settings.model_fields["type"].default == room, f"{area}/{room}: folder and tag differ"
        missing = [name for name in module.__all__ if not hasattr(module, name)]
        assert not missing, f"{area}/{room}: __all__ names {missing}"
        assert (ROOT / "python" / "tidegate" / area / room / "README.md").is_file(), (
            f"{area}/{room}: no README.md"
        )


def lines_of_code(path: Path) -> int:
    comment = "//" if path.suffix == ".rs" else "#"
    lines = (line.strip() for line in path.read_text().splitlines())
    return sum(1 for line in lines if line and not line.startswith(comment))


def test_files_are_small_or_say_why_not():
    wrong = []
    for path in tracked(".rs", ".py"):
        if "Generated by tools/generate.py" in path.read_text()[:300]:
            continue
        most = MOST_TEST_LINES if is_test(path) else MOST_LINES
        count = lines_of_code(path)
        if count > most and name_of(path) not in LONG_FILES:
            wrong.append(
                f"{name_of(path)}: {count} lines of code, {most} at most: split it by what changes together"
            )
        if count <= most and name_of(path) in LONG_FILES:
            wrong.append(f"{name_of(path)}: short again, take it off LONG_FILES")
    assert not wrong


def test_generated_settings_have_no_defaults_of_their_own():
    generated = [
        path for path in tracked(".rs") if "Generated by tools/generate.py" in path.read_text()[:300]
    ]
    assert generated
    wrong = [
        name_of(path)
        for path in generated
        if re.search(r"serde\([^)]*\bdefault\b|derive\([^)]*\bDefault\b|impl Default\b", path.read_text())
    ]
    assert not wrong, "defaults live in the Python model only"


def setting_names() -> set[tuple[str, str]]:
    """(model, key) of each setting there is, those of rooms included."""
    import tidegate.config
    from tidegate.config.base import Model

    for module in pkgutil.iter_modules(tidegate.config.__path__, "tidegate.config."):
        importlib.import_module(module.name)
    for area in AREAS:
        for path in ROOT.glob(f"python/tidegate/{area}/*/model.py"):
            importlib.import_module(f"tidegate.{area}.{path.parent.name}.model")
    found: set[tuple[str, str]] = set()
    todo: list[type[Model]] = [Model]
    while todo:
        model = todo.pop()
        found |= {(model.__name__, field) for field in model.model_fields}
        todo += model.__subclasses__()
    return found


def test_settings_are_called_by_our_words():
    wrong = []
    for model, key in sorted(setting_names()):
        for word in (key, key.removesuffix("s")):
            if word in OTHER_WORDS and (model, key) not in MEANT:
                wrong.append(f"{model}.{key}: we say {OTHER_WORDS[word]}")
        if key != key.lower() or not re.fullmatch(r"[a-z][a-z0-9_]*", key):
            wrong.append(f"{model}.{key}: keys are snake_case")
    assert not wrong


def test_unfinished_work_names_its_issue():
    wrong = []
    for path in tracked(".rs", ".py", ".pyi", ".toml", ".yml", ".yaml"):
        if path == Path(__file__):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if re.search(r"\b(TODO|FIXME|XXX)\b(?!\s*\(?#\d+)", line):
                wrong.append(f"{name_of(path)}:{number}: {line.strip()}")
    assert not wrong


def test_the_lock_file_names_no_host_and_hashes_everything():
    for name, least in (("runtime.txt", 11), ("dev.txt", 11), ("bench.txt", 1)):
        text = (ROOT / "requirements" / name).read_text()
        assert "://" not in text
        pins = re.findall(r"^[a-z0-9._-]+==", text, re.MULTILINE)
        assert len(pins) >= least
        # Each pin is followed by at least one hash before the next one.
        assert all(
            "--hash=sha256:" in part for part in re.split(r"^[a-z0-9._-]+==", text, flags=re.MULTILINE)[1:]
        )


def test_runtime_dependencies_are_locked_in_both_files():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = [re.split(r"[<>=!~ ]", line)[0].lower() for line in project["dependencies"]]
    for file in ("runtime.txt", "dev.txt"):
        text = (ROOT / "requirements" / file).read_text()
        missing = [name for name in names if not re.search(rf"^{re.escape(name)}==", text, re.MULTILINE)]
        assert not missing, f"requirements/{file}: run make lock"
