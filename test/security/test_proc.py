# SPDX-License-Identifier: Apache-2.0
"""/proc and /sys: their corners cannot be written, and what we write there reaches the true ones."""
import json
import os

import pytest

from lib.bundle import DEFAULT, DELETE, bind
from lib.seen import fails
from conftest import HOST, wait_for

MASKED = DEFAULT["linux"]["maskedPaths"]
READ_ONLY = DEFAULT["linux"]["readonlyPaths"]
NOTHING = ({"text": ""}, {"errno": "EACCES"}, {"errno": "ENOENT"}, {"errno": "EISDIR"}, {"errno": "EIO"})
TARGET = "linux.sysctl", {"net.ipv4.ip_forward": "1", "kernel.msgmax": "5000"}


def host(path):
    with open(path) as f:
        return f.read()


@pytest.mark.parametrize("path", MASKED)
def test_cve_2015_3630_masked(oci, path):
    world = oci.see({}, f"read:{path}", f"list:{path}", f"create:{path}/x")
    assert world["did"][f"read:{path}"] in NOTHING
    assert world["did"][f"list:{path}"].get("names", []) == []
    assert "errno" in world["did"][f"create:{path}/x"]


@pytest.mark.parametrize("path", READ_ONLY + ["/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe",
                                              "/proc/sys/vm/panic_on_oom", "/proc/irq/default_smp_affinity",
                                              "/sys/kernel/uevent_helper", "/sys/power/state"])
def test_cve_2015_3630_written_by_root(oci, path):
    oci.expect({}, {f"write:{path}:x": fails()})


@pytest.mark.parametrize("kind", ["link", "file", "volume", "none"])
def test_cve_2019_16884_2019_19921_2025_52881_faked_proc(oci, kind):
    """Sysctls, the label and oom_score_adj never go to what the image or a volume shows as /proc."""
    bundle = oci.bundle()
    fake = "/tmp/w/fake"
    for folder in ("sys/net/ipv4", "sys/kernel", "self/attr", "1/attr", "thread-self/attr"):
        os.makedirs(f"{fake}/{folder}")
    for name in ("sys/net/ipv4/ip_forward", "sys/kernel/msgmax", "self/oom_score_adj", "self/attr/exec",
                 "1/oom_score_adj", "thread-self/attr/exec"):
        open(f"{fake}/{name}", "w").close()
    no_proc = [m for m in DEFAULT["mounts"] if m["destination"] != "/proc"]
    patch = {"mounts": no_proc if kind in ("volume", "none") else DEFAULT["mounts"], "linux.maskedPaths": DELETE,
             "linux.readonlyPaths": DELETE, "linux.sysctl": dict(TARGET[1]), "process.oomScoreAdj": 500,
             "process.args": ["true"]}
    os.rmdir(f"{bundle.root}/proc")
    if kind == "link":
        os.symlink(fake, f"{bundle.root}/proc")
    elif kind == "file":
        open(f"{bundle.root}/proc", "w").close()
    elif kind == "volume":
        os.mkdir(f"{bundle.root}/proc")
        patch["mounts"] = no_proc + [bind(fake, "/proc")]
    else:
        os.symlink("../../fake", f"{bundle.root}/proc")
    before = host("/proc/sys/kernel/msgmax")
    bundle.configure(patch)
    done = oci.runtime.run(bundle, oci.name())
    assert done or done.err.strip()
    written = [os.path.join(folder, name) for folder, _, names in os.walk(fake) for name in names
               if os.path.getsize(os.path.join(folder, name))]
    assert not written, "the faked files were written"
    assert host("/proc/sys/kernel/msgmax") == before, "the host's sysctl was written"


@pytest.mark.slow
@pytest.mark.limit(120)
def test_cve_2023_28642_2025_52881_raced_proc(oci, racer):
    """The image's /proc is swapped for a link to the host's folder, which holds the same names."""
    bundle = oci.bundle()
    fake = "/tmp/w/fake"
    os.makedirs(f"{fake}/sys/kernel")
    os.makedirs(f"{fake}/sys/net/ipv4")
    open(f"{fake}/sys/kernel/msgmax", "w").close()
    open(f"{fake}/sys/net/ipv4/ip_forward", "w").close()
    os.symlink(fake, f"{bundle.root}/link")
    bundle.configure({"process.args": ["cat", "/proc/sys/kernel/msgmax"], "linux.sysctl": TARGET[1]})
    with racer.exchanging(f"{bundle.root}/proc", f"{bundle.root}/link"):
        for _ in range(150):
            done = oci.runtime.run(bundle, oci.name())
            assert done.code != 0 or done.out == "5000\n", "the sysctl went elsewhere"
    assert not os.path.getsize(f"{fake}/sys/kernel/msgmax")
    assert not os.path.getsize(f"{fake}/sys/net/ipv4/ip_forward")


def test_cve_2015_1334_attach_does_not_trust_the_containers_proc(oci):
    """The container covers its /proc with its own files; exec decides by ours and goes on working."""
    caps = {name: ["CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN"]
            for name in ("bounding", "effective", "permitted")}
    script = "mount -t tmpfs none /proc && mkdir -p /proc/self/attr /proc/1 /proc/self/fd && " \
             "echo 'x:1' >/proc/self/status && echo >/tmp/ready && exec sleep 1000"
    bundle = oci.bundle()
    bundle.configure({"process.args": ["sh", "-c", script], "process.capabilities": caps})
    with oci.running(bundle=bundle) as name:
        wait_for(lambda: os.path.exists(f"{bundle.root}/tmp/ready"))
        done = oci.runtime.call("exec", "--user", "1000:1000", name, "/probe")
        assert done.code == 0, done.err
        seen = json.loads(done.out)
        assert seen["uid"] == [1000] * 3 and seen["groups"] in ([], [1000])
        assert sorted(seen["fds"]) == ["0", "1", "2"] and seen["no_new_privs"] == 1


@pytest.mark.parametrize("name", ["kernel.hostname", "kernel/hostname", "kernel.core_pattern", "kernel.modprobe",
                                  "vm.overcommit_memory", "fs.file-max", "fs.mqueue/../file-max", "../x", "net..x",
                                  "net.ipv4/../../kernel.core_pattern", "", "/etc/passwd", "kernel.domainname/.."])
def test_sysctl_of_the_host(oci, name):
    before = host("/proc/sys/kernel/core_pattern")
    oci.refuses({"linux.sysctl": {name: "1"}})
    assert host("/proc/sys/kernel/core_pattern") == before


def test_sysctl_in_a_joined_namespace_of_the_host(oci):
    """A path that leads to the host's own namespace makes the container the owner of nothing."""
    others = [n for n in DEFAULT["linux"]["namespaces"] if n["type"] != "ipc"]
    before = host("/proc/sys/kernel/msgmax")
    try:
        oci.refuses({"linux.namespaces": others + [{"type": "ipc", "path": "/proc/self/ns/ipc"}],
                     "linux.sysctl": {"kernel.msgmax": "5000"}})
    finally:
        with open("/proc/sys/kernel/msgmax", "w") as f:
            f.write(before)


def test_cve_2025_52881_exec_label_and_score_go_to_the_process_itself(oci):
    with oci.running({"process.oomScoreAdj": 300}) as name:
        with open(f"/proc/{oci.runtime.state(name)['pid']}/oom_score_adj") as f:
            assert f.read() == "300\n"
    assert host("/proc/self/oom_score_adj") != "300\n"
    assert not os.path.exists(HOST + "/oom_score_adj")
