# SPDX-License-Identifier: Apache-2.0
"""A wharf with a busybox image and a builder of contexts given as dictionaries; daemons to build with."""
import os
import shutil
import subprocess
import sys

import pytest

from lib import cgroups, engines
from wharf.conftest import TOP, Wharf, busybox_tar

sys.path.insert(0, os.path.dirname(__file__))  # daemons, table

from daemons import Api  # noqa: E402
from table import tiny  # noqa: E402


class Builder(Wharf):
    """Builds contexts; looks into what came out by running it."""

    def context(self, files):
        shutil.rmtree("ctx", ignore_errors=True)
        os.makedirs("ctx")
        for name, content in files.items():
            path = os.path.join("ctx", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if content is None:
                os.makedirs(path, exist_ok=True)
            elif isinstance(content, tuple):
                os.symlink(content[0], path)
            else:
                with open(path, "wb") as f:
                    f.write(content if isinstance(content, bytes) else content.encode())
        return "ctx"

    def build(self, dockerfile, files=None, *flags):
        """(exit code, stderr)"""
        context = self.context({"Dockerfile": dockerfile, **(files or {})})
        code, _, err = self.run("build", "-t", "t", *flags, context)
        return code, err

    def look(self, command, image="t"):
        return self.ok("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", command)


@pytest.fixture
def builder(world):
    busybox_tar("bb.tar")
    w = Builder(f"{world.directory}/r")
    w.ok("import", "-c", 'CMD ["sh"]', os.path.abspath("bb.tar"), "busybox")
    yield w
    subprocess.run(["rm", "-rf", w.root, "bb.tar", "ctx"], check=True)


def serve(name, command):
    """Starts a daemon on the socket /tmp/w/NAME.sock: (process, Api)."""
    with open(f"{name}.log", "w") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    api = Api(f"/tmp/w/{name}.sock")

    def answers():
        assert process.poll() is None, open(f"{name}.log").read()
        try:
            return api.call("GET", "/_ping")[0] == 200
        except OSError:
            return False

    engines.wait_for(answers, f"{name} answers", 30)
    return process, api


def fill(api):
    busybox_tar("bb.tar")
    with open("bb.tar", "rb") as f:
        api.load(f.read(), "busybox", ["sh"])
    api.load(tiny(), "tiny", ["sh"])


def end(process, *folders):
    process.terminate()
    process.wait(timeout=20)
    subprocess.run(["rm", "-rf", "bb.tar", *folders], check=True)


@pytest.fixture
def wharfd(world):
    program = next((p for p in (os.environ.get("WHARFD", ""), f"{TOP}/build/bin/wharfd",
                                f"{TOP}/build/cmd/wharfd/wharfd") if os.path.exists(p)), None)
    if not program:
        pytest.fail("wharfd is not built: run script/build")
    command = [program, "-H", "unix:///tmp/w/wharfd.sock", "--data-root", "/tmp/w/wroot", "--exec-root", "/tmp/w/wexec",
               "--pidfile", "/tmp/w/wharfd.pid"]
    process, api = serve("wharfd", command)
    fill(api)
    api.process, api.root = process, "/tmp/w/wroot"

    def restart(*flags):
        if api.process.poll() is None:
            api.process.terminate()
            api.process.wait(timeout=20)
        api.process = serve("wharfd", [*command, *flags])[0]

    api.restart = restart
    yield api
    end(api.process, "wroot", "wexec", "wharfd.log", "wharfd.sock", "wharfd.pid")


@pytest.fixture
def dockerd(world):
    if not shutil.which("dockerd"):
        pytest.skip("docker.io is not installed")
    parent = world.name("docker")
    process, api = serve("dockerd", ["dockerd", "-H", "unix:///tmp/w/dockerd.sock", "--data-root", "/tmp/w/droot",
                                     "--exec-root", "/tmp/w/dexec", "--pidfile", "/tmp/w/dockerd.pid",
                                     "--storage-driver", "overlay2", "--cgroup-parent", "/" + parent,
                                     "--bip", "172.29.0.1/16"])
    fill(api)
    yield api
    end(process, "droot", "dexec", "/run/docker", "/run/containerd", "config", "dockerd.log")
    subprocess.run(["ip", "link", "delete", "docker0"], stderr=subprocess.DEVNULL, check=False)
    cgroups.remove([d for d in cgroups.directories() if d.endswith(parent)])
