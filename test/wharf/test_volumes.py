# SPDX-License-Identifier: Apache-2.0
"""Volumes, mounts and what containers share of each other."""
import json
import os

import pytest


def volumes(wharf, *args):
    return wharf.ok("volume", "ls", "-q", *args).split()


def test_named(wharf):
    assert wharf.ok("volume", "create", "data").strip() == "data"
    wharf.ok("run", "--name", "ww1", "-v", "data:/d", "busybox", "sh", "-c", "echo one > /d/f")
    assert wharf.ok("run", "--rm", "-v", "data:/d:ro", "busybox", "cat", "/d/f") == "one\n"
    code, _, err = wharf.run("run", "--rm", "-v", "data:/d:ro", "busybox", "touch", "/d/g")
    assert code == 1 and "Read-only" in err
    seen = json.loads(wharf.ok("inspect", "ww1"))[0]["Mounts"][0]
    assert seen["Type"] == "volume" and seen["Name"] == "data" and seen["Destination"] == "/d" and seen["RW"]
    assert seen["Source"] == json.loads(wharf.ok("volume", "inspect", "data"))[0]["Mountpoint"]
    code, _, err = wharf.run("volume", "rm", "data")
    holder = wharf.field("ww1", "Id")
    assert code == 1 and f"remove data: volume is in use - [{holder}]" in err
    wharf.ok("rm", "-v", "ww1")
    assert volumes(wharf) == ["data"]
    assert wharf.ok("volume", "rm", "data").strip() == "data"
    code, _, err = wharf.run("volume", "rm", "data")
    assert code == 1 and "get data: no such volume" in err
    wharf.ok("volume", "rm", "-f", "data")


def test_anonymous(wharf):
    wharf.ok("run", "--name", "aa1", "-v", "/d", "busybox", "touch", "/d/f")
    assert len(volumes(wharf)) == 1
    wharf.ok("rm", "aa1")
    assert len(volumes(wharf)) == 1, "rm without -v keeps it"
    wharf.ok("run", "--name", "bb1", "-v", "/d", "busybox", "true")
    wharf.ok("rm", "-v", "bb1")
    wharf.ok("run", "--rm", "-v", "/d", "busybox", "true")
    assert len(volumes(wharf, "-f", "dangling=true")) == 1
    out = wharf.ok("volume", "prune", "-f")
    assert "Deleted Volumes:" in out and "Total reclaimed space: 0B" in out
    assert volumes(wharf) == []


def test_copy_up(wharf):
    """An empty volume begins with what the image has; nocopy, and a volume with content, do not."""
    wharf.ok("run", "--rm", "-v", "etc:/etc", "busybox", "sh", "-c", "cp /etc/passwd /etc/mine; chown 33 /etc/mine")
    assert "web:x:33" in wharf.ok("run", "--rm", "-v", "etc:/x", "busybox", "cat", "/x/passwd")
    assert wharf.ok("run", "--rm", "-v", "etc:/x", "busybox", "stat", "-c", "%u", "/x/mine").strip() == "33"
    assert wharf.ok("run", "--rm", "-v", "none:/etc:nocopy", "busybox", "sh", "-c",
                    "ls /etc | grep -v -e hosts -e hostname -e resolv.conf || true") == ""
    wharf.ok("run", "--rm", "-v", "full:/x", "busybox", "touch", "/x/own")
    assert wharf.ok("run", "--rm", "-v", "full:/etc", "busybox", "ls", "/etc/own") == "/etc/own\n"
    assert wharf.run("run", "--rm", "-v", "full:/etc", "busybox", "ls", "/etc/passwd")[0] == 1
    wharf.ok("volume", "prune", "-af")


def test_mount_flag(wharf):
    os.makedirs(f"{wharf.root}/src/below")
    open(f"{wharf.root}/src/f", "w").write("bound")
    src = f"{wharf.root}/src"
    assert wharf.ok("run", "--rm", "--mount", f"type=bind,src={src},dst=/m,ro", "busybox", "cat", "/m/f") == "bound"
    code, _, err = wharf.run("run", "--rm", "--mount", "type=bind,src=/nosuch,dst=/m", "busybox", "true")
    assert code == 125 and "bind source path does not exist: /nosuch" in err
    out = wharf.ok("run", "--rm", "--mount", "type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=700", "busybox", "sh", "-c",
                   "stat -c %a /t; grep ' /t ' /proc/mounts")
    assert out.startswith("700\n") and "size=1024k" in out
    wharf.ok("run", "--rm", "--mount", "src=vol,dst=/v,volume-label=a=b", "busybox", "sh", "-c", "mkdir /v/s; echo 1 > /v/s/f")
    assert volumes(wharf, "-f", "label=a=b") == ["vol"]
    assert wharf.ok("run", "--rm", "--mount", "src=vol,dst=/x,volume-subpath=s", "busybox", "cat", "/x/f") == "1\n"
    code, _, err = wharf.run("run", "--rm", "--mount", "src=vol,dst=/x,volume-subpath=../..", "busybox", "ls", "/x")
    assert code == 0, "what leads out of the volume ends at its root"
    wharf.ok("run", "--rm", "-v", f"{wharf.root}/made/dir:/m", "busybox", "true")
    assert os.path.isdir(f"{wharf.root}/made/dir")
    code, _, err = wharf.run("run", "--rm", "-v", "vol:/x", "-v", "wol:/x", "busybox", "true")
    assert code == 125 and "Duplicate mount point: /x" in err
    assert volumes(wharf) == ["vol"]


