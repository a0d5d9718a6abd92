# SPDX-License-Identifier: Apache-2.0
"""A read that waits for a disk holds up no other request of its thread."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tidegate.testing import Wire, gateway, wait_until

from .slow_disk import LOOKUP, READ, SlowDisk, over_ext4, over_fuse

_FILES = {"small.txt": b"small\n", "large.bin": bytes(range(256)) * 4096 * 2}
_TIMEOUT = 30.0

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="FUSE as Linux has it")


@pytest.mark.needs("mke2fs", "mount")
@pytest.mark.parametrize("name", _FILES)
@pytest.mark.parametrize(
    ("mounted", "kind"),
    [(over_fuse, LOOKUP), (over_fuse, READ), (over_ext4, READ)],
    ids=["name", "fuse", "ext4"],
)
def test_a_read_that_waits_for_a_disk_holds_up_nobody_else(
    mounted: Callable[..., AbstractContextManager[tuple[SlowDisk, Path]]],
    kind: int,
    name: str,
    tmp_path: Path,
) -> None:
    with mounted(tmp_path, _FILES) as (disk, root):
        text = f"""
listeners: {{ web: {{ port: 0 }} }}
routes:
  - {{ path: {{ exact: /live }}, to: {{ respond: {{ status: 204 }} }} }}
  - {{ path: /, to: {{ files: "{root}" }} }}
"""
        with gateway(text, threads=1) as running:

            def asking(target: str) -> Any:
                wire = Wire(("127.0.0.1", running.port), timeout=_TIMEOUT)
                wire.send(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode(), "GET")
                return wire

            with asking("/live") as first:
                assert first.wait_final(1)
            if kind == READ:
                # The name is known, so that the content alone is waited for.
                assert (root / name).stat().st_size == len(_FILES[name])
            disk.hold(kind)
            try:
                with asking(f"/{name}") as waiting:
                    assert wait_until(disk.is_asked, _TIMEOUT)
                    for _ in range(3):
                        with asking("/live") as other:
                            assert other.wait_final(1), "the thread waits for the disk"
                            assert other.final_responses[0].status == 204
                    assert disk.is_asked() and not waiting.final_responses
                    disk.release()
                    assert waiting.wait_final(1)
                    answer = waiting.final_responses[0]
                    assert (answer.status, answer.body) == (200, _FILES[name])
            finally:
                disk.release()
