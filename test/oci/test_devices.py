# SPDX-License-Identifier: Apache-2.0
"""`linux.devices`, the device nodes that every container has, and the list of allowed devices."""
import pytest

from lib.oci_case import refused, seen_cases
from lib.seen import fails, works

DENY_ALL = {"allow": False, "access": "rwm"}
FUSE = {"path": "/dev/fuse2", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666, "uid": 0, "gid": 0}


def device(**fields):
    return {"linux.devices": [{**FUSE, **fields}]}


def rules(*list_):
    return {"linux.devices": [FUSE], "linux.resources": {"devices": [DENY_ALL, *list_]}}


def fuse(access, **fields):
    return {"allow": True, "type": "c", "major": 10, "minor": 229, "access": access, **fields}


test_seen = seen_cases(
    *(("config-linux.md#default-devices", path, {},
       {f"stat:{path}": {"type": "c", "device": number, "mode": "0666", "uid": 0, "gid": 0},
        f"open:{path}": works})
      for path, number in [("/dev/null", [1, 3]), ("/dev/zero", [1, 5]), ("/dev/full", [1, 7]),
                           ("/dev/random", [1, 8]), ("/dev/urandom", [1, 9])]),
    ("config-linux.md#default-devices", "/dev/tty", {}, {"stat:/dev/tty": {"type": "c", "device": [5, 0]}}),
    ("config-linux.md#default-devices", "/dev/ptmx", {},
     {"open:/dev/ptmx": works, "link:/dev/ptmx": lambda a: a.get("text", "pts/ptmx").endswith("pts/ptmx")}),
    ("config-linux.md#default-devices", "no /dev/console without a terminal", {},
     {"stat:/dev/console": fails("ENOENT")}),
    *(("runtime-linux.md#dev-symbolic-links", path, {}, {f"link:{path}": {"text": target}})
      for path, target in [("/dev/fd", "/proc/self/fd"), ("/dev/stdin", "/proc/self/fd/0"),
                           ("/dev/stdout", "/proc/self/fd/1"), ("/dev/stderr", "/proc/self/fd/2")]),

    ("config-linux.md#devices", "a character device", device(),
     {"stat:/dev/fuse2": {"type": "c", "device": [10, 229], "mode": "0666"}}),
    ("config-linux.md#devices", "type u is a character device", device(type="u"),
     {"stat:/dev/fuse2": {"type": "c", "device": [10, 229]}}),
    ("config-linux.md#devices", "a block device", device(type="b", major=7, minor=9, path="/dev/loop9"),
     {"stat:/dev/loop9": {"type": "b", "device": [7, 9]}}),
    ("config-linux.md#devices", "a fifo", {"linux.devices": [{"path": "/dev/pipe", "type": "p", "fileMode": 0o600}]},
     {"stat:/dev/pipe": {"type": "p", "mode": "0600"}}),
    ("config-linux.md#devices", "fileMode, uid and gid", device(fileMode=0o640, uid=11, gid=12),
     {"stat:/dev/fuse2": {"mode": "0640", "uid": 11, "gid": 12}}),
    ("config-linux.md#devices", "fileMode beside the umask", device(fileMode=0o777),
     {"stat:/dev/fuse2": {"mode": "0777"}}),
    ("config-linux.md#devices", "outside of /dev", device(path="/tmp/deep/fuse"),
     {"stat:/tmp/deep/fuse": {"device": [10, 229]}}),
    ("config-linux.md#devices", "one of the default ones again",
     {"linux.devices": [{"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]},
     {"stat:/dev/null": {"device": [1, 3]}}),

    ("config-linux.md#allowed-device-list", "a device that is denied", rules(), {"open:/dev/fuse2": fails("EPERM")}),
    ("config-linux.md#allowed-device-list", "a device that is allowed", rules(fuse("rwm")), {"open:/dev/fuse2": works}),
    ("config-linux.md#allowed-device-list", "only to be written", rules(fuse("w")), {"open:/dev/fuse2": fails("EPERM")}),
    ("config-linux.md#allowed-device-list", "every minor number",
     rules({"allow": True, "type": "c", "major": 10, "access": "rwm"}), {"open:/dev/fuse2": works}),
    ("config-linux.md#allowed-device-list", "of another type",
     rules({"allow": True, "type": "b", "major": 10, "minor": 229, "access": "rwm"}),
     {"open:/dev/fuse2": fails("EPERM")}),
    ("config-linux.md#allowed-device-list", "allowed, then denied",
     rules(fuse("rwm"), fuse("rwm", allow=False)), {"open:/dev/fuse2": fails("EPERM")}),
    ("config-linux.md#allowed-device-list", "all devices",
     {"linux.devices": [FUSE], "linux.resources": {"devices": [{"allow": True, "access": "rwm"}]}},
     {"open:/dev/fuse2": works}),
    ("config-linux.md#allowed-device-list", "the default devices in spite of all denied", rules(),
     {f"open:/dev/{name}": works for name in ("null", "zero", "full", "random", "urandom", "ptmx")}),
)

test_refused = refused(
    ("config-linux.md#devices", "an unknown type", device(type="x")),
    ("config-linux.md#devices", "no path", {"linux.devices": [{"type": "c", "major": 1, "minor": 3}]}),
    ("config-linux.md#devices", "no type", {"linux.devices": [{"path": "/dev/x", "major": 1, "minor": 3}]}),
    ("config-linux.md#devices", "the same path for another device",
     {"linux.devices": [FUSE, {**FUSE, "minor": 230}]}),
    ("config-linux.md#allowed-device-list", "an unknown access", rules(fuse("q"))),
    ("config-linux.md#allowed-device-list", "an unknown type", rules(fuse("rwm", type="q"))),
)


@pytest.mark.parametrize("view", ["hybrid", "v1", "v2"])
@pytest.mark.spec("config-linux.md#allowed-device-list")
def test_denied_and_allowed_in_every_view(oci, view):
    assert oci.see(rules(), "open:/dev/fuse2")["did"]["open:/dev/fuse2"] == {"errno": "EPERM"}
    assert oci.see(rules(fuse("rwm")), "open:/dev/fuse2")["did"]["open:/dev/fuse2"] == {"value": 0}


@pytest.mark.spec("config-linux.md#allowed-device-list")
def test_no_new_nodes_for_what_is_denied(oci):
    """Making a node is access m; every node may be made, unless the list says otherwise, but not opened."""
    done = oci.run({"process.args": ["sh", "-c", "mknod /n b 7 0 && cat /n"],
                    "linux.resources": {"devices": [DENY_ALL]}})
    assert done.code != 0
