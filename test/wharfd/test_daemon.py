# SPDX-License-Identifier: Apache-2.0
"""Flags and daemon.json, reload, restart and crash, who may come in."""
import json
import os
import re
import signal
import socket
import subprocess
import time

import pytest

from lib.daemons import wharfd_program
from lib.engines import wait_for
from wharfd.conftest import PLACES, SOCKET


def refused(*flags):
    done = subprocess.run([wharfd_program(), "-H", SOCKET, *PLACES, *flags], capture_output=True, text=True, timeout=20)
    assert done.returncode not in (0, -signal.SIGSEGV), done.stderr
    return done.stderr


def write_config(**members):
    with open("daemon.json", "w") as f:
        json.dump(members, f)


def inspected(d, name, path):
    return json.loads(d.cli("inspect", "-f", "{{json %s}}" % path, name))


@pytest.mark.parametrize("flags, text", [
    (["--nonsense"], "unknown flag: --nonsense"),
    (["-H", "tcp://127.0.0.1:0"], "will not serve tcp://127.0.0.1:[0-9]+ to whoever connects"),
    (["-H", "ftp://x"], r"[Ii]nvalid bind address.*ftp://x"),
    (["--policy", "anarchy"], "no such policy: 'anarchy'"),
    (["--icc=false"], "cannot do what 'icc' asks for"),
    (["--config-file", "/tmp/w/none.json"], "open /tmp/w/none.json: no such file"),
    (["--default-shm-size", "much"], 'invalid argument "much" for "--default-shm-size"'),
    (["--tlsverify"], "."),
])
def test_refusals(world, flags, text):
    assert re.search(text, refused(*flags))
    subprocess.run(["rm", "-rf", "wroot", "wexec"], check=True)


def test_validate_and_version(world):
    write_config(debug=True)
    for words, says in (["--validate", "--config-file", "daemon.json"], "configuration OK"), (["-v"], "wharfd version"):
        done = subprocess.run([wharfd_program(), *words], capture_output=True, text=True, timeout=10)
        assert done.returncode == 0 and says in done.stdout
    os.unlink("daemon.json")
    text = subprocess.run([wharfd_program(), "--help"], capture_output=True, text=True, timeout=10).stdout
    assert "--data-root string" in text and "-H, --host list" in text


def test_one_daemon_a_pid_file(daemon):
    d = daemon(image=False)
    assert open("wharfd.pid").read() == str(d.process.pid)
    assert "pid file found, ensure wharfd is not running" in refused("-H", "unix:///tmp/w/other.sock")
    assert d.answers()


def test_defaults_and_reload(daemon):
    write_config(**{"log-opts": {"max-size": "1m"}, "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 100,
                                                                                   "Hard": 200}},
                    "labels": ["a=b"], "registry-mirrors": ["https://mirror.example"]})
    d = daemon("--config-file", "/tmp/w/daemon.json")
    assert d.cli("run", "--rm", "--network", "none", "busybox", "sh", "-c", "ulimit -n") == "100"
    d.cli("create", "--name", "cc", "--network", "none", "--log-opt", "max-file=3", "busybox")
    assert inspected(d, "cc", ".HostConfig.LogConfig") == {"Type": "json-file",
                                                          "Config": {"max-size": "1m", "max-file": "3"}}
    info = json.loads(d.cli("info", "-f", "{{json .}}"))
    assert info["Labels"] == ["a=b"] and info["RegistryConfig"]["Mirrors"] == ["https://mirror.example"]

    write_config(**{"labels": ["c=d"], "log-driver": "none"})
    d.process.send_signal(signal.SIGHUP)
    wait_for(lambda: json.loads(d.cli("info", "-f", "{{json .Labels}}")) == ["c=d"], "the reload")
    d.cli("create", "--name", "ce", "--network", "none", "busybox")
    assert inspected(d, "ce", ".HostConfig.LogConfig.Type") == "none"

    write_config(nonsense=1)
    d.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "don't match any configuration option: nonsense" in open("wharfd.log").read(), "the refusal")
    assert json.loads(d.cli("info", "-f", "{{json .Labels}}")) == ["c=d"]


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_containers_outlive_it(daemon, end):
    d = daemon()
    d.cli("run", "-d", "--name", "cc", "--network", "none", "busybox", "sh", "-c",
          "i=0; while :; do echo $i; i=$((i+1)); sleep 0.01; done")
    pid = inspected(d, "cc", ".State.Pid")
    attached = subprocess.Popen([*d.cli.base, "attach", "--no-stdin", "cc"], env=d.cli.env, stdout=subprocess.PIPE,
                                stdin=subprocess.DEVNULL)
    attached.stdout.readline()
    d.process.send_signal(end)
    d.process.wait(timeout=10)
    before = int(attached.stdout.readline())
    time.sleep(0.2)
    d.start()
    assert inspected(d, "cc", ".State.Pid") == pid
    assert d.cli("exec", "cc", "echo", "in") == "in"
    # the attached client never noticed, and no line is lost
    while (line := int(attached.stdout.readline())) < before + 30:
        pass
    d.cli("kill", "cc")
    assert attached.wait(timeout=10) is not None and line
    attached.stdout.close()
    lines = [int(x) for x in d.cli("logs", "cc").split()]
    assert lines == list(range(len(lines))) and len(lines) > 30
    assert inspected(d, "cc", ".State.ExitCode") == 137


