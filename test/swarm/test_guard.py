# SPDX-License-Identifier: Apache-2.0
"""Filters and doors in a composition: two Unix users under `authorize owner`, the audit log's chain, TCP."""
import json
import os
import re
import signal
import subprocess

import pytest

from lib import bundle
from lib.daemons import swarmd_program
from lib.engines import wait_for

pytestmark = [pytest.mark.limit(120)]
ALICE, BOB = 1001, 1002
QUIET = ("--network", "none")


def as_user(uid, daemon, *words):
    done = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *daemon.cli.base, *words],
                          env={**os.environ, "DOCKER_CONFIG": f"/tmp/w/config{uid}"}, capture_output=True, text=True,
                          timeout=60, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.strip(), done.stderr


def request(uid, daemon, method, path, body=None):
    """(status, body) of one request by curl."""
    data = ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body is not None else []
    done = subprocess.run(["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", "curl", "-s", "-m", "5",
                           "-X", method, *data, "-w", "\n%{http_code}", "--unix-socket",
                           daemon.socket.removeprefix("unix://"), f"http://d/v1.47{path}"],
                          capture_output=True, text=True, timeout=20)
    text, _, status = done.stdout.rpartition("\n")
    return int(status), text


@pytest.fixture
def guarded(swarmd, archive):
    daemon = swarmd("guarded", "authorize owner /tmp/w/audit.log", "engine /tmp/w/eroot many-users")
    os.chmod("guarded.sock", 0o666)
    daemon.cli("import", "-c", 'CMD ["sh"]', archive, "busybox")
    yield daemon
    daemon.empty()
    subprocess.run("rm -rf eroot audit.log config1001 config1002", shell=True, check=True)


def rows_about(resource):
    """(method, path) of every row of the table whose path names an object of that kind."""
    text = open(os.path.join(bundle.TOP, "libswarm/ops.c")).read()
    pairs = re.findall(r'\.method = "([A-Z]+)",\s*\.path = "([^"]*)"', text)
    return [(m, p) for m, p in pairs if p.startswith(f"/{resource}/{{") and "/ws" not in p]


BODIES = {"exec": {"Cmd": ["true"]}, "connect": {"Container": "x"}, "disconnect": {"Container": "x"}, "update": {}}


def answers(uid, daemon, method, path, name, absent):
    """The answer on what exists and on what does not, with the name taken out."""
    body = next((b for word, b in BODIES.items() if path.endswith("/" + word)), {} if method == "POST" else None)
    found = []
    for word in (name, absent):
        path_ = re.sub(r"\{[^}]*\}", word, path, count=1)
        query = "?path=/&name=other&signal=KILL" if "archive" in path_ or "rename" in path_ else ""
        status, text = request(uid, daemon, method, path_ + query, body)
        found.append((status, text.replace(word, "NAME")))
    return found


@pytest.mark.parametrize("resource,name", [("containers", "hers"), ("networks", "hernet"), ("volumes", "hervol"),
                                           ("exec", None)])
def test_what_is_anothers_is_as_what_does_not_exist(guarded, resource, name):
    for words in (("network", "create", "hernet"), ("volume", "create", "hervol"),
                  ("run", "-d", "--name", "hers", *QUIET, "busybox", "sleep", "1000")):
        code, _, error = as_user(ALICE, guarded, *words)
        assert code == 0, error
    status, made = request(ALICE, guarded, "POST", "/containers/hers/exec", {"Cmd": ["true"]})
    assert status == 201
    name = name or json.loads(made)["Id"]
    absent = "f" * 64 if resource == "exec" else "nosuch"
    rows = rows_about(resource)
    assert rows
    wrong = []
    for method, path in rows:
        hers, nothing = answers(BOB, guarded, method, path, name, absent)
        if hers != nothing or hers[0] < 400:
            wrong.append((method, path, hers, nothing))
    assert wrong == []
    for listing in (("ps", "-aq"), ("volume", "ls", "-q"), ("network", "ls", "-q", "-f", "name=hernet")):
        assert as_user(BOB, guarded, *listing)[1] == ""
        assert as_user(ALICE, guarded, *listing)[1] != ""
    assert as_user(ALICE, guarded, "inspect", "-f", "{{.State.Running}}", "hers")[1] == "true"
    guarded.cli("rm", "-f", "hers")
    guarded.cli("network", "rm", "hernet")
    guarded.cli("volume", "rm", "hervol")


