# SPDX-License-Identifier: Apache-2.0
"""Annotations of crun that change what a runtime does, and `update` for Intel RDT."""
import os

import pytest

SECCOMP = {"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
    {"names": ["no_such_call"], "action": "SCMP_ACT_ERRNO"}]}}


@pytest.fixture(autouse=True)
def crun_alike(oci):
    if "runc" in oci.runtime.name:
        pytest.skip("runc has none of crun's extensions")


@pytest.mark.spec("crun(1)")
@pytest.mark.parametrize("keep, expected", [({}, [5]), ({"run.oci.keep_original_groups": "1"}, [7, 9])])
def test_original_groups_are_kept(oci, keep, expected):
    user = {"uid": 0, "gid": 0, "additionalGids": [5]}
    seen = oci.see({"process.user": user, "annotations": keep}, preexec_fn=lambda: os.setgroups([7, 9]))
    assert sorted(set(seen["groups"]) - {0}) == expected


@pytest.mark.spec("crun(1)")
def test_original_groups_are_kept_by_exec(oci):
    with oci.running({"annotations": {"run.oci.keep_original_groups": "1"}}) as name:
        groups = os.getgroups()
        os.setgroups([7, 9])
        try:
            assert sorted(set(oci.exec_see(name)["groups"]) - {0}) == [7, 9]
        finally:
            os.setgroups(groups)


@pytest.mark.spec("crun(1)")
def test_unknown_system_call_fails(oci):
    annotation = {"annotations": {"run.oci.seccomp_fail_unknown_syscall": "1"}}
    assert oci.run({**SECCOMP, "process.args": ["true"]})  # and the compiled filter is kept
    oci.refuses({**SECCOMP, **annotation}, naming="no_such_call")
    assert oci.run({**annotation, "process.args": ["true"]})


@pytest.mark.spec("runc(8)")
@pytest.mark.parametrize("option, value", [("--l3-cache-schema", "L3:0=f"), ("--mem-bw-schema", "MB:0=20")])
def test_update_of_rdt_without_rdt(oci, option, value):
    if "crun" in oci.runtime.name:
        pytest.skip("crun has no such options before 1.9")
    with oci.running() as name:
        done = oci.runtime.call("update", option, value, name)
        assert done.code != 0 and "intelrdt" in done.err.lower()
