# SPDX-License-Identifier: Apache-2.0
"""CVE-2024-21626: no descriptor of the host is in a container at any time, and no working directory is."""
import json
import os
import subprocess

import pytest

from lib.bundle import bind
from conftest import HOST

NUMBERS = range(3, 21)


@pytest.fixture
def leaky():
    """Descriptors 100.. of a careless caller: directories, files and sockets that exec would hand on."""
    kinds = [os.open(HOST, os.O_RDONLY), os.open(HOST, os.O_PATH), os.open(HOST + "/secret", os.O_RDWR),
             os.open("/", os.O_RDONLY | os.O_DIRECTORY), os.open("/proc", os.O_RDONLY)]
    fds = [os.dup2(kind, 100 + i, inheritable=True) for i, kind in enumerate(kinds)]
    yield {"pass_fds": fds}
    for fd in (*kinds, *fds):
        os.close(fd)


def descriptors(pid):
    return {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}


def test_cve_2024_21626_created(oci, leaky):
    with oci.created({"process.args": ["sleep", "1000"]}, **leaky) as name:
        pid = oci.runtime.state(name)["pid"]
        others = {fd: target for fd, target in descriptors(pid).items() if fd > 2}
        assert not [t for t in others.values() if t.startswith(HOST) or t in ("/", "/proc")], others
        assert not [fd for fd in others if os.path.isdir(f"/proc/{pid}/fd/{fd}")], others
        # what is left: the way to be told to start and with what program, nothing of the file system
        assert all(t.startswith(("socket:", "pipe:", "anon_inode:", "/memfd:")) or "exec.fifo" in t for t in others.values()), others


def test_cve_2024_21626_running(oci, leaky):
    with oci.running({}, **leaky) as name:
        assert sorted(descriptors(oci.runtime.state(name)["pid"])) == [0, 1, 2]


def test_cve_2024_21626_exec(oci, leaky):
    with oci.running() as name:
        done = oci.runtime.call("exec", name, "/probe", **leaky)
        assert sorted(json.loads(done.out)["fds"]) == ["0", "1", "2"]


def test_cve_2024_21626_run(oci, leaky):
    assert sorted(oci.see(**leaky)["fds"]) == ["0", "1", "2"]


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_cve_2024_21626_only_preserved_ones(oci, leaky, keep):
    """Descriptors that are kept are those from 3 on, by their number, and not one more."""
    bundle, name = oci.bundle({"process.args": ["sh", "-c", "echo /proc/self/fd/*"]}), oci.name()
    command = " ".join(oci.runtime.command("run", "--preserve-fds", str(keep), "--bundle", bundle.path, name))
    done = subprocess.run(["bash", "-c", f"exec 3</dev/null 4</dev/null 5</dev/null 6</dev/null; exec {command}"],
                          capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20, **leaky)
    # one more: the directory that the shell reads for the pattern
    assert len(done.stdout.split()) == 3 + keep + 1, done.stdout + done.stderr


@pytest.mark.parametrize("how", ["run", "exec"])
@pytest.mark.parametrize("number", NUMBERS)
def test_cve_2024_21626_cwd(oci, how, number):
    """A working directory by descriptor, while the caller holds the host's folder open in all of them."""
    folder = os.open(HOST, os.O_RDONLY)
    held = []
    for n in NUMBERS:
        try:
            os.fstat(n)
        except OSError:
            held.append(os.dup2(folder, n, inheritable=True) if n != folder else n)
    os.set_inheritable(folder, True)
    cwd, list_it = f"/proc/self/fd/{number}", ["/bin/ls", ".", "..", "../.."]
    options = {"pass_fds": [*held, folder]}
    try:
        if how == "run":
            done = oci.run({"process.cwd": cwd, "process.args": list_it}, **options)
        else:
            with oci.running() as name:
                done = oci.runtime.call("exec", "--cwd", cwd, name, *list_it, **options)
    finally:
        for fd in {*held, folder}:
            os.close(fd)
    assert done.code != 0 or not {"secret", "host"} & set(done.out.split()), done.out


def test_cve_2024_21626_cwd_is_a_link_to_a_descriptor(oci):
    bundle = oci.bundle()
    for n in NUMBERS:
        os.symlink(f"/proc/self/fd/{n}", f"{bundle.root}/link{n}")
    for n in NUMBERS:
        bundle.configure({"process.cwd": f"/link{n}", "process.args": ["/bin/ls", ".", ".."]})
        done = oci.runtime.run(bundle, oci.name())
        assert done.code != 0 or not {"secret", "host", "config.json"} & set(done.out.split())


def test_cve_2024_21626_hooks_and_the_volume_of_a_neighbour(oci, leaky):
    """createContainer hooks run in the container's namespaces: their descriptors count, too."""
    hook = {"path": "/bin/sh", "args": ["sh", "-c", "ls -l /proc/self/fd >>/tmp/w/fds; pwd >>/tmp/w/fds"]}
    patch = {"hooks": {name: [hook] for name in ("createRuntime", "createContainer", "poststart", "poststop")},
             "process.args": ["true"], "mounts+": [bind("/etc/default", "/volume")]}
    assert oci.run(patch, **leaky)
    with open("/tmp/w/fds") as f:
        text = f.read()
    assert HOST not in text and " -> /\n" not in text and text.count("total") == 4
