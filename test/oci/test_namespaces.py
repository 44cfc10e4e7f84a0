# SPDX-License-Identifier: Apache-2.0
"""`linux.namespaces`, id mappings, time offsets, host names, sysctl, network devices."""
import contextlib
import os
import subprocess

import pytest

from lib.bundle import DEFAULT, DELETE
from lib.oci_case import refused, seen_cases
from lib.seen import has, wanting

FILES = {"pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts", "mount": "mnt", "cgroup": "cgroup",
         "user": "user", "time": "time"}
DEFAULTS = DEFAULT["linux"]["namespaces"]
MAPPING = [{"containerID": 0, "hostID": 100000, "size": 65536}]
USER = {"linux.namespaces+": [{"type": "user"}], "linux.uidMappings": MAPPING, "linux.gidMappings": MAPPING}


def without(*kinds):
    return {"linux.namespaces": [n for n in DEFAULTS if n["type"] not in kinds]}


def joining(path):
    return {"linux.namespaces": without("network")["linux.namespaces"] + [{"type": "network", "path": path}]}


def own(kind):
    return os.readlink(f"/proc/self/ns/{FILES[kind]}")


def added(kind):
    return {"linux.namespaces+": [] if any(n["type"] == kind for n in DEFAULTS) else [{"type": kind}]}


test_seen = seen_cases(
    ("config.md#hostname", "hostname", {"hostname": "some-name"}, {"hostname": "some-name"}),
    ("config.md#domainname", "domainname", {"domainname": "some.domain"}, {"domainname": "some.domain"}),
    ("config-linux.md#namespaces", "a network of its own has only a loopback", {}, {"links": ["lo"]}),
    ("config-linux.md#user-namespace-mappings", "uidMappings and gidMappings", USER,
     {"uid_map": [[0, 100000, 65536]], "gid_map": [[0, 100000, 65536]], "uid": [0, 0, 0]}),
    ("config-linux.md#user-namespace-mappings", "several ranges",
     {**USER, "linux.uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000},
                                    {"containerID": 1000, "hostID": 5000, "size": 1},
                                    {"containerID": 2000, "hostID": 200000, "size": 10}]},
     {"uid_map": [[0, 100000, 1000], [1000, 5000, 1], [2000, 200000, 10]]}),
    ("config-linux.md#user-namespace-mappings", "another user than root",
     {**USER, "process.user": {"uid": 1000, "gid": 1000, "additionalGids": [1001]}},
     {"uid": [1000] * 3, "gid": [1000] * 3, "groups": has(1001)}),
    ("config-linux.md#user-namespace-mappings", "root of it owns its devices", USER,
     {"stat:/dev/null": {"type": "c", "device": [1, 3]}, "mounts|/dev|kind": "tmpfs"}),
    ("config-linux.md#offset-for-time-namespace", "timeOffsets",
     {**added("time"), "linux.timeOffsets": {"monotonic": {"secs": 1000, "nanosecs": 5},
                                             "boottime": {"secs": 2000, "nanosecs": 0}}},
     {"proc.timens_offsets": wanting("the two offsets", lambda text: [line.split() for line in text.splitlines()] ==
                                     [["monotonic", "1000", "5"], ["boottime", "2000", "0"]])}),
    ("config-linux.md#sysctl", "of the network namespace", {"linux.sysctl": {"net.ipv4.ip_forward": "1"}},
     {"read:/proc/sys/net/ipv4/ip_forward": {"text": "1\n"}}),
    ("config-linux.md#sysctl", "of the ipc namespace", {"linux.sysctl": {"kernel.msgmax": "5000"}},
     {"read:/proc/sys/kernel/msgmax": {"text": "5000\n"}}),
    ("config-linux.md#sysctl", "of message queues", {"linux.sysctl": {"fs.mqueue.msg_max": "7"}},
     {"read:/proc/sys/fs/mqueue/msg_max": {"text": "7\n"}}),
    ("config-linux.md#sysctl", "with slashes", {"linux.sysctl": {"net/ipv4/ip_forward": "1"}},
     {"read:/proc/sys/net/ipv4/ip_forward": {"text": "1\n"}}),
)

test_refused = refused(
    ("config-linux.md#namespaces", "an unknown type", {"linux.namespaces+": [{"type": "none"}]}),
    ("config-linux.md#namespaces", "a type twice", {"linux.namespaces+": [{"type": "pid"}]}),
    ("config-linux.md#namespaces", "a path that is missing", joining("/none/such"), "/none/such"),
    ("config-linux.md#namespaces", "a path to another type", joining("/proc/self/ns/uts")),
    ("config-linux.md#namespaces", "a path that is no namespace", joining("/etc/passwd")),
    ("config.md#hostname", "a hostname without a uts namespace", without("uts")),
    ("config.md#domainname", "a domainname without a uts namespace",
     {**without("uts"), "hostname": DELETE, "domainname": "x"}),
    ("config-linux.md#user-namespace-mappings", "overlapping ranges",
     {**USER, "linux.uidMappings": [{"containerID": 0, "hostID": 100000, "size": 1000},
                                    {"containerID": 500, "hostID": 300000, "size": 1000}]}),
    ("config-linux.md#user-namespace-mappings", "a user that is not mapped",
     {**USER, "process.user": {"uid": 70000, "gid": 0}}),
    ("config-linux.md#offset-for-time-namespace", "offsets without a time namespace",
     {"linux.timeOffsets": {"monotonic": {"secs": 1, "nanosecs": 0}}}),
    ("config-linux.md#sysctl", "one of the whole host", {"linux.sysctl": {"vm.swappiness": "60"}}, "vm.swappiness"),
    ("config-linux.md#sysctl", "of the network without a network namespace",
     {**without("network"), "linux.sysctl": {"net.ipv4.ip_forward": "1"}}),
    ("config-linux.md#sysctl", "of ipc without an ipc namespace",
     {**without("ipc"), "linux.sysctl": {"kernel.msgmax": "5000"}}),
    ("config-linux.md#sysctl", "of a joined namespace that is the host's",
     {**joining("/proc/self/ns/net"), "linux.sysctl": {"net.ipv4.ip_forward": "1"}}),
    ("config-linux.md#sysctl", "an unknown one", {"linux.sysctl": {"net.none": "1"}}),
    ("config-linux.md#sysctl", "that leaves /proc/sys", {"linux.sysctl": {"net.ipv4/../../kernel.msgmax": "1"}}),
    ("config-linux.md#sysctl", "kernel.hostname, which is hostname's", {"linux.sysctl": {"kernel.hostname": "x"}}),
    ("config-linux.md#network-devices", "a device that is missing", {"linux.netDevices": {"none0": {}}}, "none0"),
    ("config-linux.md#network-devices", "a name that no device can have",
     {"linux.netDevices": {"lo": {"name": "far-too-long-a-name"}}}),
)


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.spec("config-linux.md#namespaces"))
                                  for k in FILES if k != "user"])
