# SPDX-License-Identifier: Apache-2.0
"""wharf on a root of its own in the test's world, with a busybox image, and the check that nothing is left."""
import glob
import os
import shutil
import subprocess
import tarfile

import pytest

from lib.rootfs import busybox_tar

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program():
    """Where the build left it: installed (script/build), or in the build directory."""
    for path in ("build/bin/wharf", "build/cmd/wharf/wharf"):
        path = os.environ.get("WHARF", os.path.join(TOP, path))
        if os.path.exists(path):
            return path
    pytest.fail("wharf is not built: run script/build")


class Wharf:
    """The program on one root directory."""

    def __init__(self, root):
        self.root = root
        self.prefix = [program(), "--root", root]

    def start(self, *args, **options):
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen([*self.prefix, *args], **options)

    def run(self, *args, input=None, timeout=20):
        """(exit code, stdout, stderr)"""
        done = subprocess.run([*self.prefix, *args], input=input, timeout=timeout, capture_output=True,
                              **({} if input is not None else {"stdin": subprocess.DEVNULL}))
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def ok(self, *args, **options):
        """What it prints; anything but success fails the test."""
        code, out, err = self.run(*args, **options)
        assert code == 0, f"wharf {' '.join(args)}: {code}: {err}"
        return out

    def field(self, name, path):
        return self.ok("inspect", "-f", "{{." + path + "}}", name).strip()

    def leftovers(self):
        """What the engine keeps of containers, on disk and in the kernel."""
        return [*glob.glob(f"{self.root}/containers/*"), *glob.glob(f"{self.root}/run/shims/*"),
                *glob.glob(f"{self.root}/run/state/*")]


@pytest.fixture
def base_tar(world):
    busybox_tar("bb.tar")
    return os.path.abspath("bb.tar")


@pytest.fixture
def wharf(world, base_tar):
    w = Wharf(f"{world.directory}/r")
    w.ok("import", "-c", 'CMD ["sh"]', base_tar, "busybox")
    yield w
    ids = w.ok("ps", "-aq").split()
    if ids:
        w.ok("rm", "-f", *ids, timeout=60)
    assert w.leftovers() == []
    subprocess.run(["rm", "-rf", w.root, base_tar], check=True)
