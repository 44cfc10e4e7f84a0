# SPDX-License-Identifier: Apache-2.0
"""Compositions of services as swarmd runs them, in front of Debian's dockerd and of our engine."""
import os
import shutil
import subprocess

import pytest

from lib import cgroups
from lib.daemons import Daemon, swarmd_program
from lib.rootfs import busybox_tar


class Compositions:
    """Starts swarmd on descriptions; ends all of them, the last one first."""

    def __init__(self):
        self.running = []

    def __call__(self, name, *parts):
        """A docker CLI in front of `dockerserver | PARTS...`."""
        daemon = Daemon(name, [swarmd_program(), f"dockerserver unix:///tmp/w/{name}.sock", *parts])
        self.running.append(daemon)
        daemon.start()
        return daemon

    def stop(self):
        while self.running:
            daemon = self.running.pop()
            daemon.stop()
            os.unlink(f"{daemon.name}.log")


@pytest.fixture
def swarmd(world):
    compositions = Compositions()
    yield compositions
    compositions.stop()
    subprocess.run(["rm", "-rf", "config"], check=True)


@pytest.fixture
def archive(world):
    busybox_tar("bb.tar")
    return os.path.abspath("bb.tar")


@pytest.fixture
def dockerd(world, archive):
    if not shutil.which("dockerd"):
        pytest.skip("docker.io is not installed")
    parent = world.name("swarm")
    daemon = Daemon("dockerd", ["dockerd", "-H", "unix:///tmp/w/dockerd.sock", "--data-root", "/tmp/w/droot",
                                "--exec-root", "/tmp/w/dexec", "--pidfile", "/tmp/w/dockerd.pid",
                                "--storage-driver", "overlay2", "--cgroup-parent", "/" + parent,
                                "--bip", "172.29.0.1/16"])
    daemon.start()
    daemon.cli("import", "-c", 'CMD ["sh"]', archive, "busybox")
    try:
        yield daemon
        daemon.empty()
    finally:
        daemon.stop()
        subprocess.run(["ip", "link", "delete", "docker0"], stderr=subprocess.DEVNULL, check=False)
        for folder in ("/run/docker", "/run/containerd", "droot", "dexec"):
            subprocess.run(["rm", "-rf", folder], check=False)
        os.unlink("dockerd.log")
        cgroups.remove([d for d in cgroups.directories() if d.endswith(parent)])
