# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random moments of run, exec and load: the next command works and nothing is left behind."""
import glob
import os
import random
import signal
import subprocess
import time

import pytest

from image.archives import docker_save, entry, tar


def processes(name):
    """Living processes of that program below the test's world (those that can see our root)."""
    found = []
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            if open(path).read().strip() == name:
                found.append(int(path.split("/")[2]))
        except OSError:
            continue
    return found


def shims_of(wharf):
    """Shims of this root: its container directory is their descriptor 7."""
    mine = []
    for pid in processes("wharf-shim"):
        try:
            if os.readlink(f"/proc/{pid}/fd/7").startswith(wharf.root):
                mine.append(pid)
        except OSError:
            continue
    return mine


def kill_at_random(wharf, rng, args, longest):
    run = wharf.start(*args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(rng.uniform(0, longest))
    if rng.random() < 0.5:
        run.kill()
    for pid in shims_of(wharf):
        if rng.random() < 0.5:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    run.kill()
    run.wait()


def settle(wharf):
    """The next commands: nothing is left of what was killed."""
    ids = wharf.ok("ps", "-aq").split()
    if ids:
        wharf.ok("rm", "-f", *ids, timeout=60)
    deadline = time.monotonic() + 5
    while wharf.leftovers() or glob.glob("/sys/fs/cgroup/*/wharf-*") and shims_of(wharf):
        assert time.monotonic() < deadline, wharf.leftovers()
        wharf.ok("ps", "-aq")
        time.sleep(0.05)
    assert wharf.ok("run", "--rm", "busybox", "echo", "works") == "works\n"


def loads_again(wharf):
    """After a load that was killed the same load works, and its image; nothing is left of either."""
    assert wharf.ok("load", "-i", "saved.tar") == "Loaded image: loaded:1\n"
    assert wharf.ok("run", "--rm", "loaded:1", "/bin/echo", "loaded") == "loaded\n"
    wharf.ok("rmi", "loaded:1")
    assert os.listdir(f"{wharf.root}/layers/tmp") == []


def many(wharf, count, seed):
    """`count` kills, a fifth each: run, run -d, exec, import, load of a `docker save` archive."""
    rng = random.Random(seed)
    with open("bb.tar", "rb") as base, open("saved.tar", "wb") as saved:
        layers = [base.read(), *(tar(entry(f"file{n}", data=bytes(100000) + bytes([n]))) for n in range(3))]
        saved.write(docker_save(layers, tags=("loaded:1",)))
    wharf.ok("run", "-d", "--name", "steady", "busybox", "sleep", "1000")
    for n in range(count):
        kind = n % 5
        if kind == 0:
            kill_at_random(wharf, rng, ["run", "--rm", "busybox", "sleep", "0.05"], 0.15)
        elif kind == 1:
            kill_at_random(wharf, rng, ["run", "-d", "busybox", "sleep", "1000"], 0.15)
        elif kind == 2:
            wharf.run("start", "steady")
            kill_at_random(wharf, rng, ["exec", "steady", "sleep", "0.05"], 0.08)
        elif kind == 3:
            kill_at_random(wharf, rng, ["import", "bb.tar", "again"], 0.08)
        else:
            kill_at_random(wharf, rng, ["load", "-i", "saved.tar"], 0.15)
        assert wharf.run("ps", "-a")[0] == 0 and wharf.run("images")[0] == 0
        if n % 10 == 9:
            settle(wharf)
            loads_again(wharf)
            wharf.ok("run", "-d", "--name", "steady", "busybox", "sleep", "1000")
    settle(wharf)
    loads_again(wharf)
    wharf.run("rmi", "again")
    os.unlink("saved.tar")


@pytest.mark.limit(120)
def test_random_kills(wharf):
    many(wharf, 25, 1)


@pytest.mark.slow
@pytest.mark.limit(400)
def test_two_hundred_random_kills(wharf):
    many(wharf, 200, 2)
