# SPDX-License-Identifier: Apache-2.0
"""What has gone wrong elsewhere, tried against our runtime: a test for each CVE, named by its number.

`python3 -m pytest test/security --runtime runc` runs the same against another runtime, which is how a
wrong test shows itself. Every test runs with the guard: whatever it does, the host's files around the
bundle are the same before and after, and so is the runtime's own program.
"""
import contextlib
import hashlib
import os
import subprocess
import sys
import time

import pytest

from lib.bundle import TOP
from lib.oci import oci, pytest_generate_tests, world  # noqa: F401

sys.path.insert(0, os.path.dirname(__file__))
RACER = os.path.join(TOP, "build", "test", "security", "security-racer")
HOST = "/tmp/w/host"  # what no container may reach


def pytest_configure(config):
    config.addinivalue_line("markers", "cve(numbers): what went wrong elsewhere")


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def listing(top):
    """{path: (kind and mode, size, link or digest)} of a tree."""
    found = {}
    for folder, names, files in os.walk(top):
        for name in (*names, *files):
            path = os.path.join(folder, name)
            st = os.lstat(path)
            what = os.readlink(path) if os.path.islink(path) else digest(path) if os.path.isfile(path) else ""
            found[path] = (oct(st.st_mode), st.st_uid, st.st_rdev, what)
    return found


@pytest.fixture(autouse=True)
def guard(oci):
    """The host's folder and the runtime's program, before and after."""
    os.makedirs(f"{HOST}/folder")
    for name in ("secret", "folder/inner"):
        with open(f"{HOST}/{name}", "w") as f:
            f.write("of the host")
    before, program = listing(HOST), digest(oci.runtime.path)
    yield
    assert listing(HOST) == before, "the host's files changed"
    assert digest(oci.runtime.path) == program, "the runtime's program changed"


class Racer:
    """The attacker (racer.c): beside the runtime, or as a program for a container."""

    def into(self, bundle):
        """Its path in a bundle's root."""
        subprocess.run(["cp", RACER, f"{bundle.root}/racer"], check=True)
        return "/racer"

    @contextlib.contextmanager
    def exchanging(self, a, b):
        """Two names are swapped while the block runs."""
        child = subprocess.Popen([RACER, "exchange", a, b])
        try:
            yield
            assert child.poll() is None, "the racer gave up"
        finally:
            child.kill()
            child.wait()


@pytest.fixture
def racer():
    if not os.path.exists(RACER):
        pytest.skip("the racer is not built (script/build)")
    return Racer()


def wait_for(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)
