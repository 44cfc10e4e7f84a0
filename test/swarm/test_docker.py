# SPDX-License-Identifier: Apache-2.0
"""A Docker daemon as a service: `swarmd 'dockerserver unix://..' 'docker unix://DOCKERD'`. The docker CLI cannot
tell that something stands in between."""
import os
import subprocess
import threading

import pytest

from lib.engines import wait_for

pytestmark = [pytest.mark.limit(120)]
QUIET = ("--network", "none")


@pytest.fixture
def through(dockerd, swarmd):
    return swarmd("through", "docker unix:///tmp/w/dockerd.sock")


def test_run_and_what_comes_back(through):
    cli = through.cli
    assert cli("run", "--rm", *QUIET, "busybox", "echo", "hello") == "hello"
    assert through.run("run", "--rm", *QUIET, "busybox", "sh", "-c", "echo out; echo err >&2; exit 7") == \
        (7, "out\n", "err\n")
    assert cli("run", "--rm", "-i", *QUIET, "busybox", "wc", "-c", text="x" * 200000) == "200000"
    code, _, error = through.run("run", "--rm", *QUIET, "busybox", "/no/such")
    assert code == 127 and "no such file" in error


def test_terminal(through):
    command = " ".join([*through.cli.base, "run", "--rm", "-it", *QUIET, "busybox", "sh"])
    done = subprocess.run(["script", "-qec", command, "/dev/null"], input="tty; echo $((6*7)); exit 5\n", text=True,
                          capture_output=True, timeout=60, env=through.cli.env)
    assert done.returncode == 5 and "/dev/pts/0" in done.stdout and "42" in done.stdout, done.stdout


def test_life(through, dockerd):
    cli = through.cli
    lines = []
    events = subprocess.Popen([*cli.base, "events", "--format", "{{.Action}}"], stdout=subprocess.PIPE, text=True,
                              env=cli.env)
    reader = threading.Thread(target=lambda: lines.extend(line.strip() for line in events.stdout))
    reader.start()
    wait_for(lambda: through.run("info")[0] == 0, "info")
    name = "life"
    identity = cli("run", "-d", "--name", name, *QUIET, "busybox", "sh", "-c",
                   "i=0; while :; do echo $i; i=$((i+1)); sleep 0.1; done")
    assert cli("ps", "--no-trunc", "-q") == identity == dockerd.cli("ps", "--no-trunc", "-q")
    assert cli("inspect", "-f", "{{.Id}} {{.State.Running}}", name) == f"{identity} true"
    follow = subprocess.Popen([*cli.base, "logs", "-f", name], stdout=subprocess.PIPE, text=True, env=cli.env)
    assert [follow.stdout.readline() for _ in range(3)] == ["0\n", "1\n", "2\n"]
    assert cli("exec", "-i", name, "cat", text="through stdin") == "through stdin"
    cli("exec", name, "sh", "-c", "exit 9", code=9)
    assert cli("exec", "-d", name, "touch", "/made") == ""
    with open("in.txt", "w") as f:
        f.write("copied")
    cli("cp", "in.txt", f"{name}:/tmp/in.txt")
    os.unlink("in.txt")
    assert cli("exec", name, "cat", "/tmp/in.txt") == "copied"
    cli("cp", f"{name}:/tmp/in.txt", "out.txt")
    assert open("out.txt").read() == "copied"
    os.unlink("out.txt")
    assert "/made" in cli("diff", name)
    cli("kill", name)
    assert follow.wait(timeout=20) == 0
    follow.stdout.close()
    assert cli("wait", name) == "137"
    cli("rm", name)
    assert through.run("inspect", name)[0] == 1 and cli("ps", "-aq") == ""
    wait_for(lambda: "destroy" in lines, "the last event")
    events.terminate()
    events.wait(timeout=10)
    reader.join(10)
    events.stdout.close()
    assert [a for a in lines if a in ("create", "start", "kill", "die", "destroy")] == \
        ["create", "start", "kill", "die", "destroy"]


def test_images(through, dockerd):
    cli = through.cli
    os.mkdir("context")
    with open("context/Dockerfile", "w") as f:
        f.write("FROM busybox\nCOPY Dockerfile /told\nENV A=b\n")
    subprocess.run([*cli.base, "build", "-t", "built", "context"], check=True, capture_output=True, timeout=60,
                   env={**cli.env, "DOCKER_BUILDKIT": "0"})
    subprocess.run(["rm", "-r", "context"], check=True)
    assert cli("images", "-q", "built") == dockerd.cli("images", "-q", "built")
    assert cli("run", "--rm", *QUIET, "built", "sh", "-c", "echo $A; head -1 /told").split("\n") == ["b", "FROM busybox"]
    code, _, error = through.run("pull", "127.0.0.1:1/no/such")
    assert code == 1 and "connection refused" in error
    cli("save", "-o", "built.tar", "built")
    cli("rmi", "built")
    assert "built" in cli("load", "-i", "built.tar")
    os.unlink("built.tar")
    cli("rmi", "built")


def test_errors_are_the_daemons_own(through, dockerd):
    for command in (("start", "nosuch"), ("rm", "nosuch"), ("exec", "nosuch", "true"), ("attach", "nosuch"),
                    ("logs", "nosuch"), ("cp", "nosuch:/x", "y"), ("network", "inspect", "nosuch"),
                    ("run", "--name", "-bad", "busybox"), ("volume", "rm", "nosuch"), ("rmi", "nosuch")):
        assert through.run(*command) == dockerd.run(*command)
