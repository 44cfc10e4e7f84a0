# SPDX-License-Identifier: Apache-2.0
"""wharf's commands on a real image: run, exec, logs, ps, stop, kill, rm, inspect, images."""
import json
import os
import signal
import subprocess
import time

import pytest

from lib.terminal import end_of, in_terminal, read_until

SHORT = 12


def wait_for(condition, seconds=5):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_run_prints_and_returns(wharf):
    assert wharf.run("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 7") == (7, "out\n", "err\n")
    assert wharf.ok("ps", "-aq") == ""


@pytest.mark.parametrize("command, code, text", [
    (["nosuch"], 127, "executable file not found"),
    (["/etc/passwd"], 126, "permission denied"),
    (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137, ""),
])
def test_exit_codes(wharf, command, code, text):
    got, _, err = wharf.run("run", "--rm", "busybox", *command)
    assert got == code and text in err
    assert wharf.ok("ps", "-aq") == ""


def test_errors_of_wharf_are_125(wharf):
    code, _, err = wharf.run("run", "--pull", "never", "nosuch", "true")
    assert code == 125 and "No such image: nosuch:latest" in err
    code, _, err = wharf.run("run", "--frob", "busybox")
    assert code == 125 and "unknown flag: --frob" in err
    code, _, err = wharf.run("run", "-v", "a b:/x", "busybox", "true")
    assert code == 125 and "includes invalid characters for a local volume name" in err
    code, _, err = wharf.run("run", "--network", "nosuch", "busybox", "true")
    assert code == 125 and "network nosuch not found" in err
    code, _, err = wharf.run("rm", "nosuch")
    assert code == 1 and "No such container: nosuch" in err


def test_stdin_is_passed_and_ends(wharf):
    assert wharf.run("run", "--rm", "-i", "busybox", "cat", input=b"x" * 300000)[1] == "x" * 300000
    assert wharf.run("run", "--rm", "busybox", "wc", "-c", input=b"never read")[1] == "0\n"


def test_large_output_is_whole(wharf):
    out = wharf.ok("run", "--name", "big", "busybox", "seq", "200000", timeout=30)
    assert out == "".join(f"{n}\n" for n in range(1, 200001))
    assert wharf.ok("logs", "big") == out
    assert wharf.ok("logs", "--tail", "3", "big") == "199998\n199999\n200000\n"


def test_environment_user_and_place(wharf):
    with open("env", "w") as f:
        f.write("# comment\nC=3\n\nUNSET\n")
    out = wharf.ok("run", "--rm", "-e", "A=1", "--env-file", "env", "-u", "web:staff", "-w", "/tmp", "-h", "box",
                   "busybox", "sh", "-c", "echo $A$C $HOME; id; pwd; hostname; cat /etc/hostname")
    assert out == "13 /tmp\nuid=33(web) gid=50(staff)\n/tmp\nbox\nbox\n"
    os.unlink("env")


def test_volumes_and_read_only_root(wharf):
    os.mkdir("v")
    wharf.ok("run", "--rm", "-v", f"{os.getcwd()}/v:/data", "busybox", "sh", "-c", "echo hi >/data/f")
    assert open("v/f").read() == "hi\n"
    code, _, err = wharf.run("run", "--rm", "-v", f"{os.getcwd()}/v:/data:ro", "busybox", "rm", "/data/f")
    assert code == 1 and "Read-only" in err
    code, _, err = wharf.run("run", "--rm", "--read-only", "--tmpfs", "/scratch", "busybox", "sh", "-c",
                             "touch /scratch/a && touch /x")
    assert code == 1 and "Read-only" in err
    os.unlink("v/f")
    os.rmdir("v")


def status_of(wharf, *flags):
    out = wharf.ok("run", "--rm", *flags, "busybox", "cat", "/proc/self/status")
    return dict(line.split(":\t", 1) for line in out.splitlines() if ":\t" in line)


