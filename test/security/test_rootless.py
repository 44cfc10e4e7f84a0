# SPDX-License-Identifier: Apache-2.0
"""Containers of an ordinary user, in a user namespace that maps one id: less than root has, and no more."""
import os
import subprocess

import pytest

from lib import cgroups
from lib.bundle import DEFAULT, mount
from lib.seen import seen

UID = 1000
ONE = [{"containerID": 0, "hostID": UID, "size": 1}]
NAMESPACES = [{"type": kind} for kind in ("pid", "ipc", "uts", "mount", "user")]
# no network namespace: the host's sysfs is bound, as `spec --rootless` writes it; no gid=5 to map
MOUNTS = [m for m in DEFAULT["mounts"] if m["destination"] not in ("/sys", "/dev/pts")] + [
    mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"),
    mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro")]
PATCH = {"linux.namespaces": NAMESPACES, "linux.uidMappings": ONE, "linux.gidMappings": ONE, "mounts": MOUNTS}


class User:
    """The runtime, called by an ordinary user."""

    def __init__(self, oci):
        self.oci = oci
        os.makedirs("/tmp/w/user/state")
        subprocess.run(["chown", "-R", f"{UID}:{UID}", "/tmp/w/user"], check=True)

    def run(self, patch, *arguments, program=("/probe",)):
        bundle = self.oci.bundle({**PATCH, "process.args": list(program), **patch})
        subprocess.run(["chown", "-R", f"{UID}:{UID}", bundle.path], check=True)
        return subprocess.run(
            ["setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
             "env", "XDG_RUNTIME_DIR=/tmp/w/user", self.oci.runtime.path, "--root", "/tmp/w/user/state", "run",
             "--bundle", bundle.path, *arguments, self.oci.name()],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20)


@pytest.fixture
def user(oci):
    path = oci.runtime.path
    while path != "/":
        path = os.path.dirname(path)
        if not os.stat(path).st_mode & 1:
            pytest.skip(f"an ordinary user cannot reach the runtime through {path}")
    return User(oci)


def test_runs(user):
    done = user.run({})
    assert done.returncode == 0, done.stderr
    world = seen(done.stdout)
    assert world["uid"] == [0] * 3 and world["uid_map"] == [[0, UID, 1]]
    assert sorted(world["fds"]) == ["0", "1", "2"]


def test_cve_2014_8989_setgroups_is_denied(user):
    """A group that a file refuses cannot be dropped."""
    done = user.run({})
    assert done.returncode == 0, done.stderr
    assert seen(done.stdout)["proc"]["setgroups"] == "deny\n"


def test_cve_2014_8989_additional_groups_are_refused(user):
    done = user.run({"process.user": {"uid": 0, "gid": 0, "additionalGids": [5]}})
    assert done.returncode != 0 and done.stderr.strip()


@pytest.mark.parametrize("view", cgroups.VIEWS)
@pytest.mark.parametrize("private", [False, True], ids=["host's", "namespace"])
def test_cve_2023_25809_cgroups_cannot_be_written(user, view, private):
    """Without a cgroup namespace the tree is bound read-only; with one it may be refused."""
    group = mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime")
    script = "for f in $(busybox find /sys/fs/cgroup -name cgroup.procs -o -name release_agent 2>/dev/null); do " \
             "(echo 0 >$f) 2>/dev/null && echo wrote $f; done; grep ' /sys/fs/cgroup' /proc/self/mountinfo; true"
    done = user.run({"mounts": MOUNTS + [group], "linux.namespaces":
                     NAMESPACES + ([{"type": "cgroup"}] if private else [])}, program=["sh", "-c", script])
    assert done.returncode == 0 or private, done.stderr
    assert "wrote" not in done.stdout, done.stdout
    if done.returncode == 0 and not private:
        # what a path leads to is mounted last; beneath is the tree that came with /sys
        seen_there = {line.split()[4]: line.split()[5] for line in done.stdout.splitlines()}
        assert seen_there and all("ro" in options.split(",") for options in seen_there.values()), done.stdout


@pytest.mark.parametrize("patch", [
    {"linux.uidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]},
    {"linux.gidMappings": [{"containerID": 0, "hostID": 0, "size": 1}]},
    {"linux.uidMappings": [{"containerID": 0, "hostID": UID, "size": 2}]},
    {"linux.netDevices": {"lo": {}}},
], ids=["root's uid", "root's gid", "a neighbour's uid", "a network device"])
def test_what_an_ordinary_user_may_not(user, patch):
    done = user.run(patch)
    assert done.returncode != 0 and done.stderr.strip()
