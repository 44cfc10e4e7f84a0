# SPDX-License-Identifier: Apache-2.0
"""The operations and states of runtime.md, and the command line that runc and crun agree on."""
import json
import os
import random
import re
import socket
import subprocess
import time

import pytest

from lib import cgroups
from lib.bundle import DEFAULT

SLEEP = {"process.args": ["sleep", "1000"]}
TRAP = {"process.args": ["sh", "-c", "trap 'exit 41' TERM; trap 'exit 42' USR1; echo ready >/ready; "
                                     "while :; do sleep 0.05; done"]}


def wait_for(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def stopped(oci, name):
    wait_for(lambda: oci.runtime.state(name)["status"] == "stopped")


# ---- state ----

@pytest.mark.spec("runtime.md#state")
def test_state_of_a_created_one(oci):
    bundle = oci.bundle({**SLEEP, "annotations": {"some.key": "some value"}})
    with oci.created(bundle=bundle) as name:
        state = oci.runtime.state(name)
        assert state["id"] == name and state["status"] == "created" and state["bundle"] == bundle.path
        assert re.fullmatch(r"\d+\.\d+(\.\d+)?([-+].*)?", state["ociVersion"])
        assert state["pid"] > 0 and os.path.exists(f"/proc/{state['pid']}")
        assert state["annotations"]["some.key"] == "some value"


@pytest.mark.spec("runtime.md#state")
def test_state_of_a_running_one(oci):
    with oci.running() as name:
        state = oci.runtime.state(name)
        assert state["status"] == "running"
        with open(f"/proc/{state['pid']}/cmdline") as f:
            assert f.read().startswith("sleep")


@pytest.mark.spec("runtime.md#state")
def test_state_of_a_stopped_one(oci):
    with oci.running({"process.args": ["true"]}) as name:
        stopped(oci, name)
        assert oci.runtime.state(name)["id"] == name


@pytest.mark.spec("runtime.md#query-state")
def test_state_of_a_missing_one(oci):
    done = oci.runtime.call("state", oci.name())
    assert done.code == 1 and done.err.strip()


@pytest.mark.spec("runc(8)")
def test_state_has_runcs_fields(oci):
    with oci.running() as name:
        state = oci.runtime.state(name)
        assert {"ociVersion", "id", "pid", "status", "bundle", "rootfs", "created", "owner"} <= set(state)
        assert os.path.isabs(state["rootfs"])


# ---- create ----

@pytest.mark.spec("runtime.md#create")
def test_create_does_not_run_the_program(oci):
    bundle = oci.bundle({"process.args": ["touch", "/ran"]})
    with oci.created(bundle=bundle):
        time.sleep(0.1)
        assert not os.path.exists(f"{bundle.root}/ran")


@pytest.mark.spec("runtime.md#create")
def test_create_applies_all_but_the_program(oci):
    """Whoever looks at the process of a created container finds its namespaces."""
    with oci.created(SLEEP) as name:
        pid = oci.runtime.state(name)["pid"]
        for kind in ("mnt", "net", "pid", "uts", "ipc"):
            assert os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")


@pytest.mark.spec("runtime.md#create")
def test_id_must_be_unique(oci):
    with oci.created(SLEEP) as name:
        before = oci.runtime.state(name)
        done = oci.runtime.create(oci.bundle(SLEEP), name)
        assert done.code == 1 and done.err.strip()
        assert oci.runtime.state(name) == before


@pytest.mark.spec("runtime.md#create")
def test_changes_of_config_after_create_have_no_effect(oci):
    bundle = oci.bundle({"process.args": ["sh", "-c", "echo one >/said"]})
    with oci.created(bundle=bundle) as name:
        bundle.configure({"process.args": ["sh", "-c", "echo two >/said"]})
        assert oci.runtime.call("start", name)
        stopped(oci, name)
    with open(f"{bundle.root}/said") as f:
        assert f.read() == "one\n"


@pytest.mark.spec("runtime.md#create")
def test_program_that_is_missing(oci):
    """Found out by create, or by start at the latest; run fails with 1."""
    done = oci.run({"process.args": ["/none/such"]})
    assert done.code == 1 and "such" in done.err


@pytest.mark.spec("runtime.md#create")
@pytest.mark.parametrize("name", ["", "a/b", "..", "../x", "a b", "x" * 1025, "a\nb", "\u00e9"])
def test_bad_id(oci, name):
    done = oci.runtime.create(oci.bundle(SLEEP), name)
    assert done.code != 0


@pytest.mark.spec("runc(8)")
@pytest.mark.parametrize("suffix", ["-a", "_b", ".c", "+d", "Z9"])
def test_good_id(oci, suffix):
    assert oci.runtime.run(oci.bundle({"process.args": ["true"]}), oci.world.name(suffix))


# ---- start ----

@pytest.mark.spec("runtime.md#start")
def test_start_runs_the_program(oci):
    bundle = oci.bundle({"process.args": ["sh", "-c", "touch /ran; exec sleep 1000"]})
    with oci.created(bundle=bundle, start=True) as name:
        wait_for(lambda: os.path.exists(f"{bundle.root}/ran"))
        assert oci.runtime.state(name)["status"] == "running"


@pytest.mark.spec("runtime.md#start")
def test_start_of_a_running_one(oci):
    with oci.running() as name:
        assert oci.runtime.call("start", name).code == 1
        assert oci.runtime.state(name)["status"] == "running"


@pytest.mark.spec("runtime.md#start")
def test_start_of_a_stopped_one(oci):
    with oci.running({"process.args": ["true"]}) as name:
        stopped(oci, name)
        assert oci.runtime.call("start", name).code == 1


@pytest.mark.spec("runtime.md#start")
def test_start_of_a_missing_one(oci):
    assert oci.runtime.call("start", oci.name()).code == 1


# ---- kill ----

@pytest.mark.spec("runtime.md#kill")
@pytest.mark.parametrize("number", ["KILL", "SIGKILL", "kill", "9"])
def test_kill_by_name_and_number(oci, number):
    with oci.running() as name:
        assert oci.runtime.call("kill", name, number)
        stopped(oci, name)


@pytest.mark.spec("runtime.md#kill")
@pytest.mark.parametrize("arguments, status", [([], 41), (["USR1"], 42)], ids=["TERM by default", "USR1"])
def test_signal_reaches_the_program(oci, arguments, status):
    bundle, name = oci.bundle(TRAP), oci.name()
    with open("log", "wb") as log:
        running = subprocess.Popen(oci.runtime.command("run", "--bundle", bundle.path, name), stdout=log,
                                   stderr=log, stdin=subprocess.DEVNULL)
    wait_for(lambda: os.path.exists(f"{bundle.root}/ready"))
    assert oci.runtime.call("kill", name, *arguments)
    assert running.wait() == status


@pytest.mark.spec("runtime.md#kill")
def test_kill_of_a_created_one(oci):
    with oci.created(SLEEP) as name:
        assert oci.runtime.call("kill", name, "KILL")
        stopped(oci, name)


@pytest.mark.spec("runtime.md#kill")
def test_kill_of_a_stopped_one(oci):
    with oci.running({"process.args": ["true"]}) as name:
        stopped(oci, name)
        assert oci.runtime.call("kill", name, "TERM").code == 1


@pytest.mark.spec("runtime.md#kill")
def test_kill_of_a_missing_one(oci):
    assert oci.runtime.call("kill", oci.name(), "TERM").code == 1


@pytest.mark.spec("runtime.md#kill")
@pytest.mark.parametrize("number", ["NONE", "SIGNONE", "1000", "9x"])
def test_unknown_signal(oci, number):
    with oci.running() as name:
        assert oci.runtime.call("kill", name, number).code != 0
        assert oci.runtime.state(name)["status"] == "running"


@pytest.mark.spec("runc(8)")
def test_kill_all(oci):
    """Without a pid namespace of its own, every process of the container's cgroup gets the signal."""
    patch = {"linux.namespaces": [n for n in DEFAULT["linux"]["namespaces"] if n["type"] != "pid"],
             "process.args": ["sh", "-c", "sleep 1000 & sleep 1000; true"]}
    with oci.running(patch) as name:
        wait_for(lambda: len(json.loads(oci.runtime.call("ps", "--format", "json", name).out)) == 3)
        assert oci.runtime.call("kill", "--all", name, "KILL")
        stopped(oci, name)


# ---- delete ----

@pytest.mark.spec("runtime.md#delete")
def test_delete_of_a_stopped_one(oci):
    with oci.running({"process.args": ["true"]}) as name:
        stopped(oci, name)
        assert oci.runtime.call("delete", name)
        assert oci.runtime.state(name) is None


@pytest.mark.spec("runtime.md#delete")
def test_id_is_free_after_delete(oci):
    with oci.created(SLEEP) as name:
        assert oci.runtime.call("delete", "--force", name)
        assert oci.runtime.create(oci.bundle(SLEEP), name)


@pytest.mark.spec("runtime.md#delete")
def test_delete_of_a_running_one(oci):
    with oci.running() as name:
        assert oci.runtime.call("delete", name).code == 1
        assert oci.runtime.state(name)["status"] == "running"


@pytest.mark.spec("runtime.md#delete")
def test_delete_of_a_missing_one(oci):
    assert oci.runtime.call("delete", oci.name()).code == 1


@pytest.mark.spec("runc(8)")
def test_delete_force(oci):
    with oci.running() as name:
        pid = oci.runtime.state(name)["pid"]
        assert oci.runtime.call("delete", "--force", name)
        assert oci.runtime.state(name) is None and not os.path.exists(f"/proc/{pid}")
    assert oci.runtime.call("delete", "--force", oci.name()).code == 0


@pytest.mark.spec("runc(8)")
def test_delete_of_a_created_one(oci):
    with oci.created(SLEEP) as name:
        assert oci.runtime.call("delete", name).code == 0
        assert oci.runtime.state(name) is None


@pytest.mark.spec("runtime.md#delete")
def test_delete_leaves_the_root_alone(oci):
    bundle = oci.bundle({"process.args": ["touch", "/kept"]})
    assert oci.runtime.run(bundle, oci.name())
    assert os.path.exists(f"{bundle.root}/kept") and os.path.exists(f"{bundle.path}/config.json")


# ---- run ----

@pytest.mark.spec("runc(8)")
@pytest.mark.parametrize("script, status", [("exit 0", 0), ("exit 7", 7), ("exit 255", 255),
                                            ("kill -9 $$", 137), ("kill -15 $$", 143)])
def test_exit_status(oci, script, status):
    """A shell of its own: the first process of a pid namespace ignores what it does not handle."""
    patch = {"process.args": ["sh", "-c", f"sh -c '{script}'; exit $?"]}
    assert oci.run(patch).code == status


@pytest.mark.spec("runc(8)")
def test_run_forgets_the_container(oci):
    name = oci.name()
    assert oci.runtime.run(oci.bundle({"process.args": ["true"]}), name)
    assert oci.runtime.state(name) is None


@pytest.mark.spec("runc(8)")
def test_stdio_passes_through(oci):
    read, write = os.pipe()
    os.write(write, b"some input\n")
    os.close(write)
    with os.fdopen(read) as stream:
        done = oci.run({"process.args": ["sh", "-c", "cat; echo oops >&2"]}, stdin=stream)
    assert (done.out, done.err) == ("some input\n", "oops\n")


@pytest.mark.spec("runc(8)")
def test_run_detached(oci):
    name = oci.name()
    try:
        assert oci.runtime.run(oci.bundle(SLEEP), name, "--detach", "--pid-file", "pid")
        with open("pid") as f:
            assert int(f.read()) == oci.runtime.state(name)["pid"]
        assert oci.runtime.state(name)["status"] == "running"
    finally:
        oci.runtime.call("delete", "--force", name)


@pytest.mark.spec("runc(8)")
def test_preserved_descriptors(oci):
    reads = [os.open("/etc/passwd", os.O_RDONLY) for _ in range(2)]
    try:
        moved = [os.dup2(fd, n, inheritable=True) for n, fd in ((60, reads[0]), (61, reads[1]))]
        command = oci.runtime.command("run", "--preserve-fds", "2", "--bundle")
        bundle, name = oci.bundle({"process.args": ["/probe"]}), oci.name()
        script = f"exec 3<&60 4<&61 5<&60; exec {' '.join(command)} {bundle.path} {name}"
        done = subprocess.run(["bash", "-c", script], pass_fds=moved, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=20)
        assert sorted(json.loads(done.stdout)["fds"]) == ["0", "1", "2", "3", "4"], done.stderr
    finally:
        for fd in (*reads, 60, 61):
            os.close(fd)


@pytest.mark.spec("security: CVE-2024-21626")
@pytest.mark.parametrize("number", range(3, 12))
def test_working_directory_by_a_leaked_descriptor(oci, number):
    done = oci.run({"process.cwd": f"/proc/self/fd/{number}", "process.args": ["/bin/ls", "../../../../tmp/w"]})
    assert done.code != 0 or "b1" not in done.out


# ---- exec, pause, ps, list ----

@pytest.mark.spec("runc(8)")
def test_exec_is_in_the_container(oci):
    with oci.running() as name:
        pid = oci.runtime.state(name)["pid"]
        seen = oci.exec_see(name, "read:/proc/1/cmdline")
        for kind, link in seen["namespaces"].items():
            assert link == os.readlink(f"/proc/{pid}/ns/{kind}")
        assert seen["did"]["read:/proc/1/cmdline"]["text"].startswith("sleep")
        assert seen["capabilities"]["effective"] == sorted(
            seen["capabilities"]["bounding"], key=seen["capabilities"]["bounding"].index)
        assert seen["capabilities"]["inheritable"] == seen["capabilities"]["ambient"] == []
        assert sorted(seen["fds"]) == ["0", "1", "2"] and seen["no_new_privs"] == 1
        with open(f"/proc/{pid}/cgroup") as f:
            assert seen["proc"]["cgroup"] == f.read()


@pytest.mark.spec("runc(8)")
@pytest.mark.parametrize("flags, path, value", [
    (["--cwd", "/tmp"], "cwd", "/tmp"), (["--env", "A=b"], "environment.A", "b"), (["-e", "A=b"], "environment.A", "b"),
    (["--user", "1000:1001"], "uid", [1000] * 3), (["-u", "1000:1001"], "gid", [1001] * 3), (["--user", "7"], "uid", [7] * 3),
    (["--no-new-privs"], "no_new_privs", 1)], ids=lambda v: " ".join(v) if isinstance(v, list) and v and isinstance(v[0], str) else None)
def test_exec_flags(oci, flags, path, value):
    with oci.running() as name:
        node = oci.exec_see(name, flags=flags)
        for part in path.split("."):
            node = node[part]
        assert node == value


@pytest.mark.spec("runc(8)")
def test_exec_capability(oci):
    with oci.running({"process.capabilities": {"bounding": ["CAP_KILL"], "effective": ["CAP_KILL"],
                                               "permitted": ["CAP_KILL"]}}) as name:
        assert oci.exec_see(name)["capabilities"]["effective"] == ["CAP_KILL"]


@pytest.mark.spec("runc(8)")
def test_exec_process_file(oci):
    process = {**DEFAULT["process"], "args": ["/probe"], "cwd": "/tmp", "env": ["X=1"], "user": {"uid": 5, "gid": 6}}
    with open("process.json", "w") as f:
        json.dump(process, f)
    with oci.running() as name:
        done = oci.runtime.call("exec", "--process", "process.json", name)
        world = json.loads(done.out)
        assert (world["cwd"], world["env"][0], world["uid"][0]) == ("/tmp", "X=1", 5)


@pytest.mark.spec("runc(8)")
def test_exec_detached(oci):
    bundle = oci.bundle(SLEEP)
    with oci.created(bundle=bundle, start=True) as name:
        assert oci.runtime.call("exec", "--detach", "--pid-file", "pid", name, "sleep", "1000")
        with open("pid") as f:
            pid = f.read().strip()

        def started():
            with open(f"/proc/{pid}/cmdline") as g:
                return g.read().startswith("sleep")
        wait_for(started)


@pytest.mark.spec("runc(8)")
@pytest.mark.parametrize("script, status", [("exit 0", 0), ("exit 9", 9), ("kill -9 $$", 137)])
def test_exec_exit_status(oci, script, status):
    with oci.running() as name:
        assert oci.exec(name, "sh", "-c", script).code == status


@pytest.mark.spec("runc(8)")
def test_exec_failure_is_255(oci):
    with oci.running() as name:
        assert oci.exec(name, "/none/such").code == 255
    assert oci.exec(name, "true").code == 255


@pytest.mark.spec("security: CVE-2026-30892")
@pytest.mark.parametrize("user", ["1000x", "1000:", ":5", "-1", "4294967295", " 0", "0x0", "root"])
def test_exec_user_is_strict(oci, user):
    with oci.running() as name:
        assert oci.runtime.call("exec", f"--user={user}", name, "true").code != 0


@pytest.mark.spec("runc(8)")
@pytest.mark.parametrize("view", ["hybrid", "v1", "v2"])
def test_pause_and_resume(oci, view):
    bundle = oci.bundle({"process.args": ["sh", "-c", "while :; do echo >>/beat; sleep 0.02; done"]})
    beat = f"{bundle.root}/beat"
    with oci.created(bundle=bundle, start=True) as name:
        wait_for(lambda: os.path.exists(beat))
        assert oci.runtime.call("pause", name)
        assert oci.runtime.state(name)["status"] == "paused"
        size = os.path.getsize(beat)
        time.sleep(0.1)
        assert os.path.getsize(beat) == size
        assert oci.runtime.call("pause", name).code == 1
        assert oci.exec(name, "true").code == 255
        assert oci.runtime.call("resume", name)
        assert oci.runtime.call("resume", name).code == 1
        wait_for(lambda: os.path.getsize(beat) > size)
        assert oci.runtime.call("pause", name)  # and a paused one can be killed and deleted
    assert oci.runtime.state(name) is None


@pytest.mark.spec("runc(8)")
def test_ps(oci):
    with oci.running() as name:
        pid = oci.runtime.state(name)["pid"]
        assert json.loads(oci.runtime.call("ps", "--format", "json", name).out) == [pid]
        table = oci.runtime.call("ps", name).out.splitlines()
        assert "PID" in table[0] and str(pid) in table[1]


@pytest.mark.spec("runc(8)")
def test_list(oci):
    with oci.running() as first, oci.created(SLEEP) as second:
        rows = {row["id"]: row["status"] for row in json.loads(oci.runtime.call("list", "--format", "json").out)}
        assert rows == {first: "running", second: "created"}
        assert sorted(oci.runtime.call("list", "--quiet").out.split()) == sorted([first, second])
        head, *lines = oci.runtime.call("list").out.splitlines()
        assert head.split()[:3] == ["ID", "PID", "STATUS"] and len(lines) == 2


@pytest.mark.spec("runc(8)")
@pytest.mark.parametrize("flags, controller, file, text", [
    (["--memory", "33554432"], "memory", "memory.limit_in_bytes", "33554432"),
    (["--pids-limit", "33"], "pids", "pids.max", "33"),
    (["--cpu-share", "300"], "cpu", "cpu.shares", "300"),
    (["--cpu-quota", "30000", "--cpu-period", "100000"], "cpu", "cpu.cfs_quota_us", "30000"),
    (["--cpuset-cpus", "0"], "cpuset", "cpuset.cpus", "0")], ids=lambda v: v[0] if isinstance(v, list) else "")
def test_update(oci, flags, controller, file, text):
    path = f"/sys/fs/cgroup/{controller}/{oci.world.name('-group')}/{file}"
    if not os.path.isdir(os.path.dirname(os.path.dirname(path))):
        pytest.skip(f"no v1 {controller} controller")
    with oci.running({"linux.cgroupsPath": "/" + oci.world.name("-group")}) as name:
        done = oci.runtime.call("update", *flags, name)
        assert done.code == 0, done.err
        with open(path) as f:
            assert f.read().strip() == text


@pytest.mark.spec("runc(8)")
def test_spec_makes_a_bundle_that_runs(oci):
    bundle = oci.bundle()
    os.unlink(f"{bundle.path}/config.json")
    assert oci.runtime.call("spec", cwd=bundle.path)
    with open(f"{bundle.path}/config.json") as f:
        config = json.load(f)
    assert oci.runtime.call("spec", cwd=bundle.path).code != 0, "config.json was overwritten"
    config["process"].update(terminal=False, args=["true"])
    bundle.write(json.dumps(config))
    done = oci.runtime.run(bundle, oci.name())
    assert done.code == 0, done.err


# ---- terminals ----

def receive_terminal(listener):
    listener.settimeout(5)
    peer, _ = listener.accept()
    with peer:
        _, fds, _, _ = socket.recv_fds(peer, 4096, 1)
        return fds[0]


@pytest.mark.spec("config.md#process")
def test_console_socket(oci):
    """terminal and consoleSize: the program has a terminal, the other side comes by the socket."""
    patch = {"process.terminal": True, "process.consoleSize": {"height": 33, "width": 77},
             "process.args": ["sh", "-c", "/probe stat:/dev/console >/result; stty -a >/stty; exec sleep 1000"]}
    bundle, name = oci.bundle(patch), oci.name()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("/tmp/w/console")
        listener.listen()
        terminal = -1
        try:
            done = oci.runtime.create(bundle, name, "--console-socket", "/tmp/w/console")
            assert done, done.err
            terminal = receive_terminal(listener)
            assert os.isatty(terminal)
            assert oci.runtime.call("start", name)
            wait_for(lambda: os.path.exists(f"{bundle.root}/stty") and os.path.getsize(f"{bundle.root}/stty"))
            with open(f"{bundle.root}/result") as f:
                seen = json.load(f)
            assert seen["tty"] == [1, 0, 1] and seen["ctty"] == 1 and seen["winsize"] == [33, 77]
            assert seen["did"]["stat:/dev/console"]["type"] == "c"
        finally:
            oci.runtime.call("delete", "--force", name)
            if terminal >= 0:
                os.close(terminal)
    os.unlink("/tmp/w/console")


@pytest.mark.spec("runc(8)")
def test_detached_terminal_needs_a_console_socket(oci):
    done = oci.runtime.create(oci.bundle({**SLEEP, "process.terminal": True}), oci.name())
    assert done.code == 1 and done.err.strip()


# ---- the command line itself ----

@pytest.mark.spec("runc(8)")
@pytest.mark.parametrize("arguments", [["--version"], ["-v"], ["--help"], ["-h"]], ids=" ".join)
def test_information(oci, arguments):
    done = subprocess.run([oci.runtime.path, *arguments], capture_output=True, text=True, timeout=10)
    assert done.returncode == 0 and done.stdout.strip()


@pytest.mark.spec("runtime.md#errors")
@pytest.mark.parametrize("arguments", [["no-such-command"], ["--no-such-flag", "list"], ["state"], ["state", "--no-such-flag", "x"],
                                       ["create"], ["kill"], ["delete"], ["exec"], ["exec", "x"]], ids=" ".join)
def test_wrong_usage(oci, arguments):
    done = oci.runtime.call(*arguments)
    assert done.code != 0 and (done.err + done.out).strip()


@pytest.mark.spec("runtime.md#errors")
def test_failure_changes_nothing(oci):
    """An operation that fails leaves the environment as if it had never been attempted."""
    with oci.running() as name:
        before = oci.runtime.state(name), sorted(os.listdir("/run/oci"))
        oci.runtime.create(oci.bundle({"process.args": ["/none"]}), name)
        oci.runtime.create(oci.bundle({"root.path": "none"}), oci.name())
        assert (oci.runtime.state(name), sorted(os.listdir("/run/oci"))) == before


@pytest.mark.spec("runc(8)")
def test_log_file(oci):
    done = subprocess.run([oci.runtime.path, "--log", "/tmp/w/log", "--log-format", "json", "--root", "/run/oci", "state", "none"],
                          capture_output=True, text=True, timeout=10)
    assert done.returncode == 1
    with open("/tmp/w/log") as f:
        entry = json.loads(f.read().splitlines()[-1])
    assert entry["level"] == "error" and entry["msg"] and entry["time"]


def groups_of(oci):
    return [path for path in cgroups.directories() if oci.world.key in path]


@pytest.mark.limit(120)
@pytest.mark.parametrize("command", [pytest.param(c, marks=pytest.mark.spec("runc(8)")) for c in ("create", "run")])
def test_killed_at_any_point(oci, command):
    """What a runtime leaves that is killed while it makes a container, `delete --force` removes."""
    bundle = oci.bundle({"process.args": ["sleep", "1000"]})
    rng = random.Random(7)
    for _ in range(100):
        name = oci.name()
        child = subprocess.Popen(oci.runtime.command(command, "--bundle", bundle.path, name), stdin=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(rng.uniform(0, 0.025))
        child.kill()
        child.wait()
        done = oci.runtime.call("delete", "--force", name)
        assert done.code == 0, done.err
        assert oci.runtime.state(name) is None
    assert not groups_of(oci)


@pytest.mark.spec("runc(8)")
def test_damaged_state_is_removed_by_force(oci):
    if oci.runtime.name != "wharf-oci":
        pytest.skip("where its state is, and in what form, is a runtime's own affair")
    with oci.running() as name:
        pid = oci.runtime.state(name)["pid"]
        with open(os.path.join("/run/oci", name, "state.json"), "w") as f:
            f.write("{")
        assert not oci.runtime.call("delete", name)
        done = oci.runtime.call("delete", "--force", name)
        assert done.code == 0, done.err
        assert not os.path.exists(os.path.join("/run/oci", name))
        wait_for(lambda: not os.path.exists(f"/proc/{pid}"))  # whoever is its parent reaps it
        for path in groups_of(oci):
            os.rmdir(path)
