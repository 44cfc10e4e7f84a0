# SPDX-License-Identifier: Apache-2.0
"""User namespaces as a second process meets them, and the runtime as somebody who is not root."""
import contextlib
import os
import shutil
import socket
import subprocess

import pytest

from lib import seen
from lib.bundle import DEFAULT

SOMEBODY = 1000
USER = {"type": "user"}
MAPPED = {"linux.namespaces+": [USER],
          "linux.uidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}],
          "linux.gidMappings": [{"containerID": 0, "hostID": 100000, "size": 65536}]}
STATE = "/tmp/w/state"


def receive_terminal(listener):
    peer, _ = listener.accept()
    with peer:
        _, fds, _, _ = socket.recv_fds(peer, 4096, 1)
    return fds[0]


def read_all(terminal):
    """What a terminal says until its other side is gone."""
    said = b""
    with contextlib.suppress(OSError):  # EIO is the end
        while data := os.read(terminal, 4096):
            said += data
    return said.decode()


@pytest.mark.spec("config-linux.md#user-namespace-mappings")
def test_exec_in_a_user_namespace(oci):
    with oci.running(MAPPED) as name:
        pid = oci.runtime.state(name)["pid"]
        world = oci.exec_see(name)
        assert world["uid"] == [0, 0, 0] and world["uid_map"] == [[0, 100000, 65536]]
        for kind, own in world["namespaces"].items():
            if kind in ("user", "mnt", "net", "pid", "ipc", "uts"):
                assert own == os.readlink(f"/proc/{pid}/ns/{kind}"), kind
        world = oci.exec_see(name, flags=["--user", "7:8"])
        assert world["uid"] == [7, 7, 7] and world["gid"] == [8, 8, 8]


@pytest.mark.spec("runc(8)")
@pytest.mark.parametrize("patch", [{}, MAPPED], ids=["plain", "user namespace"])
def test_exec_with_a_terminal(oci, patch):
    with oci.running(patch) as name, socket.socket(socket.AF_UNIX) as listener:
        listener.bind("/tmp/w/console")
        listener.listen()
        done = oci.runtime.call("exec", "--tty", "--detach", "--console-socket", "/tmp/w/console", name,
                                "sh", "-c", "tty; sleep 0.2")
        assert done.code == 0, done.err
        terminal = receive_terminal(listener)
        try:
            assert read_all(terminal).strip().startswith("/dev/pts/")
        finally:
            os.close(terminal)


# ---- not root ----

def rootless(patch=None):
    """What `spec --rootless` writes, as far as it matters: one user, no cgroup to mount, no network to make."""
    namespaces = [n for n in DEFAULT["linux"]["namespaces"] if n["type"] != "network"] + [USER]
    own = [{"containerID": 0, "hostID": SOMEBODY, "size": 1}]
    mounts = [m for m in DEFAULT["mounts"] if m["type"] not in ("sysfs", "cgroup")]
    for m in mounts:
        m["options"] = [o for o in m.get("options", []) if not o.startswith("gid=")]
    return {"linux.namespaces": namespaces, "linux.uidMappings": own, "linux.gidMappings": own, "mounts": mounts,
            "linux.cgroupsPath": "", "linux.resources": {}, **(patch or {})}


class Somebody:
    """The runtime in the hands of a user."""

    def __init__(self, oci, patch):
        self.oci, self.bundle, self.name = oci, oci.bundle(rootless(patch)), oci.name()
        for folder, _, files in os.walk(self.bundle.path):
            for path in [folder, *(os.path.join(folder, f) for f in files)]:
                os.lchown(path, SOMEBODY, SOMEBODY)
        os.makedirs(STATE, exist_ok=True)
        os.chown(STATE, SOMEBODY, SOMEBODY)

    def call(self, *arguments):
        return self.oci.runtime.call("--root", STATE, *arguments, user=SOMEBODY, group=SOMEBODY, extra_groups=[],
                                     env={"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": STATE})


@pytest.mark.spec("config-linux.md#user-namespace-mappings")
def test_rootless_run(oci):
    somebody = Somebody(oci, {"process.args": ["/probe"]})
    done = somebody.call("run", "--bundle", somebody.bundle.path, somebody.name)
    assert done.code == 0, done.err
    world = seen.seen(done.out)
    assert world["uid"] == [0, 0, 0] and world["uid_map"] == [[0, SOMEBODY, 1]]


@pytest.mark.spec("config-linux.md#user-namespace-mappings")
def test_rootless_life(oci):
    somebody = Somebody(oci, {"process.args": ["sleep", "1000"]})
    try:
        done = somebody.call("run", "--detach", "--bundle", somebody.bundle.path, somebody.name)
        assert done.code == 0, done.err
        done = somebody.call("exec", somebody.name, "/probe")
        assert done.code == 0, done.err
        assert seen.seen(done.out)["uid"] == [0, 0, 0]
        done = somebody.call("kill", somebody.name, "KILL")
        assert done.code == 0, done.err
    finally:
        done = somebody.call("delete", "--force", somebody.name)
    assert done.code == 0, done.err


@contextlib.contextmanager
def subordinate_ids():
    """The user SOMEBODY as /etc knows one who may map more ids."""
    with open("/etc/passwd") as f:
        passwd = f.read() + f"somebody:x:{SOMEBODY}:{SOMEBODY}::/:/bin/sh\n"
    made = []
    try:
        for name, text in (("passwd", passwd), ("subuid", f"{SOMEBODY}:200000:1000\n{SOMEBODY}:300000:10\n"),
                           ("subgid", f"{SOMEBODY}:200000:1000\n")):
            with open(f"/tmp/w/{name}", "w") as f:
                f.write(text)
            subprocess.run(["mount", "--bind", f"/tmp/w/{name}", f"/etc/{name}"], check=True)
            made.append(f"/etc/{name}")
        yield
    finally:
        for path in made:
            subprocess.run(["umount", path], check=True)


@pytest.mark.spec("config-linux.md#user-namespace-mappings")
def test_rootless_with_several_ranges(oci):
    if not shutil.which("newuidmap") or not os.path.exists("/etc/subuid") or not os.path.exists("/etc/subgid"):
        pytest.skip("newuidmap and its files are not installed (package uidmap)")
    uids = [[0, SOMEBODY, 1], [1, 200000, 1000], [2000, 300000, 10]]
    gids = [[0, SOMEBODY, 1], [1, 200000, 1000]]
    patch = {field: [dict(zip(("containerID", "hostID", "size"), row)) for row in rows]
             for field, rows in (("linux.uidMappings", uids), ("linux.gidMappings", gids))}
    somebody = Somebody(oci, {**patch, "process.args": ["/probe"], "process.user": {"uid": 2005, "gid": 7}})
    with subordinate_ids():
        done = somebody.call("run", "--bundle", somebody.bundle.path, somebody.name)
    assert done.code == 0, done.err
    world = seen.seen(done.out)
    assert world["uid_map"] == uids and world["gid_map"] == gids
    assert world["uid"] == [2005] * 3 and world["gid"] == [7] * 3