def test_restart_policies(daemon):
    d = daemon()
    for name, policy in ("a", "always"), ("b", "no"):
        d.cli("run", "-d", "--name", f"c{name}", "--network", "none", "--restart", policy, "busybox", "sleep", "1000")
    assert d.cli("stop", "-t", "0", "ca") == "ca"
    d.stop()
    d.start()
    # as dockerd: "always" comes back with the daemon, though it was stopped by hand
    wait_for(lambda: inspected(d, "ca", ".State.Running"), "the restart")
    assert inspected(d, "cb", ".State.Running")


def test_rm_happens_at_once(daemon):
    d = daemon()
    events = subprocess.Popen([*d.cli.base, "events", "--filter", "type=container", "--format", "{{.Action}}"],
                              env=d.cli.env, stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    d.cli("run", "-d", "--rm", "--network", "none", "busybox", "true")
    seen = []
    while not seen or seen[-1] != "destroy":
        seen.append(events.stdout.readline().strip())
    events.terminate()
    events.wait()
    events.stdout.close()
    assert seen == ["create", "start", "die", "destroy"]


def test_wait_after_rm(daemon):
    """Who starts with --rm and then waits (dockerode's run) need not be faster than the container."""
    d = daemon()
    run = ["run", "-d", "--network", "none", "--name", "short", "--rm", "busybox"]
    cid = d.cli(*run, "sh", "-c", "exit 7")
    wait_for(lambda: not d.cli("ps", "-aq"), "the removal")
    assert d.cli("wait", cid) == "7"
    d.cli("wait", "short", code=1)
    cid = d.cli(*run, "sleep", "60")
    d.cli("rm", "-f", cid)
    d.cli("wait", cid, code=1)


def test_socket_activation(daemon, world):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind("/tmp/w/given.sock")
        s.listen(16)
        # a shell that knows its own pid, as systemd does
        command = ["bash", "-c", f"exec 3<&{s.fileno()}; export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$@\"", "sh",
                   wharfd_program(), "-H", "fd://", *PLACES]
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as n:
            n.bind("/tmp/w/notify.sock")
            n.settimeout(10)
            with open("wharfd.log", "w") as log:
                process = subprocess.Popen(command, pass_fds=[s.fileno()], stdin=subprocess.DEVNULL, stderr=log,
                                           env={**os.environ, "NOTIFY_SOCKET": "/tmp/w/notify.sock"})
            assert n.recv(4096).startswith(b"READY=1")
            done = subprocess.run(["docker", "-H", "unix:///tmp/w/given.sock", "version", "-f", "{{.Server.Os}}"],
                                  capture_output=True, text=True, timeout=10, env={"DOCKER_CONFIG": "/tmp/w/config",
                                                                                  "PATH": os.environ["PATH"]})
            assert done.stdout.strip() == "linux", done.stderr
            process.terminate()
            assert n.recv(4096).startswith(b"STOPPING=1")
            assert process.wait(timeout=10) == 0
    os.unlink("notify.sock")
    os.unlink("given.sock")


def as_user(uid, d, *words):
    done = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *d.cli.base, *words],
                          capture_output=True, text=True, timeout=30, env={**d.cli.env, "DOCKER_CONFIG": "/nonexistent"})
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_two_users_under_owner(daemon):
    d = daemon("--policy", "owner", "--audit-log", "/tmp/w/audit")
    os.chmod("/tmp/w/wharfd.sock", 0o666)
    d.cli("create", "--name", "roots", "--network", "none", "busybox")
    assert as_user(1001, d, "create", "--name", "first", "--network", "none", "busybox", "true")[0] == 0
    assert as_user(1001, d, "ps", "-a", "--format", "{{.Names}}")[1] == "first"
    assert as_user(1002, d, "ps", "-aq")[1] == ""
    for words in (["rm", "first"], ["inspect", "first"], ["start", "first"], ["logs", "first"], ["rm", "roots"]):
        code, out, error = as_user(1002, d, *words)
        assert code == 1 and "No such container: " in error or "no such object" in error.lower(), (words, out, error)
    code, _, error = as_user(1001, d, "run", "--rm", "--network", "none", "--privileged", "busybox", "true")
    assert code == 125 and "HostConfig.Privileged: it gives power over the host" in error
    code, _, error = as_user(1001, d, "run", "--rm", "--network", "none", "-v", "/:/host", "busybox", "true")
    assert code == 125 and "gives power over the host" in error
    assert as_user(1001, d, "rm", "first") == (0, "first", "")
    decisions = [json.loads(line) for line in open("audit")]
    assert {(x["principal"], x["operation"], x["decision"]) for x in decisions} >= {
        ("user:1001", "container.create", "allow"), ("user:1001", "container.create", "deny"),
        ("user:1002", "container.list", "allow")}
    os.unlink("audit")


