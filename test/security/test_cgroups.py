# SPDX-License-Identifier: Apache-2.0
"""Cgroups: no way out of the container's own, in any layout of the hierarchies, and none of a stranger's."""
import itertools
import os

import pytest

from lib import cgroups
from lib.bundle import DEFAULT, mount

MOUNT = ("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime")
FIND = "for f in $(busybox find /sys/fs/cgroup -name release_agent -o -name cgroup.procs -o -name devices.allow " \
       "-o -name notify_on_release -o -name memory.limit_in_bytes); do " \
       "  (echo %s >$f) 2>/dev/null && echo wrote $f; done; true"
ESCAPES = ["..", "/..", "../x", "/a/../../x", "a/../../../x", "/../../../../tmp/w/x", "/./../x", "a/./../../x"]


def namespaces(private):
    return DEFAULT["linux"]["namespaces"] + ([{"type": "cgroup"}] if private else [])


def agents():
    found = {}
    for point in cgroups.hierarchies():
        if os.path.exists(f"{point}/release_agent"):
            with open(f"{point}/release_agent") as f:
                found[point] = f.read()
    return found


@pytest.mark.parametrize("view, private, options", itertools.product(cgroups.VIEWS, (False, True), ([], ["ro"])),
                         ids=lambda v: {True: "namespace", False: "host's"}.get(v, str(v)) if not isinstance(v, list)
                         else "".join(v) or "rw")
def test_cve_2022_0492_release_agent(oci, view, private, options):
    """Root without CAP_SYS_ADMIN writes to whatever it finds in the mount: never to the hierarchies' roots."""
    before = agents()
    name = "/" + oci.world.name("-group")
    done = oci.run({"linux.namespaces": namespaces(private), "mounts+": [mount(*MOUNT, *options)],
                    "linux.cgroupsPath": name, "process.args": ["sh", "-c", FIND % "/bad"]})
    assert done.code == 0, done.err
    assert agents() == before
    wrote = [line.split()[1] for line in done.out.splitlines()]
    assert not [f for f in wrote if f.endswith("release_agent")], wrote
    if options:
        assert not wrote


@pytest.mark.parametrize("view, private", itertools.product(cgroups.VIEWS, (False, True)))
def test_cve_2022_0492_no_group_above_in_sight(oci, view, private):
    """What is mounted is the container's own group, or the hierarchy read-only."""
    seen = oci.see({"linux.namespaces": namespaces(private), "mounts+": [mount(*MOUNT)],
                    "linux.cgroupsPath": "/" + oci.world.name("-group")})
    groups = [m for m in seen["mounts"].values() if m["kind"] in ("cgroup", "cgroup2")]
    assert groups
    for m in groups:
        own = m["root"] == "/" if private else oci.world.key in m["root"]
        # a v2 tree without a namespace of its own is the host's, as with runc: there it is read-only
        assert own or "ro" in m["options"] or m["kind"] == "cgroup2", m


@pytest.mark.parametrize("path", ESCAPES)
def test_cgroups_path_cannot_lead_out(oci, path):
    key = oci.world.name("-out")
    before = set(cgroups.directories())
    done = oci.run({"linux.cgroupsPath": path + key, "process.args": ["true"]})
    assert done or done.err.strip()
    assert not os.path.exists(f"/tmp/w/x{key}") and not os.path.exists(f"/sys/fs/{key}")
    assert not [d for d in set(cgroups.directories()) - before if key in d]


@pytest.mark.parametrize("path", ["..", "/..", "../..", "a/../..", "/../" + "x", "x/../../y"])
def test_exec_cgroup_cannot_lead_out(oci, path):
    with oci.running({"linux.cgroupsPath": "/" + oci.world.name("-group")}) as name:
        done = oci.runtime.call("exec", "--cgroup", path, name, "cat", "/proc/self/cgroup")
        assert done.code != 0
        assert oci.exec(name, "true").code == 0


