# SPDX-License-Identifier: Apache-2.0
"""Debian's podman runs, executes in, stops and removes containers through wharf-oci (--runtime)."""
import os
import shutil

import pytest

from lib import engines
from lib.engines import Engine
from lib.world import descendants

# podman asks for an RLIMIT_NOFILE above the hard limit of a machine without CAP_SYS_RESOURCE
FLAGS = ("--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024")


@pytest.fixture
def podman(world, runtime, image):
    if not shutil.which("podman"):
        pytest.skip("podman is not installed")
    engine = Engine("podman", "--root", "/tmp/w/root", "--runroot", "/tmp/w/run", "--tmpdir", "/tmp/w/tmp",
                    "--storage-driver", "overlay", "--cgroup-manager", "cgroupfs",
                    "--events-backend", "file", "--runtime", runtime)
    engine("import", "--quiet", image, "img")
    world.keep_mount("/tmp/w/root")
    yield engine
    # conmon starts a "podman container cleanup" that outlives `podman run --rm`: it would make the lock and the
    # mount anew
    engines.wait_for(lambda: not ({"conmon", "podman"} & set(descendants().values())), "the end of podman's helpers")
    engine("rm", "--all", "--force", "--time", "0")
    engines.wait_for(lambda: not descendants(), "the end of podman's helpers")
    os.unlink("/dev/shm/libpod_lock")


@pytest.mark.limit(90)
@pytest.mark.parametrize("name", engines.SCENARIOS)
def test_podman(podman, world, name):
    engines.SCENARIOS[name](podman, FLAGS, world)


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive"])
def test_wharf_loads_what_podman_saves(podman, world, form):
    podman("tag", "img", "saved:1")
    podman("save", "--quiet", "--format", form, "-o", "saved.tar", "localhost/saved:1")
    engines.wharf_loads("saved.tar", "localhost/saved:1")


def test_podman_loads_what_wharf_saves(podman, world):
    podman("tag", "img", "saved:1")
    podman("save", "--quiet", "--format", "oci-archive", "-o", "saved.tar", "localhost/saved:1")
    identity = podman("inspect", "-f", "{{.Id}}", "localhost/saved:1")
    podman("rmi", "localhost/saved:1", "img")
    podman("load", "-q", "-i", engines.wharf_saves("saved.tar", "localhost/saved:1"))
    assert podman("inspect", "-f", "{{.Id}}", "localhost/saved:1") == identity
    podman("run", "--rm", *FLAGS, "localhost/saved:1", "true")


def test_podman_and_wharf_by_a_registry(podman, world):
    def push(name):
        podman("tag", "img", name)
        podman("push", "--quiet", "--tls-verify=false", name)
    engines.through_our_registry(push, lambda name: podman("pull", "--quiet", "--tls-verify=false", name),
                                 lambda name: podman("inspect", "-f", "{{.Id}}", name))
