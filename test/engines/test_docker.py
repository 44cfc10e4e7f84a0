# SPDX-License-Identifier: Apache-2.0
"""Debian's dockerd runs, executes in, stops and removes containers through wharf-oci (--add-runtime)."""
import os
import shutil
import subprocess

import pytest

from lib import cgroups, engines
from lib.engines import Engine

FLAGS = ("--network", "none")
SOCKET = "unix:///tmp/w/docker.sock"


@pytest.fixture
def docker(world, runtime, image):
    if not shutil.which("dockerd"):
        pytest.skip("docker.io is not installed")
    log = open("dockerd.log", "w")
    daemon = subprocess.Popen(
        ["dockerd", "-H", SOCKET, "--data-root", "/tmp/w/data", "--exec-root", "/tmp/w/exec",
         "--pidfile", "/tmp/w/pid", "--bridge", "none", "--iptables=false", "--ip6tables=false",
         "--storage-driver", "overlay2", "--cgroup-parent", "/" + world.name("docker"),
         "--add-runtime", f"under-test={runtime}", "--default-runtime", "under-test"],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    log.close()
    try:
        engine = Engine("docker", "-H", SOCKET, env={"DOCKER_API_VERSION": "1.41"})
        engines.wait_for(lambda: subprocess.run([*engine.base, "version"], stdout=subprocess.DEVNULL,
                                                 stderr=subprocess.DEVNULL).returncode == 0,
                          "dockerd answers", 30)
        engine("import", image, "img")
        yield engine
        for name in engine("ps", "-aq").split():
            engine("rm", "-f", name)
    finally:
        daemon.terminate()
        daemon.wait(timeout=20)
        for folder in ("/run/docker", "/run/containerd"):
            shutil.rmtree(folder, ignore_errors=True)
        os.unlink("dockerd.log")
        # the parent group was asked for by us: a runtime makes it, nobody else removes it
        cgroups.remove([d for d in cgroups.directories() if d.endswith(world.name("docker"))])


@pytest.mark.limit(120)
@pytest.mark.parametrize("name", engines.SCENARIOS)
def test_docker(docker, world, name):
    engines.SCENARIOS[name](docker, FLAGS, world)


def test_wharf_loads_what_docker_saves(docker, world):
    docker("tag", "img", "saved:1")
    docker("save", "-o", "saved.tar", "saved:1")
    engines.wharf_loads("saved.tar", "saved:1")


def test_docker_loads_what_wharf_saves(docker, world):
    identity = docker("inspect", "-f", "{{.Id}}", "img")
    docker("tag", "img", "saved:1")
    docker("save", "-o", "saved.tar", "saved:1")
    docker("rmi", "saved:1", "img")
    assert docker("load", "-q", "-i", engines.wharf_saves("saved.tar", "saved:1")) == "Loaded image: saved:1"
    assert docker("inspect", "-f", "{{.Id}}", "saved:1") == identity
    docker("run", "--rm", *FLAGS, "saved:1", "true")


def test_docker_and_wharf_by_a_registry(docker, world):
    def push(name):
        docker("tag", "img", name)
        docker("push", name)
    engines.through_our_registry(push, lambda name: docker("pull", name),
                                 lambda name: docker("inspect", "-f", "{{.Id}}", name))
