# SPDX-License-Identifier: Apache-2.0
"""The stock docker CLI in front of wharfd and, to compare, of Debian's dockerd."""
import os
import shutil
import subprocess
import sys

import pytest

from lib import cgroups
from lib.daemons import Daemon, wharfd_program
from lib.rootfs import busybox_tar

sys.path.insert(0, os.path.dirname(__file__))  # compare


@pytest.fixture
def archive(world):
    busybox_tar("bb.tar")
    return os.path.abspath("bb.tar")


def imported(daemon, archive):
    daemon.cli("import", "-c", 'CMD ["sh"]', archive, "busybox")
    return daemon


@pytest.fixture
def wharfd(world, archive):
    daemon = Daemon("wharfd", [wharfd_program(), "-H", "unix:///tmp/w/wharfd.sock", "--data-root", "/tmp/w/wroot",
                               "--exec-root", "/tmp/w/wexec", "--pidfile", "/tmp/w/wharfd.pid"])
    daemon.start()
    try:
        yield imported(daemon, archive)
        daemon.empty()
    finally:
        daemon.stop()
        subprocess.run(["rm", "-rf", "wroot", "wexec", "config", "wharfd.log"], check=True)


@pytest.fixture
def dockerd(world, archive):
    if not shutil.which("dockerd"):
        pytest.skip("docker.io is not installed")
    parent = world.name("docker")
    daemon = Daemon("dockerd", ["dockerd", "-H", "unix:///tmp/w/dockerd.sock", "--data-root", "/tmp/w/droot",
                                "--exec-root", "/tmp/w/dexec", "--pidfile", "/tmp/w/dockerd.pid",
                                "--storage-driver", "overlay2", "--cgroup-parent", "/" + parent,
                                "--bip", "172.29.0.1/16"])
    daemon.start()
    try:
        yield imported(daemon, archive)
        daemon.empty()
    finally:
        daemon.stop()
        subprocess.run(["ip", "link", "delete", "docker0"], stderr=subprocess.DEVNULL)
        for folder in ("/run/docker", "/run/containerd", "droot", "dexec", "config"):
            subprocess.run(["rm", "-rf", folder], check=False)
        os.unlink("dockerd.log")
        cgroups.remove([d for d in cgroups.directories() if d.endswith(parent)])