@pytest.mark.parametrize("flags", ["--privileged", "-v /:/host", "--mount type=bind,src=/,dst=/host", "--pid host",
                                   "--network host", "--ipc host", "--uts host", "--userns host", "--device /dev/null",
                                   "--cap-add SYS_ADMIN", "--security-opt seccomp=unconfined", "--sysctl net.core.somaxconn=9",
                                   "--cgroup-parent /x", "--oom-kill-disable", "--device-cgroup-rule a"])
def test_power_over_the_host_is_refused(guarded, flags):
    code, _, error = as_user(BOB, guarded, "create", *flags.split(), "busybox", "true")
    assert code != 0 and ("gives power over the host" in error or "invalid device cgroup" in error), error


def test_alone_a_second_user_is_refused(swarmd):
    daemon = swarmd("alone", "engine /tmp/w/aroot")
    os.chmod("alone.sock", 0o666)
    for words in (("ps",), ("images",), ("network", "ls"), ("volume", "create", "v"), ("create", "busybox"),
                  ("inspect", "x"), ("kill", "x"), ("system", "prune", "-f")):
        code, _, error = as_user(BOB, daemon, *words)
        assert code != 0 and "may not use the containers of" in error, (words, error)
    subprocess.run("rm -rf aroot config1002", shell=True, check=True)


def verify():
    done = subprocess.run([swarmd_program(), "--verify-audit", "audit.log"], capture_output=True, text=True, timeout=10)
    return done.returncode, done.stdout + done.stderr


def test_the_log_survives_kill_9_and_shows_a_change(guarded):
    assert as_user(BOB, guarded, "create", "--privileged", "busybox")[0] != 0
    guarded.process.send_signal(signal.SIGKILL)
    guarded.process.wait()
    with open("audit.log", "r+") as f:  # as if the kill had come in the middle of a line
        text = f.read()
        assert '"decision":"deny"' in text and '"principal":"user:1002"' in text
        f.truncate(len(text) - 20)
    guarded.start()
    lines = open("audit.log").read().splitlines()
    code, said = verify()
    assert code == 0 and f"{len(lines)} lines, unbroken" in said, (said, lines)
    with open("audit.log", "w") as f:
        f.write("\n".join([lines[0].replace("allow", "deny_"), *lines[1:]]) + "\n")
    code, said = verify()
    assert code != 0 and "line 2 does not follow" in said


def test_tcp_needs_a_word(swarmd):
    parts = [swarmd_program(), "dockerserver tcp://127.0.0.1:14243", "docker unix:///tmp/w/nobody.sock"]
    done = subprocess.run(parts, capture_output=True, text=True, timeout=10)
    assert done.returncode != 0 and "without TLS: say 'insecure'" in done.stderr
    server = subprocess.Popen([parts[0], parts[1] + " insecure", parts[2]])
    try:
        wait_for(lambda: subprocess.run(["curl", "-s", "-o", "/dev/null", "http://127.0.0.1:14243/info"],
                                        check=False).returncode == 0, "an answer over TCP")
        said = subprocess.run(["curl", "-s", "http://127.0.0.1:14243/info"], capture_output=True, text=True).stdout
        assert "cannot reach the Docker daemon at 'unix:///tmp/w/nobody.sock'" in json.loads(said)["message"]
    finally:
        server.terminate()
        server.wait(timeout=10)


def test_hello():
    program = os.path.join(os.environ.get("WHARF_BUILD", os.path.join(bundle.TOP, "build")), "libswarm/hello-service")
    done = subprocess.run([program], capture_output=True, text=True, timeout=10)
    answer = json.loads(done.stdout)
    assert done.returncode == 0 and answer == {"Version": "hello", "AskedBy": "user:0"}
