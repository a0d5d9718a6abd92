# SPDX-License-Identifier: Apache-2.0
"""Files on a kernel, or in a container, that has no openat2: a filter of system calls takes it away."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import ctypes, json, struct, sys
libc = ctypes.CDLL(None, use_errno=True)

# seccomp(2): load the number of the call; if it is 437, answer ENOSYS, else allow it.
program = b"".join(
    struct.pack("<HBBI", *each)
    for each in ((0x20, 0, 0, 0), (0x15, 0, 1, 437), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000))
)
kept = ctypes.create_string_buffer(program)
filter = struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(kept))
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filter, 0, 0):
    sys.exit(f"no filter: {ctypes.get_errno()}")
assert libc.syscall(437, -100, b"/", b"", 0) == -1 and ctypes.get_errno() == 38

from tests.integration.settings.kit import ask
from tidegate.testing import gateway

told = {}
for symlinks in ("inside", "refuse"):
    text = f'''
listeners: {{ web: {{ port: 0 }} }}
routes: [{{ path: /, to: {{ files: {{ root: {sys.argv[1]}, symlinks: {symlinks} }} }} }}]
'''
    with gateway(text, threads=1) as running:
        for path in json.loads(sys.argv[2]):
            answer = ask(running, path)
            told[f"{symlinks} {path}"] = [answer.status, answer.body.decode() if answer.status == 200 else ""]
print(json.dumps(told))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="openat2 is a call of Linux")
def test_without_openat2_nothing_leads_out_of_the_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (root / "x").write_text("x")
    (root / "a" / "b" / "y").write_text("y")
    (root / "in").symlink_to("x")
    (root / "out").symlink_to("../secret")
    (root / "a" / "up").symlink_to("../..")
    good = {"/x": "x", "/a/b/y": "y"}
    # Without the call no link is followed: only the kernel can say where one leads without being raced.
    bad = ["/in", "/out", "/a/up/secret", "/../secret", "/%2e%2e/secret", "/a/..%2f..%2fsecret", "/none"]
    said = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(root), json.dumps([*good, *bad])],
        cwd=Path(__file__).resolve().parents[3],
        capture_output=True,
        text=True,
        timeout=120,
    )
    if said.stderr.startswith("no filter"):
        pytest.skip("this machine allows no filters of system calls")
    assert said.returncode == 0, said.stderr
    told = json.loads(said.stdout)
    for symlinks in ("inside", "refuse"):
        for path, body in good.items():
            assert told[f"{symlinks} {path}"] == [200, body]
        for path in bad:
            assert told[f"{symlinks} {path}"][0] in (400, 404), path
