# SPDX-License-Identifier: Apache-2.0
"""The stock docker CLI in front of wharfd and, to compare, of Debian's dockerd."""
import os
import shutil
import subprocess
import sys

import pytest

from lib import bundle, cgroups, engines
from lib.engines import Engine
from lib.rootfs import busybox_tar

sys.path.insert(0, os.path.dirname(__file__))  # compare


def wharfd_program():
    for path in ("build/bin/wharfd", "build/cmd/wharfd/wharfd"):
        path = os.environ.get("WHARFD", os.path.join(bundle.TOP, path))
        if os.path.exists(path):
            return path
    pytest.skip("wharfd is not built")


class Daemon:
    """A daemon of ours, its socket, and the docker CLI on it."""

    def __init__(self, name, command):
        self.name, self.socket, self.command = name, f"unix:///tmp/w/{name}.sock", command
        self.cli = Engine("docker", "-H", self.socket, env={"DOCKER_CONFIG": "/tmp/w/config"})
        self.process = None

    def start(self):
        with open(f"{self.name}.log", "a") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        engines.wait_for(self.answers, f"{self.name} answers", 30)

    def answers(self):
        assert self.process.poll() is None, open(f"{self.name}.log").read()
        return subprocess.run([*self.cli.base, "version"], env=self.cli.env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)

    def run(self, *arguments, text=None, timeout=60):
        """(exit code, stdout, stderr)"""
        done = subprocess.run([*self.cli.base, *arguments], input=text, text=True, env=self.cli.env,
                              capture_output=True, timeout=timeout,
                              **({} if text is not None else {"stdin": subprocess.DEVNULL}))
        return done.returncode, done.stdout, done.stderr

    def empty(self):
        ids = self.cli("ps", "-aq").split()
        if ids:
            self.cli("rm", "-f", "-v", *ids)


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
