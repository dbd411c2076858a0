"""What a machine and its containers allow; both are made up."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from clrl.machine.allowed import available_memory, own_cores, usable_cores

GIB = 2**30


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A machine with some GiB of memory, and cores that this process may run on."""

    def set_to(memory: float = 64.0, cores: set[int] | None = None) -> None:
        free = SimpleNamespace(available=int(memory * GIB))
        monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
        own = cores or set(range(8))
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: own, raising=False)

    set_to()
    return set_to


def write(folder: Path, **files: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("_", ".", 1)).write_text(str(content))


def test_the_tightest_limit_of_a_container_counts(tmp_path: Path, machine: Any) -> None:
    """Version 2: the group of the process, the ones around it, and files the kernel can drop."""
    groups, root = tmp_path / "cgroup", tmp_path / "root"
    groups.write_text("0::/slice/pod/container\n")
    write(root, cgroup_controllers="")
    assert available_memory(groups, root) == 64 * GIB
    write(root / "slice/pod/container", memory_max="max", memory_current=GIB)
    write(root / "slice", memory_max=20 * GIB, memory_current=9 * GIB,
          memory_stat=f"anon 5\ninactive_file {4 * GIB}")  # fmt: skip
    assert available_memory(groups, root) == 15 * GIB
    write(root / "slice/pod", memory_max=4 * GIB, memory_current=GIB)
    assert available_memory(groups, root) == 3 * GIB
    machine(2.0)
    assert available_memory(groups, root) == 2 * GIB
    assert available_memory(tmp_path / "not-linux", root) == 2 * GIB


def test_version_1_limits_count_too_also_where_the_path_is_the_host_s(
    tmp_path: Path, machine: Any
) -> None:
    groups, root = tmp_path / "cgroup", tmp_path / "root"
    groups.write_text("8:cpu,cpuacct:/\n4:memory:/docker/0123\n0::/\n")
    write(
        root / "memory",
        memory_limit_in_bytes=8 * GIB,
        memory_usage_in_bytes=3 * GIB,
        memory_stat=f"total_inactive_file {GIB}",
    )
    assert available_memory(groups, root) == 6 * GIB


def test_a_process_has_the_cores_of_its_affinity_and_its_container_s_share_of_them(
    tmp_path: Path, machine: Any
) -> None:
    groups, root = tmp_path / "cgroup", tmp_path / "root"
    groups.write_text("0::/slice/container\n")
    write(root, cgroup_controllers="")
    write(root / "slice/container", cpu_max="max 100000")
    machine(cores={7, 2, 3})
    assert own_cores() == (2, 3, 7) and usable_cores(groups, root) == 3
    write(root / "slice", cpu_max="250000 100000")
    assert own_cores() == (2, 3, 7) and usable_cores(groups, root) == 2
    write(root / "slice/container", cpu_max="50000 100000")
    assert usable_cores(groups, root) == 1
    assert usable_cores(tmp_path / "not-linux", root) == 3


def test_a_quota_of_version_1_counts_where_there_is_one(tmp_path: Path, machine: Any) -> None:
    groups, root = tmp_path / "cgroup", tmp_path / "root"
    groups.write_text("8:cpu,cpuacct:/docker/0123\n4:memory:/\n")
    write(root / "cpu", cpu_cfs_quota_us=-1, cpu_cfs_period_us=100_000)
    assert usable_cores(groups, root) == 8
    write(root / "cpu", cpu_cfs_quota_us=400_000, cpu_cfs_period_us=100_000)
    assert usable_cores(groups, root) == 4


def test_where_nothing_says_which_cores_a_process_has_it_has_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert own_cores() == () and usable_cores(tmp_path / "no-linux", tmp_path) == 6