@pytest.mark.parametrize("key", ["run.oci.delegate-cgroup", "run.oci.systemd.subgroup"])
@pytest.mark.parametrize("value", ["..", "../x", "/../../x", "a/../../x"])
def test_delegate_annotation_cannot_lead_out(oci, key, value):
    before = set(cgroups.directories())
    done = oci.run({"annotations": {key: value}, "linux.cgroupsPath": "/" + oci.world.name("-group"),
                    "linux.namespaces": namespaces(True), "process.args": ["cat", "/proc/self/cgroup"]})
    assert done.code != 0 or ".." not in done.out
    assert not [d for d in set(cgroups.directories()) - before if os.path.basename(d) == "x"]


@pytest.mark.parametrize("name", ["../cgroup.procs", "a/b", "..", "", "cgroup.procs/../../x"])
def test_unified_file_cannot_lead_out(oci, name):
    oci.refuses({"linux.resources": {"unified": {name: "1"}}})


def made(name, view):
    """The freezer's group by this name, and how it freezes."""
    if view != "v2":
        return f"{cgroups.ROOT}/freezer/{name}", "freezer.state", "FROZEN", "THAWED"
    return f"{cgroups.ROOT}/{name}", "cgroup.freeze", "1", "0"


@pytest.mark.limit(15)
@pytest.mark.parametrize("view", cgroups.VIEWS)
def test_frozen_group_is_refused(oci, view):
    """At once, and it is as before: a container started in it would hang for ever."""
    path, file, frozen, thawed = made(oci.world.name("-group"), view)
    os.mkdir(path)
    cgroups.write(f"{path}/{file}", frozen)
    try:
        oci.refuses({"linux.cgroupsPath": "/" + os.path.basename(path)})
        assert os.path.isdir(path), "a group of somebody else was removed"
    finally:
        cgroups.write(f"{path}/{file}", thawed)
        cgroups.remove([d for d in cgroups.directories() if oci.world.key in d])


@pytest.mark.parametrize("view", cgroups.VIEWS)
def test_group_with_processes_is_refused(oci, view):
    path, *_ = made(oci.world.name("-group"), view)
    os.mkdir(path)
    child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "1000")
    cgroups.write(f"{path}/cgroup.procs", str(child))
    try:
        oci.refuses({"linux.cgroupsPath": "/" + os.path.basename(path)})
        with open(f"/proc/{child}/stat") as f:
            # R, D: it is still on its way to its sleep
            assert f.read().rsplit(")", 1)[1].split()[0] in "SRD", "the stranger was touched"
        assert os.path.isdir(path)
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        cgroups.remove([d for d in cgroups.directories() if oci.world.key in d])


@pytest.mark.limit(20)
@pytest.mark.parametrize("view", cgroups.VIEWS)
@pytest.mark.parametrize("how", [("kill", "KILL"), ("delete", "--force")], ids=lambda h: h[0])
def test_frozen_container_can_be_ended(oci, view, how):
    with oci.running({"linux.cgroupsPath": "/" + oci.world.name("-group")}) as name:
        assert oci.runtime.call("pause", name)
        done = oci.runtime.call(how[0], *([name, how[1]] if how[0] == "kill" else [how[1], name]))
        assert done.code == 0, done.err
        if how[0] == "delete":
            assert oci.runtime.state(name) is None


def test_group_that_was_there_stays(oci):
    """Never remove one that we did not make."""
    path, *_ = made(oci.world.name("-group"), "hybrid")
    os.mkdir(path)
    try:
        assert oci.run({"linux.cgroupsPath": "/" + os.path.basename(path), "process.args": ["true"]})
        assert os.path.isdir(path)
    finally:
        cgroups.remove([d for d in cgroups.directories() if oci.world.key in d])


def test_rdt_group_cannot_lead_out(oci):
    for name in ("..", "../x", "a/b", "/x", ""):
        oci.refuses({"linux.intelRdt": {"closID": name, "l3CacheSchema": "L3:0=f"}})
