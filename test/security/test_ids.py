# SPDX-License-Identifier: Apache-2.0
"""Names and texts from outside: what they may be, how long, and that everything else is an error in words."""
import json
import os
import subprocess

import pytest

from lib.bundle import DEFAULT, patched

BAD = ["", ".", "..", ".a", "@x", "a/b", "../a", "/a", "a b", "a\nb", "a:b", "a\tb", "\u00e4", "a" * 256, "a%s", "a\x7f", "~", "a,b",
       "a\\b", "*"]
GOOD = ["a", "A-Z", "_a", "-a", "+a", "0", "a.b", "a..b", "a+b-c_d.e"]
KIB64 = "x" * 65536


@pytest.mark.parametrize("command", ["create", "state", "start", "kill", "delete", "exec", "ps", "pause"])
@pytest.mark.parametrize("name", BAD, ids=lambda v: repr(v[:8]))
def test_bad_id(oci, command, name):
    flags = {"create": ["--bundle", oci.bundle({"process.args": ["true"]}).path]}.get(command, [])
    after = {"kill": ["KILL"], "exec": ["true"]}.get(command, [])
    before = sorted(os.listdir("/run"))
    done = oci.runtime.call(command, *flags, "--", name, *after)
    assert done.code != 0 and done.err.strip()
    assert [d for d in os.listdir("/run") if d not in before and d != "oci"] == []
    assert not os.path.isdir("/run/oci") or [d for d in os.listdir("/run/oci") if not d.startswith(".")] == []


@pytest.mark.parametrize("name", GOOD)
def test_good_id(oci, name):
    bundle = oci.bundle({"process.args": ["true"], "linux.cgroupsPath": "/" + oci.world.name()})
    done = oci.runtime.call("run", "--bundle", bundle.path, "--", name)
    assert done.code == 0, done.err


def test_longest_id(oci):
    bundle = oci.bundle({"process.args": ["true"], "linux.cgroupsPath": "/" + oci.world.name()})
    done = oci.runtime.call("run", "--bundle", bundle.path, "a" * 255)
    assert done.code == 0, done.err


MAPS = [{"containerID": i, "hostID": 100000 + i, "size": 1} for i in range(100000)]
USER = {"linux.namespaces+": [{"type": "user"}]}
MALFORMED = {
    "100,000 id mappings": {**USER, "linux.uidMappings": MAPS, "linux.gidMappings": MAPS},
    "mappings that are no numbers": {**USER, "linux.uidMappings": [{"containerID": "0", "hostID": 1, "size": 1}]},
    "a negative id": {"process.user": {"uid": -1, "gid": 0}},
    "an id past 32 bits": {"process.user": {"uid": 4294967296, "gid": 0}},
    "a fraction": {"process.user": {"uid": 0.5, "gid": 0}},
    "a hostname of 64 KiB": {"hostname": KIB64},
    "a mount point of 64 KiB": {"mounts+": [{"destination": "/" + KIB64, "type": "tmpfs", "source": "tmpfs"}]},
    "a namespace path of 64 KiB": {"linux.namespaces+": [{"type": "user", "path": "/" + KIB64}]},
    "a cgroup path of 64 KiB": {"linux.cgroupsPath": "/" + KIB64},
    "a root of 64 KiB": {"root.path": KIB64},
    "a NUL in a path": {"mounts+": [{"destination": "/a\0b", "type": "tmpfs", "source": "tmpfs"}]},
    "a NUL in args": {"process.args": ["tr\0ue"]},
    "a NUL in env": {"process.env": ["A=b\0c"]},
    "an environment entry of 256 KiB": {"process.env": ["A=" + KIB64 * 4]},
    "arguments of 16 MiB": {"process.args": ["true"] + [KIB64] * 256},
}


@pytest.mark.parametrize("patch", MALFORMED.values(), ids=MALFORMED.keys())
def test_cve_2021_43784_refused(oci, patch):
    """By the runtime, or by the kernel's limits for execve: in words, and by no crash."""
    done = oci.run(patch)
    assert 0 < done.code < 128 or done.code == 255, done.code
    assert done.err.strip()


LARGE = {
    "an environment entry of 64 KiB": {"process.env": ["A=" + KIB64]},
    "an argument of 64 KiB": {"process.args": ["true", KIB64]},
    "1,000 arguments": {"process.args": ["true", *(["x"] * 1000)]},
    "an annotation of 64 KiB": {"annotations": {"a": KIB64}, "process.args": ["true"]},
    "300 id mappings": {**USER, "linux.uidMappings": MAPS[:300], "linux.gidMappings": MAPS[:300], "process.args": ["true"]},
    "500 mounts": {"mounts+": [{"destination": f"/m/{i}", "type": "tmpfs", "source": "tmpfs"} for i in range(500)],
                   "process.args": ["true"]},
}


@pytest.mark.parametrize("patch", LARGE.values(), ids=LARGE.keys())
def test_cve_2021_43784_large_is_whole(oci, patch):
    """Strings of 64 KiB arrive, or are refused: never cut."""
    bundle = oci.bundle({**patch, **({"process.args": ["sh", "-c", "echo ${#A}"]} if "process.env" in patch else {})})
    done = oci.runtime.run(bundle, oci.name())
    assert done.code == 0, done.err
    assert "process.env" not in patch or done.out.strip() == "65536"


def text_of(patch):
    return json.dumps(patched(DEFAULT, patch))


@pytest.mark.parametrize("inner", ['"process": {"args": ["false"], "cwd": "/"}', '"linux": {}', '"root": {"path": "/"}'])
def test_duplicate_keys_are_read_one_way(oci, inner):
    """Refused, or the last one counts as for every other reader: never the one and the other by halves."""
    text = text_of({"process.args": ["sh", "-c", "test ! -e /tmp/w"]})
    bundle = oci.bundle()
    bundle.write("{" + inner + ", " + text[1:])
    done = oci.runtime.run(bundle, oci.name())
    assert done.code == 0 or done.err.strip(), "the first one counted"


BROKEN = {"depth": text_of({})[:-1] + ', "x": ' + "[" * 5000 + "]" * 5000 + "}", "objects": '{"a":' * 20000 + "1" + "}" * 20000,
          "16 MiB of space": " " * (16 << 20), "no end": text_of({})[:-1], "a lone surrogate": '{"ociVersion": "\\ud800"}',
          "a huge number": '{"ociVersion": "1.0.2", "process": {"user": {"uid": 1e400}}}', "comment": "{/**/}"}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_cve_2021_43784_broken(oci, text):
    bundle = oci.bundle()
    bundle.write(text)
    oci.refuses(bundle=bundle)


@pytest.mark.parametrize("target", ["lo/../x", "a:b", "a b", "", ".", "..", "a" * 16])
def test_network_device_name(oci, target):
    subprocess.run(["ip", "link", "add", "wtd0", "type", "veth", "peer", "name", "wtd1"], check=True)
    try:
        oci.refuses({"linux.netDevices": {"wtd0": {"name": target}}} if target else {"linux.netDevices": {"": {}}})
    finally:
        subprocess.run(["ip", "link", "del", "wtd0"], check=True)


def test_network_device_needs_a_namespace(oci):
    others = [n for n in DEFAULT["linux"]["namespaces"] if n["type"] != "network"]
    oci.refuses({"linux.namespaces": others, "linux.netDevices": {"lo": {}}})
