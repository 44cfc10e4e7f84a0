# SPDX-License-Identifier: Apache-2.0
"""top, stats, diff, export, cp, update, restart, prune, df."""
import io
import json
import os
import tarfile

import pytest


@pytest.fixture
def box(wharf):
    wharf.ok("run", "-d", "--name", "box", "-v", "vol:/vol", "busybox", "sh", "-c",
             "echo new > /tmp/new; echo x >> /etc/group; rm /etc/passwd; mkdir -p /a/b; ln -s b /a/l; echo v > /vol/f; "
             "exec sleep 600")
    for _ in range(100):
        if wharf.run("exec", "box", "test", "-e", "/vol/f")[0] == 0:
            break
    return "box"


def test_top(wharf, box):
    lines = wharf.ok("top", box).splitlines()
    assert "PID" in lines[0] and len(lines) == 2 and "sleep 600" in lines[1]
    assert wharf.ok("top", box, "-o", "pid,args").splitlines()[1].split()[1:] == ["sleep", "600"]
    wharf.ok("kill", box)
    wharf.run("wait", box)
    code, _, err = wharf.run("top", box)
    assert code == 1 and "is not running" in err


def test_stats(wharf, box):
    out = wharf.ok("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}} {{.CPUPerc}}")
    name, pids, rest = out.split(" ", 2)
    assert (name, pids) == ("box", "1") and "B / " in rest and rest.rstrip().endswith("%")


def test_diff(wharf, box):
    assert wharf.ok("diff", box).splitlines() == [
        "A /a", "A /a/b", "A /a/l", "C /etc", "C /etc/group", "D /etc/passwd", "C /tmp", "A /tmp/new", "A /vol"][:-1]


@pytest.mark.parametrize("running", [True, False])
def test_export(wharf, box, running):
    if not running:
        wharf.ok("kill", box)
        wharf.run("wait", box)
    wharf.ok("export", "-o", "x.tar", box)
    with tarfile.open("x.tar") as tar:
        names = set(tar.getnames())
        assert {"tmp/new", "a/l", "bin/busybox", "etc/group"} <= names
        assert not {"etc/passwd", "vol/f"} & names and not any(n.startswith("proc/") for n in names)
        assert tar.extractfile("tmp/new").read() == b"new\n"
        assert tar.getmember("a/l").linkname == "b"
    os.unlink("x.tar")


@pytest.mark.parametrize("running", [True, False])
def test_copy(wharf, box, running):
    if not running:
        wharf.ok("kill", box)
        wharf.run("wait", box)
    os.makedirs("here/sub")
    with open("here/sub/f", "w") as f:
        f.write("mine")
    wharf.ok("cp", f"{box}:/tmp/new", "here/renamed")
    assert open("here/renamed").read() == "new\n"
    wharf.ok("cp", f"{box}:/a", "here")
    assert os.readlink("here/a/l") == "b"
    wharf.ok("cp", "here/sub", f"{box}:/tmp")
    wharf.ok("cp", "here/sub/f", f"{box}:/vol/renamed")
    wharf.ok("cp", "here/sub/.", f"{box}:/a/b")
    for path in ("/tmp/sub/f", "/vol/renamed", "/a/b/f"):
        packed = tarfile.open(fileobj=io.BytesIO(raw(wharf, "cp", f"{box}:{path}", "-")))
        assert packed.extractfile(packed.getmembers()[0]).read() == b"mine"
    code, _, err = wharf.run("cp", f"{box}:/nosuch", "here")
    assert code == 1 and f"Could not find the file /nosuch in container {box}" in err
    code, _, err = wharf.run("cp", "here/sub/f", f"{box}:/tmp/sub")
    assert code == 0
    code, _, err = wharf.run("cp", "here/sub", f"{box}:/etc/group")
    assert code == 1
    os.system("rm -rf here")


def raw(wharf, *args):
    process = wharf.start(*args)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    return out


def test_links_do_not_lead_out(wharf):
    wharf.ok("create", "--name", "trap", "busybox", "true")
    wharf.ok("run", "--name", "maker", "busybox", "ln", "-s", "/../../../../etc", "/out")
    wharf.ok("cp", "/etc/hostname", "maker:/out/planted")
    assert not os.path.exists("/etc/planted")
    assert raw(wharf, "cp", "maker:/etc/planted", "-")


def test_update(wharf, box):
    wharf.ok("update", "-m", "32m", "--memory-swap", "64m", "--cpu-shares", "512", "--pids-limit", "50", box)
    shown = json.loads(wharf.ok("inspect", box))[0]["HostConfig"]
    assert (shown["Memory"], shown["CpuShares"], shown["PidsLimit"]) == (32 << 20, 512, 50)
    limits = wharf.ok("exec", box, "sh", "-c", "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null "
                      "|| true").split()
    assert limits in ([], ["50"])
    code, _, err = wharf.run("update", "-m", "1k", box)
    assert code == 1 and "Minimum memory limit allowed is 6MB" in err


def test_restart(wharf, box):
    before = wharf.field(box, "State.Pid")
    assert wharf.ok("restart", "-t", "0", box).strip() == box
    assert wharf.field(box, "State.Running") == "true" and wharf.field(box, "State.Pid") != before


def test_prune_and_df(wharf, box):
    wharf.ok("create", "--name", "idle", "-l", "keep", "busybox", "true")
    wharf.run("run", "--name", "ended", "busybox", "sh", "-c", "head -c 2000 /dev/zero > /f")
    rows = {line[:16].strip(): line[16:].split() for line in wharf.ok("system", "df").splitlines()}
    assert rows["Images"][:2] == ["1", "1"] and rows["Containers"][:2] == ["3", "1"]
    assert rows["Local Volumes"][:3] == ["1", "1", "2B"]
    out = wharf.ok("container", "prune", "-f", "--filter", "label!=keep")
    assert "Deleted Containers:" in out and "Total reclaimed space: 2kB" in out
    assert sorted(wharf.ok("ps", "-a", "--format", "{{.Names}}").split()) == ["box", "idle"]
    wharf.ok("container", "prune", "-f", "--filter", "until=1h")
    assert sorted(wharf.ok("ps", "-a", "--format", "{{.Names}}").split()) == ["box", "idle"]


@pytest.mark.parametrize("running", [True, False])
def test_commit(wharf, box, running):
    if not running:
        wharf.ok("kill", box)
        wharf.run("wait", box)
    image = wharf.ok("commit", "-m", "why", "-a", "who", "-c", "ENV K=v", "-c", 'CMD ["cat", "/tmp/new"]', box,
                     "made:1").strip()
    assert image.startswith("sha256:")
    assert wharf.ok("run", "--rm", "made:1") == "new\n"
    assert wharf.ok("run", "--rm", "made:1", "sh", "-c", "echo $K; ls /etc/passwd /vol/f /a 2>/dev/null; readlink /a/l") == (
        "v\n/a:\nb\nl\nb\n")
    assert wharf.ok("diff", box) != ""


def test_commit_of_a_replaced_directory(wharf):
    """A directory that was removed and made again hides what the image has in it."""
    wharf.ok("run", "--name", "maker", "busybox", "sh", "-c", "rm -r /root; mkdir /root; rm -r /etc; mkdir /etc; touch /etc/x")
    wharf.ok("commit", "maker", "made:2")
    assert "passwd" not in wharf.ok("run", "--rm", "made:2", "ls", "/etc")
