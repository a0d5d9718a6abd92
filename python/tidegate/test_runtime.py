# SPDX-License-Identifier: Apache-2.0
import os
import stat
from pathlib import Path

import pytest

from tidegate import runtime
from tidegate.protocol import listen
from tidegate.runtime import InstanceError, NotRunning
from tidegate.supervisor.run import acquire


def test_an_instance_is_named_after_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = runtime.default_name([str(tmp_path / "Shop Front.yaml")])
    assert name.startswith("shop-front-") and len(name) == len("shop-front-") + 6
    (tmp_path / "edge").mkdir()
    assert runtime.default_name([str(tmp_path / "edge" / "tidegate.yaml")]).startswith("edge-")
    monkeypatch.chdir(tmp_path)
    assert runtime.default_name(["Shop Front.yaml"]) == name
    assert runtime.default_name(["shop.main:gateway"]).startswith("main-")


def test_equal_files_in_different_folders_are_different_instances(tmp_path: Path) -> None:
    assert runtime.default_name([str(tmp_path / "a" / "x.yaml")]) != runtime.default_name(
        [str(tmp_path / "b" / "x.yaml")]
    )


@pytest.mark.parametrize("name", ["", "../x", "A", "a/b", "-a", "x" * 64])
def test_a_name_that_is_no_file_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InstanceError, match="must be lower-case"):
        runtime.instance(name, tmp_path)


def test_the_directory_is_the_users_own(tmp_path: Path) -> None:
    which = runtime.instance("shop", tmp_path / "run" / "tidegate")
    runtime.prepare(which)
    runtime.prepare(which)
    assert stat.S_IMODE(which.directory.stat().st_mode) == 0o700


def test_a_link_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "shop").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InstanceError, match="not a directory of yours"):
        runtime.prepare(runtime.instance("shop", tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    os.chown(tmp_path / "shop", 65534, 65534)
    with pytest.raises(InstanceError, match="not a directory of yours"):
        runtime.prepare(runtime.instance("shop", tmp_path))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_under_root_the_nodes_user_may_add_files_and_not_replace_ours(tmp_path: Path) -> None:
    which = runtime.instance("shop", tmp_path)
    runtime.prepare(which, 65534)
    found = which.directory.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (0, 65534, 0o1770)


def test_the_running_instance_is_found_by_its_name_or_as_the_only_one(tmp_path: Path) -> None:
    with pytest.raises(NotRunning, match="no instance is running; start one"):
        runtime.find(None, tmp_path)
    listeners = []
    for name in ("shop-1", "shop-2", "dead"):
        which = runtime.instance(name, tmp_path)
        runtime.prepare(which)
        listeners.append(listen(which.node_socket, 0o600))
        if name == "shop-1":
            assert runtime.find(None, tmp_path) == which
    listeners[-1].close()
    with pytest.raises(
        NotRunning, match=r"several instances are running: shop-1, shop-2; choose one with --name"
    ):
        runtime.find(None, tmp_path)
    assert runtime.find("shop-2", tmp_path).name == "shop-2"
    with pytest.raises(NotRunning, match="fits several"):
        runtime.find("shop", tmp_path)
    with pytest.raises(NotRunning, match=r"no instance 'dead' is running; running: shop-1, shop-2"):
        runtime.find("dead", tmp_path)
    for listener in listeners:
        listener.close()


def test_an_instance_has_one_supervisor(tmp_path: Path) -> None:
    which = runtime.instance("shop", tmp_path)
    runtime.prepare(which)
    lock = acquire(which)
    with pytest.raises(InstanceError, match=rf"running already \(supervisor {os.getpid()}\)"):
        acquire(which)
    # A supervisor that ends removes the file before its lock goes.
    which.lock_file.unlink()
    other = acquire(which)
    os.close(lock)
    os.close(other)
    os.close(acquire(which))