def test_confinement(wharf):
    status = status_of(wharf)
    assert status["CapEff"] == "00000000a80425fb" and status["Seccomp"] == "2" and status["NoNewPrivs"] == "0"
    status = status_of(wharf, "--cap-drop", "ALL", "--cap-add", "CHOWN", "--security-opt", "no-new-privileges")
    assert status["CapEff"] == "0000000000000001" and status["NoNewPrivs"] == "1"
    assert status_of(wharf, "--security-opt", "seccomp=unconfined")["Seccomp"] == "0"
    code, _, _ = wharf.run("run", "--rm", "busybox", "unshare", "-U", "true")
    assert code != 0  # clone and unshare of namespaces need CAP_SYS_ADMIN


def test_networks(wharf):
    assert wharf.ok("run", "--rm", "busybox", "ls", "/sys/class/net").split() == ["eth0", "lo"]
    assert wharf.ok("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net").split() == ["lo"]
    mine = os.readlink("/proc/self/ns/net")
    assert wharf.ok("run", "--rm", "--network", "host", "busybox", "readlink", "/proc/self/ns/net").strip() == mine


def cgroup_file(name, controller, file):
    with open(f"/sys/fs/cgroup/{controller}/wharf-{name}/{file}") as f:
        return f.read().strip()


def test_limits_take_effect(wharf):
    cid = wharf.ok("run", "-d", "--memory", "32m", "--cpus", "0.5", "--pids-limit", "9", "busybox",
                   "sleep", "100").strip()
    assert cgroup_file(cid, "memory", "memory.limit_in_bytes") == str(32 << 20)
    assert cgroup_file(cid, "cpu", "cpu.cfs_quota_us") == "50000"
    assert cgroup_file(cid, "pids", "pids.max") == "9"
    code, _, err = wharf.run("exec", cid, "sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done")
    assert "can't fork" in err
    wharf.ok("rm", "-f", cid)
    code, _, _ = wharf.run("run", "--rm", "--memory", "16m", "busybox", "sh", "-c", "tail -c 100m /dev/zero")
    assert code == 137


def test_detached_life(wharf):
    cid = wharf.ok("run", "-d", "--name", "c1", "-l", "a=b", "busybox", "sh", "-c", "echo out; sleep 100").strip()
    assert len(cid) == 64
    rows = wharf.ok("ps", "--format", "{{.ID}} {{.Image}} {{.Names}} {{.State}}").splitlines()
    assert rows == [f"{cid[:SHORT]} busybox c1 running"]
    assert json.loads(wharf.ok("ps", "--format", "json"))["Names"] == "c1"
    assert wharf.ok("ps", "-q", "--no-trunc", "-f", "label=a=b") == cid + "\n"
    assert wharf.ok("ps", "-q", "-f", "label=a=c") == ""
    wait_for(lambda: wharf.ok("logs", "c1") == "out\n")
    doc = json.loads(wharf.ok("inspect", cid[:6]))[0]
    assert doc["Name"] == "/c1" and doc["State"]["Running"] and doc["Config"]["Labels"] == {"a": "b"}
    code, _, err = wharf.run("run", "--name", "c1", "busybox", "true")
    assert code == 125 and 'The container name "/c1" is already in use by container "' + cid in err
    code, _, err = wharf.run("rm", "c1")
    assert code == 1 and "container is running" in err
    assert wharf.ok("stop", "-t", "0", "c1") == "c1\n"
    assert wharf.field("c1", "State.Status") == "exited" and wharf.field("c1", "State.ExitCode") == "137"
    wharf.ok("start", "c1")
    wharf.ok("rename", "c1", "c2")
    assert wharf.ok("kill", "-s", "KILL", "c2") == "c2\n"
    assert wharf.ok("wait", "c2") == "137\n"
    code, _, err = wharf.run("kill", "c2")
    assert code == 1 and "is not running" in err
    wharf.ok("rm", "c2")


