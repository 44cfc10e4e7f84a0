# SPDX-License-Identifier: Apache-2.0
"""Terminals: a container types nothing into its caller's, and is given the one that we made."""
import fcntl
import os
import pty
import socket
import struct
import subprocess
import termios
import threading

import pytest

from lib.bundle import DEFAULT
from conftest import HOST, wait_for

PTY_MAJORS = range(136, 144)
ADMIN = {"process.capabilities": {name: ["CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE"]
                                  for name in ("bounding", "effective", "permitted")}}


def waiting(fd):
    """How many bytes somebody put into a terminal's input."""
    return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4))[0]


@pytest.mark.parametrize("how", ["run", "exec"])
@pytest.mark.parametrize("patch", [{}, ADMIN], ids=["default", "CAP_SYS_ADMIN"])
def test_cve_2016_10124_2017_5226_typing_into_the_callers_terminal(oci, racer, how, patch):
    """The caller's terminal is the program's stdio, in a session of its own: it is not the controlling one."""
    if patch and how == "run":
        pytest.skip("CAP_SYS_ADMIN of the host's user namespace may type anywhere")
    bundle = oci.bundle()
    program = [racer.into(bundle), "tty", "/tmp/log"]
    master, slave = pty.openpty()
    try:
        if how == "run":
            bundle.configure({**patch, "process.args": program})
            command = oci.runtime.command("run", "--bundle", bundle.path, oci.name())
            subprocess.run(command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, timeout=20,
                           preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0))
        else:
            bundle.configure({"process.args": ["sleep", "1000"]})
            with oci.running(bundle=bundle) as name:
                subprocess.run(oci.runtime.command("exec", name, *program), stdin=slave, stdout=slave, stderr=slave,
                               start_new_session=True, timeout=20,
                               preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0))
        with open(f"{bundle.root}/tmp/log") as f:
            log = f.read()
        assert log.endswith("end\n") and "works" not in log, log
        assert waiting(slave) == 0
    finally:
        os.close(master)
        os.close(slave)


class Console:
    """The end of a console socket: what terminal comes."""

    def __init__(self, path="/tmp/w/console"):
        self.path, self.fds = path, []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        self.socket.listen()
        self.socket.settimeout(5)
        self.thread = threading.Thread(target=self.receive)
        self.thread.start()

    def receive(self):
        try:
            connection, _ = self.socket.accept()
            with connection:
                connection.settimeout(5)
                self.fds = socket.recv_fds(connection, 4096, 4)[1]
        except OSError:
            pass

    def end(self):
        try:  # nobody came: let it go
            with socket.socket(socket.AF_UNIX) as s:
                s.connect(self.path)
        except OSError:
            pass
        self.thread.join()
        self.socket.close()
        os.unlink(self.path)
        for fd in self.fds:
            os.close(fd)


@pytest.fixture
def console():
    c = Console()
    yield c
    c.end()


def test_cve_2025_52565_console_is_our_terminal(oci, console):
    with oci.created({"process.terminal": True, "process.args": ["sleep", "1000"]}, "--console-socket", console.path,
                     start=True) as name:
        console.thread.join()
        top = f"/proc/{oci.runtime.state(name)['pid']}/root"
        device, first = os.stat(f"{top}/dev/console"), os.stat(f"{top}/dev/pts/0")
        assert os.major(device.st_rdev) in PTY_MAJORS and device.st_rdev == first.st_rdev
        assert len(console.fds) == 1 and os.isatty(console.fds[0])
        # TIOCGPTN: the number of the terminal whose other end we hold
        number = struct.unpack("I", fcntl.ioctl(console.fds[0], 0x80045430, b"\0" * 4))[0]
        assert os.minor(device.st_rdev) == number


@pytest.mark.slow
@pytest.mark.limit(120)
def test_cve_2025_52565_pts_is_exchanged(oci, racer):
    """The image's own /dev, whose pts is swapped for a link to the host's folder with a "0" in it."""
    bundle = oci.bundle()
    os.makedirs("/tmp/w/fake")
    for name in ("0", "ptmx", "1"):
        os.symlink(HOST + "/secret", f"/tmp/w/fake/{name}")
    os.mkdir(f"{bundle.root}/dev/pts")
    os.symlink("/tmp/w/fake", f"{bundle.root}/dev/other")
    mounts = [m for m in DEFAULT["mounts"] if m["destination"] in ("/proc", "/sys", "/dev/pts")]
    bundle.configure({"mounts": mounts, "process.terminal": True, "process.args": ["sleep", "1000"]})
    with racer.exchanging(f"{bundle.root}/dev/pts", f"{bundle.root}/dev/other"):
        for _ in range(60):
            console, name = Console(), oci.name()
            try:
                if oci.runtime.create(bundle, name, "--console-socket", console.path):
                    console.thread.join()
                    device = os.stat(f"/proc/{oci.runtime.state(name)['pid']}/root/dev/console")
                    assert os.major(device.st_rdev) in PTY_MAJORS
            finally:
                oci.runtime.call("delete", "--force", name)
                console.end()


def test_cve_2025_52565_exec_where_the_container_covers_its_pts(oci, console):
    """exec's terminal comes from a true devpts, or not at all."""
    bundle = oci.bundle()
    script = "mount -t tmpfs none /dev/pts && ln -s /tmp/mine /dev/pts/ptmx && ln -s /tmp/mine /dev/pts/0 && " \
             "ln -s /tmp/mine /dev/pts/1 && echo >/tmp/mine && echo >/tmp/ready && exec sleep 1000"
    bundle.configure({**ADMIN, "process.args": ["sh", "-c", script]})
    with oci.running(bundle=bundle) as name:
        wait_for(lambda: os.path.exists(f"{bundle.root}/tmp/ready"))
        done = oci.runtime.call("exec", "--tty", "--detach", "--console-socket", console.path, name, "sleep", "1000")
        if done:
            console.thread.join()
            assert console.fds and os.isatty(console.fds[0])
        with open(f"{bundle.root}/tmp/mine") as f:
            assert f.read() == "\n"
