# SPDX-License-Identifier: Apache-2.0
"""What the shim does with nobody there: restarts, health checks, events. No daemon runs in these tests."""
import glob
import json
import os
import signal
import time

import pytest

from shim.test_attach import Door, door  # noqa: F401 (fixture)
from wharf.conftest import base_tar, wharf  # noqa: F401 (fixtures)


def until(what, seconds=8):
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def events(wharf, *fields):
    """[(action, ...)] of all that happened, with attributes by name."""
    with open(f"{wharf.root}/run/events") as f:
        lines = [json.loads(line.split(" ", 1)[1]) for line in f]
    return [(e["Action"], *(e["Actor"]["Attributes"].get(name) for name in fields)) for e in lines]


def run(wharf, *args):
    return wharf.ok("run", "-d", "--network", "none", "--name", "cc", *args).strip()


# ---- restart -----------------------------------------------------------------------------------------------


def test_kill_of_a_restarting_one_ends_the_policy(wharf):
    run(wharf, "--restart", "unless-stopped", "busybox", "sleep", "100")
    first = wharf.field("cc", "State.Pid")
    os.kill(int(first), signal.SIGKILL)  # not by us: it comes again
    until(lambda: wharf.field("cc", "State.Pid") not in (first, "0"))
    assert wharf.field("cc", "RestartCount") == "1"
    wharf.ok("kill", "cc")
    until(lambda: wharf.field("cc", "State.Status") == "exited")
    assert wharf.field("cc", "State.ExitCode") == "137"
    wharf.ok("rm", "cc")


def test_killed_shim_of_a_restarting_container(wharf):
    run(wharf, "--restart", "always", "busybox", "false")
    until(lambda: wharf.field("cc", "State.Status") == "restarting")
    for path in glob.glob("/proc/[0-9]*/fd/7"):
        try:
            if os.readlink(path).startswith(wharf.root):
                os.kill(int(path.split("/")[2]), signal.SIGKILL)
        except OSError:
            pass
    assert wharf.field("cc", "State.Status") == "exited"
    wharf.ok("rm", "cc")
    assert wharf.leftovers() == []


# ---- health ------------------------------------------------------------------------------------------------

HEALTH = ["--health-interval", "50ms", "--health-timeout", "200ms", "--health-retries", "2"]


def test_health(wharf):
    run(wharf, *HEALTH, "--health-cmd", "cat /ok && echo fine", "busybox", "sh", "-c", "echo > /ok; sleep 100")
    until(lambda: wharf.field("cc", "State.Health.Status") == "healthy")
    assert json.loads(wharf.ok("inspect", "cc"))[0]["State"]["Health"]["Log"][-1]["Output"] == "\nfine\n"
    wharf.ok("exec", "cc", "rm", "/ok")
    until(lambda: wharf.field("cc", "State.Health.Status") == "unhealthy")
    health = json.loads(wharf.ok("inspect", "cc"))[0]["State"]["Health"]
    assert health["FailingStreak"] >= 2 and len(health["Log"]) <= 5
    assert health["Log"][-1]["ExitCode"] == 1 and "can't open '/ok'" in health["Log"][-1]["Output"]
    assert [e for e, in events(wharf) if e.startswith("health")] == [
        "health_status: healthy", "health_status: unhealthy"]
    wharf.ok("rm", "-f", "cc")


def test_slow_check_is_killed_and_output_bounded(wharf):
    run(wharf, *HEALTH, "--health-cmd", "head -c 10000 /dev/zero | tr '\\0' x; sleep 100", "busybox", "sleep", "100")
    until(lambda: wharf.field("cc", "State.Health.Status") == "unhealthy")
    last = json.loads(wharf.ok("inspect", "cc"))[0]["State"]["Health"]["Log"][-1]
    assert last["ExitCode"] == -1 and last["Output"] == "Health check exceeded timeout (0.2s)"
    wharf.ok("rm", "-f", "cc")


# ---- events ------------------------------------------------------------------------------------------------


def test_events_are_read_back_filtered_and_ended(wharf, door):
    now = time.time_ns()
    wharf.ok("run", "--network", "none", "--name", "cc", "busybox", "true")
    wharf.ok("rm", "cc")
    door.process.stdin.write(f"events\t1\t{time.time_ns()}\t" + '{"event": ["die", "exec_create"]}\n')
    door.process.stdin.flush()
    event = json.loads(door.process.stdout.readline())
    assert event["Action"] == "die" and event["timeNano"] > now and event["scope"] == "local"
    assert set(event["Actor"]["Attributes"]) == {"name", "image", "exitCode", "execDuration"}
    assert door.process.stdout.readline() == "ok\n"
    assert "invalid filter 'frob'" in door.ask("events", "1", "1", '{"frob": ["x"]}')
