# SPDX-License-Identifier: Apache-2.0
"""`linux.cgroupsPath` and `linux.resources`: that every limit reaches the kernel's file, in every layout.

The values are read from outside, in whichever hierarchy owns the controller. A limit whose controller a
view does not have is not tested there: test_missing_controller says what is asked of a runtime then.
"""
import os

import pytest

from lib import cgroups
from lib.bundle import DEFAULT
from lib.oci_case import refused

MIB = 1 << 20


class Groups:
    """The cgroup files of one container, by either version's names."""

    def __init__(self, path):
        self.path = path
        unified = cgroups.UNIFIED if os.path.ismount(cgroups.UNIFIED) else cgroups.ROOT
        self.unified = unified if os.path.exists(f"{unified}/cgroup.controllers") else None

    def file(self, controller, v1, v2):
        """The file of a limit in the hierarchy that owns its controller, or None."""
        if v1 and os.path.ismount(f"{cgroups.ROOT}/{controller}"):
            return f"{cgroups.ROOT}/{controller}{self.path}/{v1}"
        if v2 and self.unified and controller in self.controllers():
            return f"{self.unified}{self.path}/{v2}"
        return None

    def controllers(self):
        with open(f"{self.unified}/cgroup.controllers") as f:
            return f.read().split()


# (field, resources, controller, v1 file, its text, v2 file, its text)
LIMITS = [
    ("config-linux.md#memory", "limit", {"memory": {"limit": 64 * MIB}}, "memory",
     "memory.limit_in_bytes", str(64 * MIB), "memory.max", str(64 * MIB)),
    ("config-linux.md#memory", "limit of -1", {"memory": {"limit": -1}}, "memory",
     "memory.limit_in_bytes", "9223372036854771712", "memory.max", "max"),
    ("config-linux.md#memory", "reservation", {"memory": {"reservation": 32 * MIB}}, "memory",
     "memory.soft_limit_in_bytes", str(32 * MIB), "memory.low", str(32 * MIB)),
    ("config-linux.md#memory", "swappiness", {"memory": {"swappiness": 13}}, "memory",
     "memory.swappiness", "13", None, None),
    ("config-linux.md#memory", "disableOOMKiller", {"memory": {"disableOOMKiller": True}}, "memory",
     "memory.oom_control", "oom_kill_disable 1", None, None),
    ("config-linux.md#memory", "useHierarchy", {"memory": {"useHierarchy": True}}, "memory",
     "memory.use_hierarchy", "1", None, None),
    ("config-linux.md#memory", "checkBeforeUpdate", {"memory": {"limit": 64 * MIB, "checkBeforeUpdate": True}},
     "memory", "memory.limit_in_bytes", str(64 * MIB), "memory.max", str(64 * MIB)),
    ("config-linux.md#memory", "swap", {"memory": {"limit": 64 * MIB, "swap": 128 * MIB}}, "memory",
     "memory.memsw.limit_in_bytes", str(128 * MIB), "memory.swap.max", str(64 * MIB)),
    ("config-linux.md#cpu", "shares", {"cpu": {"shares": 512}}, "cpu", "cpu.shares", "512", "cpu.weight", "59"),
    ("config-linux.md#cpu", "quota and period", {"cpu": {"quota": 50000, "period": 200000}}, "cpu",
     "cpu.cfs_quota_us", "50000", "cpu.max", "50000 200000"),
    ("config-linux.md#cpu", "period", {"cpu": {"quota": 50000, "period": 200000}}, "cpu",
     "cpu.cfs_period_us", "200000", "cpu.max", "50000 200000"),
    ("config-linux.md#cpu", "burst", {"cpu": {"quota": 50000, "period": 100000, "burst": 20000}}, "cpu",
     "cpu.cfs_burst_us", "20000", "cpu.max.burst", "20000"),
    ("config-linux.md#cpu", "idle", {"cpu": {"idle": 1}}, "cpu", "cpu.idle", "1", "cpu.idle", "1"),
    ("config-linux.md#cpu", "realtimeRuntime and realtimePeriod",
     {"cpu": {"realtimePeriod": 1000000, "realtimeRuntime": 10000}}, "cpu", "cpu.rt_runtime_us", "10000", None, None),
    ("config-linux.md#cpu", "cpus", {"cpu": {"cpus": "0"}}, "cpuset", "cpuset.cpus", "0", "cpuset.cpus", "0"),
    ("config-linux.md#cpu", "mems", {"cpu": {"mems": "0"}}, "cpuset", "cpuset.mems", "0", "cpuset.mems", "0"),
    ("config-linux.md#pids", "limit", {"pids": {"limit": 77}}, "pids", "pids.max", "77", "pids.max", "77"),
    ("config-linux.md#pids", "limit of -1", {"pids": {"limit": -1}}, "pids", "pids.max", "max", "pids.max", "max"),
    ("config-linux.md#block-io", "weight", {"blockIO": {"weight": 300}}, "blkio",
     "blkio.bfq.weight", "300", "io.bfq.weight", "default 300"),
    ("config-linux.md#huge-page-limits", "limit", {"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]},
     "hugetlb", "hugetlb.2MB.limit_in_bytes", str(4 * MIB), "hugetlb.2MB.max", str(4 * MIB)),
    ("config-linux.md#unified", "a file by its name", {"unified": {"cgroup.max.depth": "3"}},
     "hugetlb", None, None, "cgroup.max.depth", "3"),
    ("config-linux.md#unified", "a controller's file", {"unified": {"hugetlb.2MB.max": str(4 * MIB)}},
     "hugetlb", None, None, "hugetlb.2MB.max", str(4 * MIB)),
]
THROTTLES = [("throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps"),
             ("throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps"),
             ("throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops"),
             ("throttleWriteIOPSDevice", "blkio.throttle.write_iops_device", "wiops")]


def read(path):
    with open(path) as f:
        return f.read().strip()


def in_group(oci, resources=None, path=None, **options):
    path = path or "/" + oci.world.name("-group")
    patch = {"linux.cgroupsPath": path}
    if resources is not None:
        patch["linux.resources"] = resources
    return oci.running(patch, **options), Groups(path)


@pytest.mark.parametrize("view", cgroups.VIEWS)
@pytest.mark.parametrize("resources, controller, v1, v1_text, v2, v2_text",
                         [pytest.param(*row[2:], id=f"{row[0]}: {row[1]}", marks=pytest.mark.spec(row[0]))
                          for row in LIMITS])
def test_limit(oci, view, resources, controller, v1, v1_text, v2, v2_text):
    container, groups = in_group(oci, resources)
    path = groups.file(controller, v1, v2)
    if path is None:
        pytest.skip(f"the {view} view has no {controller} controller with this limit")
    parent = os.path.join(os.path.dirname(os.path.dirname(path)), os.path.basename(path))
    if os.path.basename(path) == v1 and not os.path.exists(parent):
        pytest.skip(f"this kernel has no {v1}")
    with container:
        assert (v1_text if os.path.basename(path) == v1 else v2_text) in read(path).splitlines()


@pytest.mark.spec("config-linux.md#block-io")
@pytest.mark.parametrize("field, v1, key", THROTTLES, ids=[t[0] for t in THROTTLES])
def test_throttle(oci, field, v1, key):
    major, minor = os.major(os.stat("/").st_dev), os.minor(os.stat("/").st_dev)
    disk = next((name for name in os.listdir("/sys/block") if open(f"/sys/block/{name}/dev").read().strip() ==
                 f"{major}:{minor}"), None)
    if not disk:
        pytest.skip("the root file system is on no whole disk")
    container, groups = in_group(oci, {"blockIO": {field: [{"major": major, "minor": minor, "rate": 1000000}]}})
    path = groups.file("blkio", v1, None) or groups.file("io", None, "io.max")
    if not path:
        pytest.skip("no controller for block devices")
    with container:
        assert "1000000" in read(path) and f"{major}:{minor}" in read(path)


@pytest.mark.spec("config-linux.md#cgroups-path")
@pytest.mark.parametrize("view", cgroups.VIEWS)
def test_absolute_path(oci, view):
    """From the mount point of every hierarchy; the process is in it, and delete removes it."""
    name = oci.world.name("-group")
    container, _ = in_group(oci, path=f"/{name}/inner")
    with container as identity:
        with open(f"/proc/{oci.runtime.state(identity)['pid']}/cgroup") as f:
            paths = {line.split(":")[1]: line.strip().split(":", 2)[2] for line in f}
        resource_kinds = [k for k in ("memory", "pids", "devices", "freezer") if k in paths] if view != "v2" else [""]
        assert resource_kinds and all(paths[k] == f"/{name}/inner" for k in resource_kinds)
    left = [d for d in cgroups.directories() if d.endswith("/inner") and name in d]
    assert not left
    # the parent was not asked for by itself: whether it stays is the runtime's choice
    cgroups.remove([d for d in cgroups.directories() if name in d])


@pytest.mark.spec("config-linux.md#cgroups-path")
def test_path_cannot_lead_out(oci):
    """".." is refused, or ends at the root of the hierarchy."""
    name = oci.world.name("-out")
    oci.run({"linux.cgroupsPath": f"/a/../../../../../../tmp/w/{name}"})
    assert not os.path.exists(f"/tmp/w/{name}")
    assert not [d for d in cgroups.directories() if d.endswith(name)]


@pytest.mark.spec("config-linux.md#cgroups-path")
def test_default_path_is_of_the_container_alone(oci):
    with oci.running() as first, oci.running() as second:
        paths = []
        for name in (first, second):
            with open(f"/proc/{oci.runtime.state(name)['pid']}/cgroup") as f:
                paths.append(f.read())
        assert paths[0] != paths[1]


@pytest.mark.spec("config-linux.md#cgroups-path")
def test_group_that_exists_is_used(oci):
    """and is not taken for another one: limits that it has and that are not asked for stay."""
    container, groups = in_group(oci, {})
    path = groups.file("pids", "pids.max", "pids.max")
    if not path:
        pytest.skip("no pids controller")
    os.mkdir(os.path.dirname(path))
    cgroups.write(path, "99")
    with container:
        assert read(path) == "99"
    cgroups.remove([os.path.dirname(path)])  # who made it: a runtime may leave what it found


@pytest.mark.spec("runc(8)")
def test_group_with_processes_is_refused(oci):
    with oci.running({"linux.cgroupsPath": "/" + oci.world.name("-group")}) as first:
        oci.refuses({"linux.cgroupsPath": "/" + oci.world.name("-group")})
        assert oci.runtime.state(first)["status"] == "running"


@pytest.mark.spec("runc(8)")
@pytest.mark.limit(15)
def test_frozen_group_is_refused(oci):
    name = oci.world.name("-group")
    path, value, thawed = (f"{cgroups.ROOT}/freezer/{name}", "FROZEN", "THAWED")
    if not os.path.isdir(f"{cgroups.ROOT}/freezer"):
        pytest.skip("no v1 freezer")
    os.mkdir(path)
    cgroups.write(f"{path}/freezer.state", value)
    try:
        oci.refuses({"linux.cgroupsPath": "/" + name})
    finally:
        cgroups.write(f"{path}/freezer.state", thawed)
        cgroups.remove([d for d in cgroups.directories() if name in d])


@pytest.mark.spec("config-linux.md#cgroups-path")
def test_cgroup_namespace_hides_the_path(oci):
    patch = {"linux.cgroupsPath": "/" + oci.world.name("-group"),
             "linux.namespaces": DEFAULT["linux"]["namespaces"] + [{"type": "cgroup"}]}
    paths = oci.see(patch)["cgroups"]
    assert not [p for p in paths.values() if oci.world.key in p]


@pytest.mark.spec("config-linux.md#pids")
def test_pids_limit_holds(oci):
    container, groups = in_group(oci, {"pids": {"limit": 5}})
    if not groups.file("pids", "pids.max", "pids.max"):
        pytest.skip("no pids controller")
    with container as name:
        done = oci.exec(name, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait")
        assert done.code != 0 or "fork" in done.err


@pytest.mark.spec("config-linux.md#memory")
def test_memory_limit_holds(oci):
    container, groups = in_group(oci, {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}})
    if not groups.file("memory", "memory.limit_in_bytes", "memory.max"):
        pytest.skip("no memory controller")
    try:
        with container as name:
            done = oci.exec(name, "sh", "-c", "x=$(head -c 60000000 /dev/zero | tr '\\000' x); echo ${#x}")
            assert done.out.strip() != "60000000"
    except AssertionError as e:
        if "memsw" in str(e):
            pytest.skip("this kernel does not account for swap")
        raise


@pytest.mark.spec("config-linux.md#control-groups")
@pytest.mark.parametrize("resources, name", [
    ({"network": {"classID": 1048577}}, "net_cls"), ({"network": {"priorities": [{"name": "lo", "priority": 3}]}}, "net_prio"),
    ({"rdma": {"mlx5_0": {"hcaHandles": 3}}}, "rdma")], ids=["net_cls", "net_prio", "rdma"])
def test_missing_controller(oci, resources, name):
    """A limit that cannot be applied is an error that names the controller."""
    mounted = [point for point in cgroups.hierarchies() if name in point]
    if mounted:
        pytest.skip(f"{name} is mounted: this is about its absence")
    oci.refuses({"linux.resources": resources}, naming=name)


test_refused = refused(
    ("config-linux.md#memory", "swap below the limit", {"linux.resources": {"memory": {"limit": 64 * MIB, "swap": 32 * MIB}}}),
    ("config-linux.md#cpu", "a processor that does not exist", {"linux.resources": {"cpu": {"cpus": "4000"}}}),
    ("config-linux.md#cpu", "a list of processors that is none", {"linux.resources": {"cpu": {"cpus": "x"}}}),
    ("config-linux.md#cpu", "a quota below the kernel's least", {"linux.resources": {"cpu": {"quota": 1, "period": 100000}}}),
    ("config-linux.md#huge-page-limits", "a size that does not exist",
     {"linux.resources": {"hugepageLimits": [{"pageSize": "3MB", "limit": 1}]}}, "3MB"),
    ("config-linux.md#unified", "a file that does not exist", {"linux.resources": {"unified": {"none.such": "1"}}}, "none.such"),
    ("config-linux.md#unified", "a file outside of the cgroup", {"linux.resources": {"unified": {"../cgroup.procs": "1"}}}),
    ("config-linux.md#block-io", "a weight out of range", {"linux.resources": {"blockIO": {"weight": 5000}}}),
)


@pytest.mark.spec("runc(8)")
def test_exec_into_a_group_per_controller(oci):
    """exec --cgroup CONTROLLERS:PATH, again and again: each for the v1 hierarchies of its controllers."""
    with oci.running() as name:
        pid = oci.runtime.state(name)["pid"]
        with open(f"/proc/{pid}/cgroup") as f:
            own = {line.split(":")[1]: line.strip().split(":", 2)[2] for line in f}
        if not {"memory", "pids"} <= set(own):
            pytest.skip("no v1 hierarchies of memory and pids")
        for controller, sub in (("memory", "a"), ("pids", "b")):
            os.mkdir(f"/sys/fs/cgroup/{controller}{own[controller]}/{sub}")
        flags = ["--cgroup", "memory:a", "--cgroup", "pids:b"]
        done = oci.runtime.call("exec", *flags, name, "cat", "/proc/self/cgroup")
        assert done.code == 0, done.err
        seen = {line.split(":")[1]: line.split(":", 2)[2] for line in done.out.splitlines()}
        assert seen["memory"].endswith("/a") and seen["pids"].endswith("/b")
        assert not seen["freezer"].endswith(("/a", "/b"))
        assert not oci.runtime.call("exec", "--cgroup", "none:a", name, "true")