def test_volumes_from(wharf):
    wharf.ok("create", "--name", "aa1", "-v", "shared:/s", "-v", "/own", "busybox", "true")
    wharf.ok("run", "--rm", "--volumes-from", "aa1", "busybox", "touch", "/s/f", "/own/g")
    assert wharf.ok("run", "--rm", "--volumes-from", "aa1:ro", "busybox", "ls", "/s", "/own").split() == [
        "/own:", "g", "/s:", "f"]
    code, _, _ = wharf.run("run", "--rm", "--volumes-from", "aa1:ro", "busybox", "touch", "/s/x")
    assert code == 1
    wharf.ok("rm", "-v", "aa1")
    assert volumes(wharf) == ["shared"]


def test_driver_options(wharf):
    wharf.ok("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,nosuid", "mem")
    assert "size=1024k" in wharf.ok("run", "--rm", "-v", "mem:/m", "busybox", "grep", " /m ", "/proc/mounts")
    os.makedirs(f"{wharf.root}/there")
    wharf.ok("volume", "create", "-o", "type=none", "-o", f"device={wharf.root}/there", "-o", "o=bind", "bound")
    wharf.ok("run", "--rm", "-v", "bound:/m", "busybox", "touch", "/m/f")
    assert os.path.exists(f"{wharf.root}/there/f")
    wharf.ok("volume", "rm", "mem", "bound")
    assert os.path.exists(f"{wharf.root}/there/f"), "the bound directory is not the volume's to remove"
    code, _, err = wharf.run("volume", "create", "-o", "frob=1", "x1")
    assert code == 1 and 'create x1: invalid option: "frob"' in err


def test_propagation(wharf):
    """A mount made later on the host arrives in a slave."""
    src = f"{wharf.root}/prop"
    os.makedirs(f"{src}/sub")
    os.system(f"mount --bind {src} {src} && mount --make-shared {src}")
    try:
        wharf.ok("run", "-d", "--name", "pp1", "-v", f"{src}:/p:rslave", "busybox", "sleep", "60")
        os.system(f"mount -t tmpfs x {src}/sub")
        assert "/p/sub" in wharf.ok("exec", "pp1", "cat", "/proc/mounts")
        wharf.ok("rm", "-f", "pp1")
    finally:
        os.system(f"umount {src}/sub; umount {src}")


def test_joined_namespaces(wharf):
    wharf.ok("run", "-d", "--name", "aa1", "--ipc", "shareable", "--hostname", "lender", "busybox", "sleep", "60")
    wharf.ok("exec", "aa1", "sh", "-c", "echo hi > /dev/shm/f")
    assert wharf.ok("run", "--rm", "--ipc", "container:aa1", "busybox", "cat", "/dev/shm/f") == "hi\n"
    assert "sleep" in wharf.ok("run", "--rm", "--pid", "container:aa1", "busybox", "ps")
    one = wharf.ok("exec", "aa1", "readlink", "/proc/self/ns/net")
    assert wharf.ok("run", "--rm", "--net", "container:aa1", "busybox", "readlink", "/proc/self/ns/net") == one
    assert wharf.ok("run", "--rm", "--net", "container:aa1", "busybox", "cat", "/etc/hostname") == "lender\n"
    wharf.ok("run", "-d", "--name", "bb1", "busybox", "sleep", "60")
    code, _, err = wharf.run("run", "--rm", "--ipc", "container:bb1", "busybox", "true")
    assert code == 125 and "non-shareable IPC" in err
    wharf.ok("rm", "-f", "aa1", "bb1")
    code, _, err = wharf.run("run", "--rm", "--pid", "container:aa1", "busybox", "true")
    assert code == 125 and "No such container: aa1" in err


@pytest.mark.parametrize("flags, command, expected", [
    (["--device-cgroup-rule", "c 10:200 rwm"], ["true"], ""),
    (["--uts", "host"], ["true"], ""),
    (["--cgroupns", "host", "--ipc", "none"], ["sh", "-c", "test -w /dev/shm || echo none"], None),
    (["--memory-reservation", "16m", "--cpu-period", "50000", "--cpu-quota", "25000"], ["true"], ""),
    (["--security-opt", "systempaths=unconfined"], ["sh", "-c", "grep -c ' /proc/sys ' /proc/mounts || true"], "0\n"),
    (["--security-opt", 'seccomp={"defaultAction":"SCMP_ACT_ALLOW","archMap":null,"syscalls":'
      '[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","excludes":{"caps":["CAP_SYS_ADMIN"]}}]}'],
     ["sh", "-c", "mkdir /x 2>/dev/null || echo refused"], "refused\n"),
    (["--annotation", "a=b", "--domainname", "dom"], ["cat", "/proc/sys/kernel/domainname"], "dom\n"),
])
def test_settings(wharf, flags, command, expected):
    out = wharf.ok("run", "--rm", *flags, "busybox", *command)
    assert expected is None or out == expected
