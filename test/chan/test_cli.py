# SPDX-License-Identifier: Apache-2.0
"""`chan`, netcat for channels, as a shell script uses it; and the library as it is installed."""
import contextlib
import json
import os
import pathlib
import socket
import stat
import subprocess
import time

import pytest

TOP = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("WHARF_BUILD", TOP / "build")).resolve()
CHAN = str(BUILD / "cmd" / "chan" / "chan")


def chan(*args, input=""):
    """(exit code, stdout, stderr) of one command."""
    done = subprocess.run([CHAN, "--timeout", "5", *args], input=input, capture_output=True, text=True, timeout=20,
                          check=False)
    return done.returncode, done.stdout, done.stderr


@contextlib.contextmanager
def listening(*args, stdin=subprocess.DEVNULL):
    """A command that listens, from when it does; yields it. It must be ended by then, or is."""
    with subprocess.Popen([CHAN, *args], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as server:
        try:
            assert server.stderr.readline().startswith("chan: listening on ")
            yield server
        finally:
            server.kill()


def test_messages_arrive_as_they_were(world):
    lines = ['{"a":[1,-2,3.5,null,true,"\\u00e9"]}', "7", '"text"', "[]"]
    with listening("serve", "unix:s", "--once") as server:
        assert chan("dial", "unix:s", input="\n".join(lines) + "\n") == (0, "", "")
        out, _ = server.communicate(timeout=10)
    assert [json.loads(line) for line in out.splitlines()] == [json.loads(line) for line in lines]


@pytest.mark.parametrize("dialect", ["native", "spdy-2015", "spdy-0.1"])
def test_calls_in_each_dialect(world, dialect):
    """A server that names no dialect recognises its callers'."""
    with listening("serve", "unix:s", "--echo"):
        assert chan("dial", "unix:s", "--call", "--dialect", dialect, input='{"value":[1]}\n{"x":2}\n') == \
            (0, '[1]\n{"x":2}\n', "")


def test_replies_come_from_standard_input(world):
    with listening("serve", "unix:s", "--reply", stdin=subprocess.PIPE) as server:
        server.stdin.write('{"answer":42}\n')
        server.stdin.close()
        code, out, err = chan("dial", "unix:s", "--call", input="1\n2\n")
        assert (code != 0, out) == (True, '{"answer":42}\n')
        assert "the server has no more answers" in err


@pytest.mark.parametrize("address", ["unix:s", "tcp:127.0.0.1:47114", "ws://127.0.0.1:47115/x"])
def test_a_descriptor_passes_or_is_pumped(world, address):
    with open("file", "w") as f:
        f.write("what is in the file\n")
    with open("file") as f, listening("serve", address, "--once", "--take") as server:
        done = subprocess.run([CHAN, "dial", address, "--fd", f"file={f.fileno()}"], input='{"n":1}\n', text=True,
                              pass_fds=[f.fileno()], timeout=10, check=False)
        out, _ = server.communicate(timeout=10)
    assert done.returncode == 0
    first, rest = out.split("\n", 1)
    assert json.loads(first) == {"n": 1, "file": {"$fd": 0}} and rest == "what is in the file\n"
    os.unlink("file")


def test_gateway(world):
    with socket.create_server(("127.0.0.1", 0)) as target, \
            listening("gateway", "unix:s", f"tcp:127.0.0.1:{target.getsockname()[1]}"):
        with subprocess.Popen([CHAN, "connect", "unix:s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as client:
            there, _ = target.accept()
            client.stdin.write(b"to")
            client.stdin.close()
            assert there.recv(9) == b"to" and there.recv(9) == b""
            there.sendall(b"from")
            there.close()
            assert client.stdout.read() == b"from" and client.wait(timeout=5) == 0


def test_peer_and_mode(world):
    with listening("serve", "unix:s", "--mode", "640") as server:
        assert stat.S_IMODE(os.stat("s").st_mode) == 0o640
        assert chan("peer", "unix:s")[1] == f"transport unix\nuid 0\ngid 0\npid {server.pid}\n"


def test_waits_for_a_server_that_starts_later(world):
    code, _, err = chan("dial", "unix:s", input="1\n")
    assert code != 0 and "'s'" in err or "unix:s" in err
    with subprocess.Popen([CHAN, "dial", "unix:s", "--wait", "10"], stdin=subprocess.PIPE, text=True) as client:
        time.sleep(0.2)
        with listening("serve", "unix:s", "--once") as server:
            client.communicate("1\n", timeout=10)
            assert server.communicate(timeout=10)[0] == "1\n"
        assert client.returncode == 0


@pytest.mark.parametrize("args", [[], ["frob"], ["serve"], ["dial", "x:y"], ["dial", "unix:s", "--mode", "9"],
                                  ["dial", "unix:s", "--dialect", "latin"], ["dial", "fd:77"]])
def test_wrong_usage_is_told(world, args):
    code, out, err = chan(*args)
    assert code != 0 and out == "" and err.startswith("chan: ")


def test_a_line_that_is_no_json(world):
    with listening("serve", "unix:s"):
        code, _, err = chan("dial", "unix:s", input="{oops\n")
        assert code != 0 and "the line" in err


def test_installed_library_stands_alone(world):
    """pkg-config, the installed header and library are all that a program needs, and libc all they load."""
    subprocess.run(["meson", "install", "-C", str(BUILD), "--no-rebuild", "--quiet", "--destdir", os.path.abspath("i")],
                   check=True)
    prefix = subprocess.run("dirname $(dirname $(find i -name chan.h))", shell=True, check=True, text=True,
                            capture_output=True).stdout.strip()
    where = subprocess.run("dirname $(find i -name libchan.pc)", shell=True, check=True, text=True,
                           capture_output=True).stdout.strip()
    config = {**os.environ, "PKG_CONFIG_PATH": where, "PKG_CONFIG_SYSROOT_DIR": os.path.abspath("i")}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "libchan"], env=config, check=True, text=True,
                           capture_output=True).stdout.split()
    for name in ("chan-echo", "chan-call"):
        subprocess.run(["cc", "-std=c99", "-Wall", "-Werror", "-o", name, str(TOP / "examples" / f"{name}.c"), *flags],
                       check=True)
    library = {**os.environ, "LD_LIBRARY_PATH": os.path.dirname(where)}
    loaded = subprocess.run(["ldd", "chan-echo"], env=library, check=True, text=True, capture_output=True).stdout
    assert {line.split()[0].split("/")[-1].split(".")[0] for line in loaded.splitlines()} == \
        {"linux-vdso", "libchan", "libc", "ld-linux-x86-64"}
    with subprocess.Popen(["./chan-echo", "unix:s"], env=library, stderr=subprocess.PIPE) as server:
        deadline = time.monotonic() + 5
        while not os.path.exists("s") and time.monotonic() < deadline:
            time.sleep(0.01)
        done = subprocess.run(["./chan-call", "unix:s", "hello"], env=library, capture_output=True, text=True,
                              timeout=10, check=False)
        server.kill()
    assert (done.returncode, done.stdout) == (0, "hello\n"), done.stderr
    subprocess.run(["rm", "-rf", "i", "chan-echo", "chan-call", "s"], check=True)
    assert prefix