def test_stop_signal_and_its_handler(wharf):
    wharf.ok("run", "-d", "--name", "cc", "--stop-signal", "USR1", "busybox", "sh", "-c",
             "trap 'echo bye; exit 3' USR1; echo ready; while :; do sleep 0.05; done")
    wait_for(lambda: "ready" in wharf.ok("logs", "cc"))
    wharf.ok("stop", "cc")
    assert wharf.field("cc", "State.ExitCode") == "3" and wharf.ok("logs", "cc") == "ready\nbye\n"


def test_exec(wharf):
    wharf.ok("run", "-d", "--name", "cc", "-e", "A=1", "busybox", "sleep", "100")
    assert wharf.run("exec", "-e", "B=2", "cc", "sh", "-c", "echo $A$B; exit 9") == (9, "12\n", "")
    assert wharf.run("exec", "-i", "cc", "cat", input=b"x" * 200000)[1] == "x" * 200000
    assert wharf.ok("exec", "-u", "web", "-w", "/tmp", "cc", "sh", "-c", "id -u; pwd") == "33\n/tmp\n"
    assert wharf.run("exec", "cc", "nosuch")[0] == 127
    assert wharf.run("exec", "cc", "/etc/passwd")[0] == 126
    wharf.ok("exec", "-d", "cc", "touch", "/tmp/made")
    wait_for(lambda: wharf.run("exec", "cc", "test", "-e", "/tmp/made")[0] == 0)
    wharf.ok("pause", "cc")
    code, _, err = wharf.run("exec", "cc", "true")
    assert code == 1 and "is paused" in err
    wharf.ok("unpause", "cc")
    wharf.ok("exec", "cc", "true")


