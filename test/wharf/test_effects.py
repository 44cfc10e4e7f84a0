# SPDX-License-Identifier: Apache-2.0
"""Every flag has its effect or is refused: attach, devices, OOM, the terminal in the background, a silent shim."""
import glob
import os
import pty
import signal
import subprocess

import pytest

from lib.terminal import end_of, read_until

BOTH = ["busybox", "sh", "-c", "echo out; echo err >&2; exit 3"]


@pytest.mark.parametrize("flags, expected", [
    (["-a", "stdout"], (3, "out\n", "")),
    (["-a", "STDERR"], (3, "", "err\n")),
    (["-a", "stdout", "-a", "stderr"], (3, "out\n", "err\n")),
])
def test_attach_chooses_streams(wharf, flags, expected):
    assert wharf.run("run", "--rm", *flags, *BOTH) == expected


def test_attach_of_input_alone_tells_the_id(wharf):
    code, out, err = wharf.run("run", "-i", "-a", "stdin", "--name", "cc", "busybox", "cat", input=b"typed\n")
    assert (code, err) == (0, "") and out.strip() == wharf.field("cc", "Id")
    assert wharf.ok("logs", "cc") == "typed\n"


@pytest.mark.parametrize("flags, text", [
    (["-a", "stdin"], "-a stdin needs -i"),
    (["-a", "stdlog"], "valid streams are STDIN, STDOUT and STDERR"),
    (["-a", "stdout", "-d"], "Conflicting options: -a and -d"),
    (["--device", "null"], "its path must be absolute"),
    (["--device", "/dev/null:/dev/x:q"], "are not made of r, w and m"),
    (["--device", "/dev/nosuch"], "No such file or directory"),
    (["--device", "/etc/passwd"], "is not a device"),
])
def test_refused(wharf, flags, text):
    code, _, err = wharf.run("run", *flags, "busybox", "true")
    assert code == 125 and text in err
    ids = wharf.ok("ps", "-aq").split()
    if ids:
        wharf.ok("rm", *ids)


def test_device_with_its_permissions(wharf):
    zero = "/dev/zero:/dev/other:r"
    assert wharf.ok("run", "--rm", "--device", zero, "busybox", "head", "-c", "3", "/dev/other") == "\0\0\0"
    code, _, err = wharf.run("run", "--rm", "--device", "/dev/kmsg:r", "busybox", "sh", "-c", ": >/dev/kmsg")
    assert code != 0 and "ermitted" in err
    out = wharf.ok("run", "--rm", "--device", "/dev/kmsg", "busybox", "stat", "-c", "%t %T %F", "/dev/kmsg")
    assert out == "1 b character special file\n"


def host_devices():
    """(path, kind, numbers) of what a privileged container must have, below /dev."""
    for path in glob.glob("/dev/**", recursive=True):
        skip = path.split("/")[2] in ("pts", "shm", "mqueue", "fd", "console", "ptmx")
        if not skip and not os.path.islink(path) and not os.path.isdir(path) and not os.path.isfile(path):
            yield path


def test_privileged_has_the_devices_of_the_host(wharf):
    out = wharf.ok("run", "--rm", "--privileged", "busybox", "sh", "-c", "find /dev -type c -o -type b")
    assert set(host_devices()) <= set(out.split())


def test_oom_is_recorded(wharf):
    eat = ["busybox", "sh", "-c", "tail -c 100m /dev/zero"]
    assert wharf.run("run", "--name", "cc", "--memory", "16m", *eat)[0] == 137
    assert wharf.field("cc", "State.OOMKilled") == "true"
    wharf.run("run", "--name", "other", "busybox", "sh", "-c", "kill -9 $$; exit 1")
    assert wharf.field("other", "State.OOMKilled") == "false"


def test_background_job_stops_before_it_takes_the_terminal(wharf):
    """As the read of a background job does (termios(3)): SIGTTIN."""
    pid, master = pty.fork()
    if pid == 0:  # a shell's part: a job in a process group that is not in front
        job = os.fork()
        if job == 0:
            os.setpgid(0, 0)
            os.execv(wharf.prefix[0], [*wharf.prefix, "run", "--rm", "-i", "busybox", "cat"])
        _, status = os.waitpid(job, os.WUNTRACED)
        stopped = os.WIFSTOPPED(status) and os.WSTOPSIG(status) == signal.SIGTTIN
        os.tcsetpgrp(0, job) if stopped else None
        os.kill(job, signal.SIGCONT)
        os.write(1, b"stopped\n" if stopped else b"went on\n")
        os.waitpid(job, 0)
        os._exit(0)
    read_until(master, b"stopped\r\n")
    os.write(master, b"line\n\x04")
    read_until(master, b"line\r\nline\r\n")
    assert end_of(pid, master) == 0


def shim_of(wharf, name):
    with open(f"/proc/{wharf.field(name, 'State.Pid')}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("PPid"))


@pytest.mark.slow
@pytest.mark.limit(120)
def test_silent_shim_has_a_deadline(wharf):
    wharf.ok("run", "-d", "--name", "cc", "busybox", "sleep", "100")
    os.kill(shim_of(wharf, "cc"), signal.SIGSTOP)
    # a file, since a pipe's end waits in the shim's socket, and is then not closed by our exit
    with open("err", "w+b") as err:
        run = wharf.start("exec", "cc", "true", stdout=err, stderr=err)
        assert run.wait(timeout=30) == 1
        err.seek(0)
        assert b"has not answered for 20 seconds" in err.read()
    os.unlink("err")
    wharf.ok("rm", "-f", "cc", timeout=60)


@pytest.mark.slow
@pytest.mark.limit(120)
def test_shim_that_never_starts_has_a_deadline(wharf):
    with open("shim", "w") as f:
        f.write("#!/bin/sh\nexec sleep 1000\n")
    os.chmod("shim", 0o755)
    done = subprocess.run([wharf.prefix[0], "--shim", "shim", *wharf.prefix[1:], "run", "--name", "cc", "busybox", "true"],
                          capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    assert done.returncode == 125 and b"has not answered for 20 seconds" in done.stderr
    assert wharf.field("cc", "State.Status") == "created"
    os.unlink("shim")
