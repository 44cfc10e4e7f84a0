# SPDX-License-Identifier: Apache-2.0
"""wharf run --chan: containers that share nothing but a channel's name talk to one another."""
import os
import stat
import subprocess

import pytest

from wharf.conftest import TOP, program

EXAMPLE = os.path.join(TOP, "examples", "chan-containers.sh")


def chan_program():
    for path in ("build/bin/chan", "build/cmd/chan/chan"):
        path = os.environ.get("CHAN", os.path.join(TOP, path))
        if os.path.exists(path):
            return path
    pytest.fail("chan is not built: run script/build")


def test_two_containers(world):
    """The example: a call and its answer, and a file of one container read by the other."""
    done = subprocess.run([EXAMPLE], capture_output=True, text=True, timeout=25, stdin=subprocess.DEVNULL,
                          env={**os.environ, "WHARF": program(), "CHAN": chan_program()})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == ['"hello from the other container"', '"a file"']
    seen = done.stdout.split("the server saw:\n")[1]
    assert '"hello from the other container"' in seen and '{"$fd":' in seen.replace(" ", "")
    assert "of mine" in seen.splitlines()


def test_address_and_place(wharf):
    """Every process has the address, those of exec too; the directory is everybody's and sticky."""
    show = "echo $CHAN_MY_CHAN_1; stat -c %a /run/chan/my-chan.1; ls /run/chan"
    want = "unix:/run/chan/my-chan.1/socket\n1777\nmy-chan.1\n"
    assert wharf.ok("run", "--rm", "--chan", "my-chan.1", "busybox", "sh", "-c", show) == want
    wharf.ok("run", "-d", "--name", "holder", "--chan", "my-chan.1", "busybox", "sleep", "100")
    assert wharf.ok("exec", "holder", "sh", "-c", show) == want
    above = os.stat(f"{wharf.root}/run/chan")
    assert stat.S_IMODE(above.st_mode) == 0o700  # not everybody's on the host


def test_dial_only_cannot_serve(wharf):
    """:ro dials a socket (test_two_containers) and makes none; another user's cannot be removed."""
    code, _, err = wharf.run("run", "--rm", "--chan", "x:ro", "busybox", "touch", "/run/chan/x/socket")
    assert code == 1 and "Read-only" in err
    wharf.ok("run", "--rm", "--chan", "x", "busybox", "touch", "/run/chan/x/socket")
    code, _, err = wharf.run("run", "--rm", "-u", "web", "--chan", "x", "busybox", "rm", "-f", "/run/chan/x/socket")
    assert code == 1 and "not permitted" in err


def test_own_environment_wins(wharf):
    out = wharf.ok("run", "--rm", "--chan", "x", "-e", "CHAN_X=mine", "busybox", "sh", "-c", "echo $CHAN_X")
    assert out == "mine\n"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", "x:rw", ".", "-x", "x" * 64])
def test_names_are_checked(wharf, name):
    code, _, err = wharf.run("run", "--rm", "--chan", name, "busybox", "true")
    assert code == 125 and "invalid channel" in err
