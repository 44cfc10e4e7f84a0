# SPDX-License-Identifier: Apache-2.0
"""checkpoint and restore through criu: a round trip where criu can, its refusal where it cannot.

Debian 12's criu 3.17 does not know kernels as young as 6.18; it works under Debian's 6.12 kernel.
"""
import os
import shutil
import subprocess
import time

import pytest

from lib import bundle
from lib.runtime import Runtime

OCI = os.path.join(bundle.TOP, "build/bin/wharf-oci")
COUNT = "i=0; while :; do i=$((i+1)); echo $i > /tmp/n; sleep 0.05; done"


def criu_fault():
    """Why criu does not work here, or None."""
    if not shutil.which("criu"):
        return "criu is not installed"
    done = subprocess.run(["criu", "check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.strip().split("\n")[-1] if done.returncode else None


@pytest.fixture
def counter(world):
    """A running container that counts in a file."""
    if not os.path.exists(OCI):
        pytest.skip("wharf-oci is not built")
    runtime, name = Runtime(OCI), world.name("ck")
    home = bundle.Bundle("b", {"process.args": ["sh", "-c", COUNT], "linux.cgroupsPath": "/" + name})
    done = runtime.run(home, name, "--detach")
    assert done, done.err
    yield runtime, home, name
    runtime.call("delete", "--force", name)


def counted(home):
    try:
        with open(home.root + "/tmp/n") as f:
            return int(f.read() or 0)
    except FileNotFoundError:
        return 0


def wait_beyond(home, number):
    deadline = time.monotonic() + 10
    while counted(home) <= number:
        assert time.monotonic() < deadline, f"the counter stays at {counted(home)}"
        time.sleep(0.02)


def test_round_trip(counter):
    if criu_fault():
        pytest.skip(f"criu: {criu_fault()}")
    runtime, home, name = counter
    wait_beyond(home, 5)
    done = runtime.call("checkpoint", "--image-path", "image", name)
    assert done, done.err
    assert not runtime.state(name)
    stopped = counted(home)
    time.sleep(0.3)
    assert counted(home) == stopped
    done = runtime.call("restore", "--detach", "--bundle", home.path, "--image-path", "image", name)
    assert done, done.err
    wait_beyond(home, stopped + 3)
    assert runtime.state(name)["status"] == "running"


def test_refusal_names_the_reason(counter):
    if not criu_fault():
        pytest.skip("criu works here")
    runtime, home, name = counter
    done = runtime.call("checkpoint", "--image-path", "image", name)
    assert done.code == 1
    assert "criu" in done.err and ("too old for this kernel" in done.err or "install" in done.err)
    now = counted(home)
    wait_beyond(home, now + 2)  # it goes on as if nothing had been asked
