# SPDX-License-Identifier: Apache-2.0
"""Capability sets and groups: nothing that was not asked for, whatever the caller's own sets are."""
import itertools
import json
import subprocess

import pytest

from lib.bundle import CAPABILITIES
from lib.seen import seen

THREE = ("bounding", "effective", "permitted")
SOME = ["CAP_CHOWN", "CAP_KILL"]
USERS = {0: {"uid": 0, "gid": 0}, 1000: {"uid": 1000, "gid": 1000}}
MAPPING = [{"containerID": 0, "hostID": 100000, "size": 65536}]
USER = {"linux.namespaces+": [{"type": "user"}], "linux.uidMappings": MAPPING, "linux.gidMappings": MAPPING}
RAISED = ["setpriv", "--inh-caps", "+chown,+net_raw,+kill", "--ambient-caps", "+chown,+net_raw,+kill"]


def raised(oci, *arguments):
    """The runtime, called by somebody whose inheritable and ambient sets are not empty."""
    done = subprocess.run([*RAISED, *oci.runtime.command(*arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=20)
    assert done.returncode == 0, done.stderr
    return seen(done.stdout)["capabilities"]


@pytest.mark.parametrize("uid, user_namespace", itertools.product((0, 1000), (False, True)))
def test_cve_2022_24769_2016_8867_2022_27650_run_has_no_inheritable_ones(oci, uid, user_namespace):
    bundle = oci.bundle({**(USER if user_namespace else {}), "process.user": USERS[uid]})
    sets = raised(oci, "run", "--bundle", bundle.path, oci.name())
    assert sets["inheritable"] == sets["ambient"] == []
    assert set(sets["bounding"]) == set(CAPABILITIES)
    if uid:
        assert sets["effective"] == []


@pytest.mark.parametrize("uid, user_namespace", itertools.product((0, 1000), (False, True)))
def test_cve_2022_29162_2016_8867_exec_has_no_inheritable_ones(oci, uid, user_namespace):
    with oci.running(USER if user_namespace else {}) as name:
        sets = raised(oci, "exec", "--user", f"{uid}:{uid}", name, "/probe")
        assert sets["inheritable"] == sets["ambient"] == []
        if uid:
            assert sets["effective"] == sets["permitted"] == []


@pytest.mark.parametrize("uid", [0, 1000])
@pytest.mark.parametrize("inheritable, ambient", [(SOME, SOME), (SOME, []), ([], SOME), ([], []), (SOME, SOME[:1])],
                         ids=["both", "inheritable", "ambient alone", "none", "part"])
def test_cve_2016_8867_only_what_the_spec_says(oci, uid, inheritable, ambient):
    """Ambient ones are within permitted and inheritable ones, and never more than what is listed."""
    sets = oci.see({"process.user": USERS[uid], "process.capabilities": {
        **dict.fromkeys(THREE, SOME), "inheritable": inheritable, "ambient": ambient}})["capabilities"]
    assert set(sets["inheritable"]) == set(inheritable)
    assert set(sets["ambient"]) == set(ambient) & set(inheritable)


def test_exec_of_a_process_without_capabilities_has_none(oci):
    with open("process.json", "w") as f:
        json.dump({"args": ["/probe"], "cwd": "/", "user": {"uid": 0, "gid": 0}}, f)
    with oci.running({"process.capabilities": dict.fromkeys(THREE, SOME)}) as name:
        done = oci.runtime.call("exec", "--process", "process.json", name)
        sets = seen(done.out)["capabilities"]
        assert not set(sets["effective"]) - set(SOME) and sets["inheritable"] == sets["ambient"] == []


def test_cve_2014_8989_groups_of_a_single_id_map(oci):
    one = [{"containerID": 0, "hostID": 100000, "size": 1}]
    oci.refuses({**USER, "linux.uidMappings": one, "linux.gidMappings": one,
                 "process.user": {"uid": 0, "gid": 0, "additionalGids": [5]}})


NAMED = {
    "capability": {"process.capabilities": {"bounding": ["CAP_NOSUCH"]}},
    "seccomp action": {"linux.seccomp": {"defaultAction": "SCMP_ACT_NOSUCH"}},
    "seccomp flag": {"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "flags": ["SECCOMP_FILTER_FLAG_NOSUCH"]}},
    "seccomp operator": {"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 1, "op": "SCMP_CMP_NOSUCH"}]}]}},
    "architecture": {"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_NOSUCH"]}},
    "namespace type": {"linux.namespaces+": [{"type": "NOSUCH"}]},
    "mount option on a bind": {"mounts+": [{"destination": "/m", "type": "bind", "source": "/etc",
                                            "options": ["bind", "NOSUCH"]}]},
}


@pytest.mark.parametrize("patch", NAMED.values(), ids=NAMED.keys())
def test_unknown_word_is_an_error_that_names_it(oci, patch):
    oci.refuses(patch, naming="NOSUCH")


def test_unknown_system_call_is_skipped(oci):
    oci.see({"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["nosuch_call", "reboot"], "action": "SCMP_ACT_ERRNO"}]}})


@pytest.mark.parametrize("name", ["write", "sendmsg"])
def test_notify_on_a_call_that_sends_the_listener(oci, name):
    oci.refuses({"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/tmp/w/none",
                                   "syscalls": [{"names": [name], "action": "SCMP_ACT_NOTIFY"}]}})
