# SPDX-License-Identifier: Apache-2.0
"""The harness finds every kind of thing that a test can leave behind, names it and removes it."""
import os
import subprocess

import pytest

from lib import cgroups, kernel
from lib.world import Leak, World, descendants


def leave_process(w):
    subprocess.run(["sh", "-c", "setsid sleep 1000 & exit"], check=True)


def leave_frozen_process(w):
    group = f"{cgroups.ROOT}/freezer/{w.name()}"
    if not os.path.isdir(os.path.dirname(group)):
        pytest.skip("this machine has no v1 freezer")
    os.mkdir(group)
    child = subprocess.Popen(["sleep", "1000"])
    cgroups.write(group + "/cgroup.procs", str(child.pid))
    cgroups.write(group + "/freezer.state", "FROZEN")


def leave_mount(w):
    os.mkdir("m")
    kernel.mount("tmpfs", "m", "tmpfs")


def leave_cgroup(w):
    os.makedirs(f"{cgroups.hierarchies()[0]}/{w.name()}/inner")


def leave_link(w):
    subprocess.run(["ip", "link", "add", "left0", "type", "veth", "peer", "name", "left1"], check=True)


def leave_file(w):
    open("/run/left", "w").close()


def leave_descriptor(w):
    os.open("/dev/null", os.O_RDONLY)


@pytest.mark.parametrize("leave, named", [
    (leave_process, "sleep"), (leave_frozen_process, "sleep"), (leave_mount, "mount /tmp/w/m"),
    (leave_cgroup, "cgroup /"), (leave_link, "left0"), (leave_file, "/run/left"),
    (leave_descriptor, "/dev/null")])
def test_leak_is_found_and_removed(leave, named):
    before = set(cgroups.directories())
    with pytest.raises(Leak, match=named):
        with World() as w:
            leave(w)
    assert not [d for d in set(cgroups.directories()) - before if w.key in d]
    assert not descendants()


def test_clean_world_is_clean():
    with World() as w:
        subprocess.run(["true"], check=True)
    assert os.getcwd() == "/tmp/w" and w.key


@pytest.mark.parametrize("view", cgroups.VIEWS)
def test_views(view):
    kinds = {kind for _, point, kind in kernel.mounts() if point.startswith(cgroups.ROOT)}
    expected = {"v1": {"cgroup"}, "v2": {"cgroup2"}}.get(view)
    if expected:
        assert kinds - {"tmpfs"} == expected


def test_time_out():
    with pytest.raises(TimeoutError):
        with World(limit=0.1):
            subprocess.run(["sleep", "1000"])
    assert not descendants()