def test_new(oci, kind):
    assert oci.see(added(kind))["namespaces"][FILES[kind]] not in (own(kind), "")


@pytest.mark.spec("config-linux.md#namespaces")
def test_new_user(oci):
    assert oci.see(USER)["namespaces"]["user"] != own("user")


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.spec("config-linux.md#namespaces"))
                                  for k in ("network", "ipc", "uts", "pid", "cgroup", "time", "user")])
def test_the_runtimes_where_not_listed(oci, kind):
    patch = without(kind)
    if kind == "uts":
        patch["hostname"] = DELETE
    if kind == "network":  # a sysfs of its own cannot be had there with every kernel
        patch["mounts"] = [m for m in DEFAULT["mounts"] if m["destination"] != "/sys"]
    if kind == "ipc":
        patch["mounts"] = [m for m in DEFAULT["mounts"] if m["destination"] != "/dev/mqueue"]
    assert oci.see(patch)["namespaces"][FILES[kind]] == own(kind)


@contextlib.contextmanager
def holder(kind):
    """A process that holds a new namespace: its pid."""
    flag = {"network": "--net", "cgroup": "--cgroup", "time": "--time"}.get(kind, "--" + kind)
    child = subprocess.Popen(["unshare", flag, "sh", "-c", "echo; exec sleep 1000"], stdout=subprocess.PIPE)
    child.stdout.readline()
    try:
        yield child.pid
    finally:
        child.kill()
        child.wait()
        child.stdout.close()


@pytest.mark.parametrize("kind", [pytest.param(k, marks=pytest.mark.spec("config-linux.md#namespaces"))
                                  for k in ("network", "ipc", "uts", "cgroup", "time")])
def test_join(oci, kind):
    with holder(kind) as pid:
        # unshare(CLONE_NEWTIME) is for children: that of the process itself is the one it made
        path = f"/proc/{pid}/ns/{FILES[kind]}"
        patch = {"linux.namespaces": without(kind)["linux.namespaces"] + [{"type": kind, "path": path}]}
        expected = os.readlink(path)
        assert expected != own(kind)
        assert oci.see(patch)["namespaces"][FILES[kind]] == expected


@pytest.mark.spec("config-linux.md#namespaces")
def test_join_pid(oci):
    with oci.running() as first:
        pid = oci.runtime.state(first)["pid"]
        path = f"/proc/{pid}/ns/pid"
        expected = os.readlink(path)
        seen = oci.see({"linux.namespaces": without("pid")["linux.namespaces"] + [{"type": "pid", "path": path}]})
        assert seen["namespaces"]["pid"] == expected and seen["pid"] != 1


@pytest.mark.spec("config-linux.md#namespaces")
def test_join_all_of_another_container(oci):
    with oci.running(USER) as first:
        pid = oci.runtime.state(first)["pid"]
        joined = [{"type": kind, "path": f"/proc/{pid}/ns/{FILES[kind]}"}
                  for kind in ("user", "network", "ipc", "uts")]
        expected = os.readlink(f"/proc/{pid}/ns/user")
        seen = oci.see({"linux.namespaces": [{"type": "mount"}, {"type": "pid"}] + joined, "hostname": DELETE})
        assert seen["namespaces"]["user"] == expected and seen["hostname"] == "inside"


@pytest.mark.spec("config-linux.md#network-devices")
@pytest.mark.parametrize("rename", [None, "inner0"])
def test_network_device(oci, rename):
    """It moves into the container, keeps its address, and is up."""
    subprocess.run("ip link add wt0 type veth peer name wt1 && ip addr add 10.9.8.7/24 dev wt0 && "
                   "ip link set wt0 up", shell=True, check=True)
    name = rename or "wt0"
    try:
        seen = oci.see({"linux.netDevices": {"wt0": {"name": rename} if rename else {}}},
                       "read:/proc/net/fib_trie")
        assert name in seen["links"]
        assert "10.9.8.7" in seen["did"]["read:/proc/net/fib_trie"]["text"]
    finally:
        # the peer goes with the device when the container's network namespace ends; else here
        subprocess.run(["ip", "link", "del", "wt1"], stderr=subprocess.DEVNULL)


@pytest.mark.spec("security: CVE-2014-8989")
def test_additional_groups_need_a_mapping(oci):
    oci.refuses({**USER, "linux.gidMappings": [{"containerID": 0, "hostID": 100000, "size": 1}],
                 "process.user": {"uid": 0, "gid": 0, "additionalGids": [5]}})
