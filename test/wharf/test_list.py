# SPDX-License-Identifier: Apache-2.0
"""ps: filters, limits, sizes; inspect as docker gives it."""
import json


def names(wharf, *args):
    return wharf.ok("ps", "--format", "{{.Names}}", *args).split()


def test_filters(wharf):
    wharf.ok("create", "--name", "old", "-l", "k=v", "-v", "vol:/d", "busybox", "true")
    wharf.run("run", "--name", "done", "-l", "k=w", "busybox", "sh", "-c", "exit 3")
    wharf.ok("run", "-d", "--name", "runs", "-l", "k=v", "-l", "x=y", "busybox", "sleep", "60")
    image = wharf.field("old", "Image")
    rows = [
        ([], ["runs"]),
        (["-a"], ["runs", "done", "old"]),
        (["-n", "2"], ["runs", "done"]),
        (["-l"], ["runs"]),
        (["-af", "label=k=v"], ["runs", "old"]),
        (["-af", "label=k=v", "-f", "label=x"], ["runs"]),
        (["-af", "name=^o"], ["old"]),
        (["-af", "name=/done", "-f", "name=old"], ["done", "old"]),
        (["-f", "status=exited"], ["done"]),
        (["-f", "exited=3"], ["done"]),
        (["-af", "exited=0"], []),
        (["-af", "volume=vol"], ["old"]),
        (["-af", "volume=/d"], ["old"]),
        (["-f", "before=runs"], ["done", "old"]),
        (["-f", "since=old"], ["runs", "done"]),
        (["-af", "ancestor=busybox"], ["runs", "done", "old"]),
        (["-af", f"ancestor={image}"], ["runs", "done", "old"]),
        (["-af", "ancestor=nosuch"], []),
        (["-af", "id=" + wharf.field("done", "Id")[:12]], ["done"]),
        (["-af", "network=bridge"], ["runs", "done", "old"]),
        (["-af", "health=none", "-f", "is-task=false"], ["runs", "done", "old"]),
    ]
    for args, expected in rows:
        assert names(wharf, *args) == expected, args
    for bad, text in [("frob=1", "invalid filter 'frob'"), ("status=x", "Unrecognised filter value for status: x"),
                      ("exited=x", "invalid filter 'exited=x'"), ("before=nosuch", "No such container: nosuch")]:
        code, _, err = wharf.run("ps", "-f", bad)
        assert code == 1 and text in err
    assert "Exited (3)" in wharf.ok("ps", "-f", "name=done", "-a")
    wharf.ok("pause", "runs")
    assert "(Paused)" in wharf.ok("ps")
    wharf.ok("unpause", "runs")


def test_sizes(wharf):
    wharf.ok("run", "--name", "big", "busybox", "sh", "-c", "head -c 5000 /dev/zero > /f")
    shown = json.loads(wharf.ok("inspect", "-s", "big"))[0]
    assert shown["SizeRw"] == 5000 and shown["SizeRootFs"] > 500000
    assert "5kB (virtual" in wharf.ok("ps", "-as")


def test_inspect(wharf):
    wharf.ok("create", "--name", "full", "-m", "16m", "--cap-add", "NET_ADMIN", "-e", "A=1", "busybox", "echo", "hi")
    shown = json.loads(wharf.ok("inspect", "full"))[0]
    assert shown["Path"] == "echo" and shown["Args"] == ["hi"] and shown["Name"] == "/full"
    assert shown["State"]["Status"] == "created" and shown["State"]["StartedAt"] == "0001-01-01T00:00:00Z"
    assert shown["Config"]["Env"] == ["A=1"] and shown["Config"]["Volumes"] is None
    assert shown["Config"]["Hostname"] == shown["Id"][:12]
    host = shown["HostConfig"]
    assert host["Memory"] == 16 << 20 and host["CapAdd"] == ["NET_ADMIN"] and host["CapDrop"] is None
    assert host["ShmSize"] == 64 << 20 and host["IpcMode"] == "private" and host["RestartPolicy"]["Name"] == "no"
    assert host["RestartPolicy"]["MaximumRetryCount"] == 0 and host["LogConfig"] == {"Type": "json-file", "Config": {}}
    assert host["CpuCount"] == 0 and host["PidsLimit"] is None and host["PortBindings"] == {}
    assert "/proc/kcore" in host["MaskedPaths"] and host["ConsoleSize"] == [0, 0]
    assert shown["GraphDriver"]["Name"] == "overlay2" and "LowerDir" in shown["GraphDriver"]["Data"]
    assert shown["Mounts"] == [] and "Networks" in shown["NetworkSettings"] and shown["ExecIDs"] is None