def test_logs_follow_until_the_end(wharf):
    wharf.ok("run", "-d", "--name", "cc", "busybox", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.2; done")
    assert wharf.ok("logs", "-f", "cc") == "1\n2\n3\n"
    line = wharf.ok("logs", "-t", "--tail", "1", "cc")
    assert line.endswith("Z 3\n") and line[4] == "-"
    assert wharf.ok("logs", "--since", "1h", "--until", "1h", "cc") == ""


def test_log_is_bounded(wharf):
    wharf.ok("run", "--name", "cc", "--log-opt", "max-size=10k", "--log-opt", "max-file=2", "busybox", "seq", "5000")
    files = [f for f in os.listdir(f"{wharf.root}/containers/" + wharf.field("cc", "Id")) if ".log" in f]
    assert len(files) == 2
    assert wharf.ok("logs", "--tail", "2", "cc") == "4999\n5000\n"


def test_terminal(wharf):
    pid, master = in_terminal(wharf, "run", "--rm", "-it", "busybox", "sh")
    read_until(master, b"# ")
    os.write(master, b"tty; echo a$((1+1))b\n")
    got = read_until(master, b"a2b")
    assert b"/dev/pts/0" in got or b"/dev/console" in got
    os.write(master, b"exit 5\n")
    assert end_of(pid, master) == 5


def test_detach_keys_leave_it_running(wharf):
    pid, master = in_terminal(wharf, "run", "-it", "--name", "cc", "busybox", "sh")
    read_until(master, b"# ")
    os.write(master, b"\x10\x11")
    assert end_of(pid, master) == 0
    assert wharf.field("cc", "State.Running") == "true"


def test_signals_are_forwarded(wharf):
    run = wharf.start("run", "--rm", "busybox", "sh", "-c",
                      "trap 'echo got; exit 4' TERM; echo ready; while :; do sleep 0.05; done")
    assert run.stdout.readline() == b"ready\n"
    run.send_signal(signal.SIGTERM)
    out, _ = run.communicate(timeout=10)
    assert (run.returncode, out) == (4, b"got\n")


def test_rm_holds_although_the_client_was_killed(wharf):
    run = wharf.start("run", "--rm", "busybox", "sh", "-c", "echo ready; sleep 0.3")
    assert run.stdout.readline() == b"ready\n"
    run.kill()
    run.communicate()
    wait_for(lambda: wharf.ok("ps", "-aq") == "")


def test_slow_client_blocks_nothing_else(wharf):
    run = wharf.start("run", "--name", "cc", "busybox", "yes")
    wait_for(lambda: wharf.run("exec", "cc", "true")[0] == 0)
    time.sleep(0.3)  # its pipe is full by now
    wharf.ok("kill", "cc")
    run.communicate(timeout=10)
    assert run.returncode == 137


def test_images(wharf, base_tar):
    wharf.ok("tag", "busybox", "other/name:v1")
    rows = wharf.ok("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    assert sorted(rows) == ["busybox:latest", "other/name:v1"]
    assert wharf.ok("rmi", "other/name:v1") == "Untagged: other/name:v1\n"
    wharf.ok("create", "--name", "cc", "busybox", "true")
    code, _, err = wharf.run("rmi", "busybox")
    assert code == 1 and "Error:" in err
    wharf.ok("rm", "cc")
    wharf.ok("rmi", "busybox")
    assert wharf.ok("images", "-q") == ""
    wharf.ok("import", base_tar, "busybox")


def test_docker_archive_made_by_skopeo(wharf, base_tar):
    wharf.ok("rmi", "busybox")
    subprocess.run(["umoci", "init", "--layout", "oci"], check=True)
    subprocess.run(["umoci", "new", "--image", "oci:x"], check=True)
    subprocess.run(["umoci", "raw", "add-layer", "--image", "oci:x", base_tar], check=True)
    subprocess.run(["skopeo", "--insecure-policy", "copy", "-q", "oci:oci:x", "docker-archive:a.tar:made:1"], check=True)
    assert wharf.ok("load", "-i", "a.tar") == "Loaded image: made:1\n"
    assert wharf.ok("run", "--rm", "made:1", "echo", "from the archive") == "from the archive\n"
    subprocess.run(["rm", "-rf", "oci", "a.tar"], check=True)


def test_help_is_the_table(wharf):
    assert "Create a container from an image and run it" in wharf.ok("run", "--help")
    assert "  ps " in wharf.ok("--help")
    code, _, err = wharf.run("frob")
    assert code == 1 and "'frob' is not a wharf command" in err


def test_many_at_once(wharf):
    runs = [wharf.start("run", "--rm", "busybox", "echo", str(n)) for n in range(12)]
    for n, run in enumerate(runs):
        out, err = run.communicate(timeout=20)
        assert (run.returncode, out) == (0, f"{n}\n".encode()), err


def test_containers_leave_the_mount_table_alone(wharf):
    before = open("/proc/self/mountinfo").read()
    for n in range(3):
        wharf.ok("run", "-d", "busybox", "sleep", "100")
    assert open("/proc/self/mountinfo").read() == before


def test_descriptors_of_the_process(wharf):
    for command in (["run", "--rm", "busybox"], ["exec", "cc"]):
        if command[0] == "exec":
            wharf.ok("run", "-d", "--name", "cc", "busybox", "sleep", "100")
        out = wharf.ok(*command, "sh", "-c", "ls /proc/$$/fd; true")
        assert out.split() == ["0", "1", "2"]


def test_memory_of_a_shim(wharf):
    """At most 400 KiB private each, seen with two of them (the program's pages are then shared)."""
    pids = []
    for _ in range(2):
        cid = wharf.ok("run", "-d", "busybox", "sleep", "100").strip()
        with open(f"/proc/{wharf.field(cid, 'State.Pid')}/status") as f:
            pids += [line.split()[1] for line in f if line.startswith("PPid")]
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            private = sum(int(line.split()[1]) for line in f if line.startswith("Private"))
        assert private <= 400