def test_a_user_without_rights(daemon):
    d = daemon()
    assert os.stat("/tmp/w/wharfd.sock").st_mode & 0o777 == 0o660
    code, _, error = as_user(1001, d, "ps")
    assert code == 1 and "permission denied" in error


def test_plain_tcp_warns(daemon):
    d = daemon("--tls=false", hosts=("-H", SOCKET, "-H", "tcp://127.0.0.1:2399"))
    assert "Access to the remote API is equivalent to root access" in open("wharfd.log").read()
    done = subprocess.run(["docker", "-H", "tcp://127.0.0.1:2399", "ps", "-q"], capture_output=True, text=True, timeout=10,
                          env=d.cli.env)
    assert done.returncode == 0, done.stderr


@pytest.mark.limit(60)
def test_page(daemon):
    """The commands of docs/wharfd.md, as they stand there."""
    from wharf.test_docs import blocks
    script = "\n".join(blocks("wharfd.md")).replace("docker -H", "sleep 1; docker -H").replace("/srv/w", "/tmp/w/page")
    bin_ = os.path.dirname(wharfd_program())
    done = subprocess.run(["bash", "-ec", f"PATH={bin_}:$PATH\n{script}\nsleep 0.3; kill $(cat /run/w.pid); wait"],
                          capture_output=True, text=True, timeout=30,
                          env={**os.environ, "DOCKER_CONFIG": "/tmp/w/config"})
    assert done.returncode == 0, done.stderr
    assert "API version:" in done.stdout and "Reloaded configuration" in done.stderr
    subprocess.run(["rm", "-rf", "page", "/run/w"], check=True)


def test_init(daemon):
    """--init: signals reach the command, orphans are reaped, its exit code is the container's."""
    d = daemon()
    d.cli("run", "-d", "--name", "cc", "--init", "--network", "none", "busybox", "sh", "-c",
          "(sleep 0.01 &); trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done")
    wait_for(lambda: d.cli("logs", "cc") == "up", "its trap")
    assert d.cli("exec", "cc", "cat", "/proc/1/comm") == "docker-init"
    wait_for(lambda: " Z " not in d.cli("exec", "cc", "sh", "-c", "cat /proc/[0-9]*/stat"), "the reaping")
    d.cli("stop", "-t", "5", "cc")
    assert inspected(d, "cc", ".State.ExitCode") == 9
    assert inspected(d, "cc", ".Path") == "sh"
    d.cli("run", "--rm", "--init", "--network", "none", "busybox", "nosuch", code=127)
