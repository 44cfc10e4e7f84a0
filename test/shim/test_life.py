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


def test_on_failure_stops_at_its_bound(wharf):
    run(wharf, "--restart", "on-failure:2", "busybox", "sh", "-c", "echo run; exit 3")
    until(lambda: wharf.field("cc", "State.Status") == "exited")
    assert (wharf.field("cc", "RestartCount"), wharf.field("cc", "State.ExitCode")) == ("2", "3")
    assert wharf.ok("logs", "cc") == "run\n" * 3
    assert events(wharf, "exitCode")[1:] == [("start", None), ("die", "3")] * 3
    wharf.ok("start", "cc")  # by somebody: counted anew
    until(lambda: wharf.ok("logs", "cc") == "run\n" * 6)
    until(lambda: wharf.field("cc", "State.Status") == "exited")
    assert wharf.field("cc", "RestartCount") == "2"
    wharf.ok("rm", "cc")


def test_on_failure_ends_with_success(wharf):
    run(wharf, "--restart", "on-failure", "busybox", "sh", "-c", "echo >> /count; [ $(wc -l < /count) = 2 ]")
    until(lambda: wharf.field("cc", "State.Status") == "exited")
    assert (wharf.field("cc", "RestartCount"), wharf.field("cc", "State.ExitCode")) == ("1", "0")
    wharf.ok("rm", "cc")


def test_always_backs_off_and_keeps_its_files(wharf):
    begin = time.monotonic()
    run(wharf, "--restart", "always", "busybox", "sh", "-c", "echo x >> /count; wc -l < /count")
    until(lambda: wharf.ok("logs", "cc").count("\n") >= 4)
    assert time.monotonic() - begin >= 0.1 + 0.2 + 0.4
    assert wharf.ok("logs", "cc").split()[:4] == ["1", "2", "3", "4"]
    until(lambda: wharf.field("cc", "State.Status") == "restarting")
    assert wharf.field("cc", "State.Running") == "true" and int(wharf.field("cc", "RestartCount")) >= 4
    code, _, err = wharf.run("exec", "cc", "true")
    assert code == 1 and "is restarting, wait until the container is running" in err
    wharf.ok("stop", "cc")
    count = wharf.ok("logs", "cc").count("\n")
    assert wharf.field("cc", "State.Status") == "exited"
    wharf.ok("start", "cc")
    until(lambda: wharf.ok("logs", "cc").count("\n") > count)
    assert wharf.ok("logs", "cc").split() == [str(n + 1) for n in range(wharf.ok("logs", "cc").count("\n"))]
    wharf.ok("rm", "-f", "cc")


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


def parent(pid):
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("PPid"))


def test_policies_after_a_machine_restart(wharf, door):
    """All shims and processes are gone at once; a daemon that begins starts what its policy asks for."""
    wanted = {  # policy, whether somebody stopped it: what a new daemon makes of it
        "c-a": ("always", False, "running"),
        "c-b": ("unless-stopped", False, "running"),
        "c-c": ("no", False, "exited"),
        "c-d": ("always", True, "running"),
        "c-e": ("unless-stopped", True, "exited"),
        "c-f": ("on-failure", False, "running"),  # by the kernel's SIGKILL: a failure
        "c-g": ("on-failure", True, "exited"),
    }
    for name, (policy, stopped, _) in wanted.items():
        wharf.ok("run", "-d", "--network", "none", "--name", name, "--restart", policy, "busybox", "sleep", "100")
        if stopped:
            wharf.ok("stop", "-t", "0", name)
    wharf.ok("run", "-d", "--network", "none", "--name", "spent", "--restart", "on-failure:1", "busybox", "false")
    until(lambda: wharf.field("spent", "State.Status") == "exited")
    shims = [parent(wharf.field(name, "State.Pid")) for name, (_, stopped, _) in wanted.items() if not stopped]
    for pid in shims:
        os.kill(pid, signal.SIGKILL)
    until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in shims))
    assert door.ok("restart-all") == "4"
    assert {name: wharf.field(name, "State.Status") for name in wanted} == {
        name: status for name, (_, _, status) in wanted.items()}
    assert wharf.field("spent", "RestartCount") == "1" and wharf.field("spent", "State.Status") == "exited"
    assert door.ok("restart-all") == "0"
    wharf.ok("rm", "-f", "spent", *wanted)


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


def test_events_of_a_life(wharf):
    run(wharf, "-l", "k=v", "busybox", "sh", "-c", "trap 'exit 4' TERM; echo up; while :; do sleep 0.02; done")
    until(lambda: wharf.ok("logs", "cc") == "up\n")
    wharf.ok("exec", "cc", "true")
    wharf.ok("rename", "cc", "dd")
    wharf.ok("stop", "-t", "9", "dd")
    wharf.ok("rm", "dd")
    assert events(wharf, "name", "signal", "exitCode") == [
        ("create", "cc", None, None), ("start", "cc", None, None), ("exec_create: true", "cc", None, None),
        ("exec_start: true", "cc", None, None), ("exec_die", "cc", None, "0"), ("rename", "dd", None, None),
        ("kill", "dd", "15", None), ("die", "dd", None, "4"), ("stop", "dd", None, None), ("destroy", "dd", None, None)]
    assert {event[1:] for event in events(wharf, "image", "k")} == {("busybox", "v")}


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


def test_events_follow_across_rotation(wharf, door):
    wharf.ok("create", "--network", "none", "--name", "c0", "-l", "big=" + "x" * 60000, "busybox", "true")
    door.process.stdin.write(f"events\t1\t{time.time_ns() + 60 * 10**9}\t" + '{"event": ["rename"]}\n')
    door.process.stdin.flush()
    for n in range(0, 45, 15):  # past EVENTS_SIZE_MAX, twice
        for k in range(n, n + 15):
            wharf.ok("rename", f"c{k}", f"c{k + 1}")
        names = [json.loads(door.process.stdout.readline())["Actor"]["Attributes"]["name"] for _ in range(15)]
        assert names == [f"c{k + 1}" for k in range(n, n + 15)]
    assert os.path.exists(f"{wharf.root}/run/events.1")
    door.kill()
    wharf.ok("rm", "c45")
