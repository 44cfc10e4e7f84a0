# SPDX-License-Identifier: Apache-2.0
"""A client's own socket at the shim: attach, exec and wait as a door uses them, with the door gone meanwhile."""
import json
import os
import socket
import struct
import subprocess
import time

import pytest

from wharf.conftest import TOP, Wharf, base_tar, program, wharf  # noqa: F401 (fixtures)

DRIVER = os.path.join(TOP, "build", "test", "shim", "shim-driver")
SHIM = os.path.join(TOP, "build", "cmd", "wharf-shim", "wharf-shim")


class Door:
    """The engine in a process of its own; ask() is one step. Sockets that it may pass on are given at once."""

    def __init__(self, wharf, sockets=3):
        pairs = [socket.socketpair() for _ in range(sockets)]
        self.client = [ours for ours, _ in pairs]
        self.theirs = [theirs.fileno() for _, theirs in pairs]
        self.process = subprocess.Popen([DRIVER, wharf.root, SHIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        pass_fds=self.theirs, text=True)
        for _, theirs in pairs:
            theirs.close()
        for ours in self.client:
            ours.settimeout(10)

    def ask(self, *words):
        self.process.stdin.write("\t".join(words) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().rstrip("\n")

    def ok(self, *words):
        answer = self.ask(*words)
        assert answer.startswith("ok"), answer
        return answer[3:]

    def connect(self, number, *early):
        return self.ok("connect", str(self.theirs[number]), *early)

    def kill(self):
        self.process.kill()
        self.close()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def door(wharf):
    door = Door(wharf)
    yield door
    if door.process.poll() is None:
        door.close()
    for client in door.client:
        client.close()


def read_all(client):
    data = b""
    while True:
        more = client.recv(65536)
        if not more:
            return data
        data += more


def frames(data):
    """[(stream, bytes)] with neighbours of one stream joined."""
    found = []
    while data:
        stream, zeros, length = struct.unpack(">B3sI", data[:8])
        assert zeros == b"\0\0\0" and len(data) >= 8 + length
        if found and found[-1][0] == stream:
            found[-1] = (stream, found[-1][1] + data[8:8 + length])
        else:
            found.append((stream, data[8:8 + length]))
        data = data[8 + length:]
    return found


def create(wharf, *args):
    return wharf.ok("create", *args).strip()


def test_attach_before_start_loses_nothing(wharf, door):
    create(wharf, "--name", "cc", "busybox", "sh", "-c", "echo out; sleep 0.1; echo err >&2; exit 3")
    door.ok("attach", "cc", "oes")
    door.ok("wait", "cc", "next-exit")
    door.ok("start", "cc")
    time.sleep(0.3)  # it has ended before the socket comes
    door.connect(0)
    assert frames(read_all(door.client[0])) == [(1, b"out\n"), (2, b"err\n")]
    assert door.ok("await") == "3"
    wharf.ok("rm", "cc")


def test_session_outlives_the_door(wharf, door):
    create(wharf, "-i", "--name", "cc", "busybox", "cat")
    door.ok("attach", "cc", "ioes")
    door.connect(0, "early ")
    door.ok("start", "cc")
    door.kill()
    door.client[0].sendall(b"late\n")
    door.client[0].shutdown(socket.SHUT_WR)
    data = b""
    while len(data) < 8 + 6 + 8 + 5:
        data += door.client[0].recv(100)
    assert frames(data) == [(1, b"early late\n")]
    wharf.ok("rm", "-f", "cc")


def test_half_close_ends_stdin_once(wharf, door):
    wharf.ok("create", "-i", "-a", "stdin", "-a", "stdout", "--name", "cc", "busybox", "sh", "-c", "cat; exit 5")
    door.ok("attach", "cc", "ioes")
    door.connect(0)
    door.ok("start", "cc")
    door.client[0].sendall(b"x" * 300000)
    door.client[0].shutdown(socket.SHUT_WR)
    assert frames(read_all(door.client[0])) == [(1, b"x" * 300000)]
    assert wharf.ok("wait", "cc") == "5\n"
    wharf.ok("rm", "cc")


def test_terminal_is_raw_and_detaches(wharf, door):
    create(wharf, "-it", "--name", "cc", "busybox", "sh")
    door.ok("attach", "cc", "ioes", "ctrl-a,x")
    door.connect(0)
    door.ok("start", "cc")
    door.ok("resize", "cc", "33", "77")
    door.client[0].sendall(b"stty size; echo a''b\n")
    data = b""
    while b"ab\r\n" not in data:
        data += door.client[0].recv(4096)
    assert b"33 77\r\n" in data
    door.client[0].sendall(b"\x01")
    time.sleep(0.1)
    door.client[0].sendall(b"x")
    read_all(door.client[0])  # ends: detached
    assert wharf.field("cc", "State.Running") == "true"
    wharf.ok("rm", "-f", "cc")


def test_logs_first_then_live(wharf, door):
    wharf.ok("run", "-d", "-i", "--name", "cc", "busybox", "sh", "-c",
             "echo one; echo two >&2; printf thr; read x; echo ee; echo four")
    while "two" not in "".join(wharf.run("logs", "cc")[1:]):
        time.sleep(0.02)
    time.sleep(0.1)
    door.ok("attach", "cc", "oels")

    door.connect(0)
    second = Door(wharf, 1)
    second.ok("attach", "cc", "is")
    second.connect(0)
    second.client[0].sendall(b"go\n")
    assert frames(read_all(door.client[0])) == [(1, b"one\n"), (2, b"two\n"), (1, b"three\nfour\n")]
    third = Door(wharf, 1)
    third.ok("attach", "cc", "oel")
    third.connect(0)
    assert b"".join(text for _, text in frames(read_all(third.client[0]))) == b"one\ntwo\nthree\nfour\n"
    for other in (second, third):
        other.close()
        other.client[0].close()
    wharf.ok("rm", "-f", "cc")


def test_stuck_client_does_not_hold_up_the_others(wharf, door):
    """Below CLIENT_PENDING_MAX nobody notices; above it the stream waits, but kill and the end come through."""
    wharf.ok("run", "-d", "-i", "--name", "cc", "busybox", "sh", "-c", "read x; head -c 900000 /dev/zero; echo end")
    door.ok("attach", "cc", "oes")
    door.connect(0)  # never reads
    door.ok("attach", "cc", "ioes")
    door.connect(1)
    door.client[1].sendall(b"go\n")
    assert len(b"".join(text for _, text in frames(read_all(door.client[1])))) == 900004
    assert wharf.ok("wait", "cc") == "0\n"
    assert len(b"".join(text for _, text in frames(read_all(door.client[0])))) == 900004
    wharf.ok("rm", "cc")


def test_shim_goes_when_nobody_starts(wharf, door):
    create(wharf, "--name", "cc", "busybox", "true")
    door.ok("attach", "cc", "oes")
    assert len(os.listdir(f"{wharf.root}/run/shims")) == 1
    door.close()
    deadline = time.monotonic() + 5
    while os.listdir(f"{wharf.root}/run/shims"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert wharf.ok("start", "-a", "cc") == ""
    wharf.ok("rm", "cc")


def test_failed_start_ends_who_is_attached(wharf, door):
    create(wharf, "--name", "cc", "busybox", "nosuch")
    door.ok("attach", "cc", "oes")
    door.connect(0)
    assert "nosuch" in door.ask("start", "cc")
    assert read_all(door.client[0]) == b""
    wharf.ok("rm", "cc")


# ---- wait --------------------------------------------------------------------------------------------------

def test_wait_conditions(wharf, door):
    create(wharf, "--name", "cc", "busybox", "sh", "-c", "exit 7")
    assert door.ask("wait", "cc", "nonsense") == 'error invalid invalid condition: "nonsense"'
    door.ok("wait", "cc", "not-running")
    assert door.ok("await") == "0"
    door.ok("wait", "cc", "next-exit")
    wharf.ok("start", "cc")
    assert door.ok("await") == "7"
    door.ok("wait", "cc", "removed")
    wharf.ok("rm", "cc")
    assert door.ok("await") == "7"
    assert door.ask("wait", "cc", "removed").startswith("error not found")


def test_wait_removed_of_rm(wharf, door):
    create(wharf, "--rm", "--name", "cc", "busybox", "sh", "-c", "exit 9")
    door.ok("wait", "cc", "removed")
    wharf.ok("start", "cc")
    assert door.ok("await") == "9"
    assert wharf.run("inspect", "cc")[0] == 1


# ---- exec --------------------------------------------------------------------------------------------------

def test_exec_object(wharf, door):
    wharf.ok("run", "-d", "--name", "cc", "busybox", "sleep", "100")
    exec_id = door.ok("exec", "cc", "ioe", "sh", "-c", "cat; echo err >&2; exit 4")
    container = wharf.ok("ps", "-q", "--no-trunc").strip()
    assert json.loads(door.ok("execs", container)) == [[exec_id]]
    before = json.loads(door.ok("inspect", exec_id))
    assert (before["Running"], before["ExitCode"], before["ContainerID"]) == (False, None, container)
    assert before["ProcessConfig"] == {"tty": False, "entrypoint": "sh", "privileged": False, "user": "",
                                       "arguments": ["-c", "cat; echo err >&2; exit 4"]}
    door.ok("begin", exec_id)
    assert "already running" in door.ask("begin", exec_id)
    door.connect(0, "first ")
    during = json.loads(door.ok("inspect", exec_id))
    assert during["Running"] and during["Pid"] > 0
    door.client[0].sendall(b"second\n")
    door.client[0].shutdown(socket.SHUT_WR)
    assert frames(read_all(door.client[0])) == [(1, b"first second\n"), (2, b"err\n")]
    after = json.loads(door.ok("inspect", exec_id))
    assert (after["Running"], after["ExitCode"], after["CanRemove"]) == (False, 4, True)
    assert json.loads(door.ok("execs", container)) == [None]
    assert "already run" in door.ask("run", exec_id)
    wharf.ok("rm", "-f", "cc")
    assert "No such exec instance" in door.ask("inspect", exec_id)


@pytest.mark.parametrize("command, code", [("/nosuch", 127), ("/etc/passwd", 126)])
def test_exec_that_cannot_run(wharf, door, command, code):
    wharf.ok("run", "-d", "--name", "cc", "busybox", "sleep", "100")
    exec_id = door.ok("exec", "cc", "oe", command)
    door.ok("begin", exec_id)
    door.connect(0)
    [(stream, text)] = frames(read_all(door.client[0]))
    assert stream == 1 and text.endswith(b"\r\n") and command.encode() in text
    assert json.loads(door.ok("inspect", exec_id))["ExitCode"] == code
    other = door.ok("exec", "cc", "oe", command)
    assert command in door.ask("run", other)
    assert json.loads(door.ok("inspect", other))["ExitCode"] == code
    wharf.ok("rm", "-f", "cc")


def test_exec_dies_with_its_container(wharf, door):
    wharf.ok("run", "-d", "--name", "cc", "busybox", "sleep", "100")
    exec_id = door.ok("exec", "cc", "toei", "sleep", "100")
    door.ok("begin", exec_id)
    door.connect(0)
    door.ok("resize", exec_id, "20", "30")
    wharf.ok("kill", "cc")
    wharf.run("wait", "cc")
    read_all(door.client[0])
    state = json.loads(door.ok("inspect", exec_id))
    assert (state["Running"], state["ExitCode"]) == (False, 137)
    wharf.ok("rm", "-f", "cc")
