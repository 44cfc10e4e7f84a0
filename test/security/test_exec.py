# SPDX-License-Identifier: Apache-2.0
"""Who a process runs as, and which process is the container's: numbers only, and all of them looked at."""
import os
import signal
import subprocess

import pytest

from conftest import wait_for

STRICT = ["1000x", "1000:", ":5", "-1", "4294967295", " 0", "0x0", "0 ", "+0", "1e3", "1000:5x", "1000:-1", "0:4294967295",
          "0: 5", "0:0:0", "99999999999999999999", "\u0661", "1000,5", ":", "0:0x5", "root", "\n0", "18446744073709551616"]


@pytest.mark.parametrize("user", STRICT, ids=repr)
def test_cve_2026_30892_user_is_strict(oci, user):
    with oci.running() as name:
        done = oci.runtime.call("exec", f"--user={user}", name, "id")
        assert done.code != 0 and "uid=" not in done.out


@pytest.mark.parametrize("user, uid, gid", [("0", 0, 0), ("1000", 1000, None), ("4294967294:4294967294", 4294967294, 4294967294)])
def test_cve_2026_30892_good_users(oci, user, uid, gid):
    with oci.running() as name:
        seen = oci.exec_see(name, flags=["--user", user])
        assert seen["uid"] == [uid] * 3 and gid in (None, seen["gid"][0])


@pytest.mark.parametrize("how", ["run", "exec"])
def test_cve_2016_3697_numeric_name_in_passwd(oci, how):
    bundle = oci.bundle()
    with open(f"{bundle.root}/etc/passwd", "w") as f:
        f.write("1000:x:0:0:root by another name:/root:/bin/sh\nroot:x:0:0::/root:/bin/sh\n")
    with open(f"{bundle.root}/etc/group", "w") as f:
        f.write("1000:x:0:\n")
    if how == "run":
        seen = oci.see({"process.user": {"uid": 1000, "gid": 1000}}, bundle=bundle)
    else:
        bundle.configure({"process.args": ["sleep", "1000"]})
        with oci.running(bundle=bundle) as name:
            seen = oci.exec_see(name, flags=["--user", "1000:1000"])
    assert seen["uid"] == [1000] * 3 and seen["gid"] == [1000] * 3


def test_zombie_counts_as_stopped(oci):
    """The parent of the first process does not reap it: there is no container any more all the same."""
    bundle, name = oci.bundle({"process.args": ["sleep", "1000"]}), oci.name()
    parent = subprocess.Popen(oci.runtime.command("run", "--bundle", bundle.path, name), stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: (oci.runtime.state(name) or {}).get("status") == "running")
        pid = oci.runtime.state(name)["pid"]
        os.kill(parent.pid, signal.SIGSTOP)
        os.kill(pid, signal.SIGKILL)

        def zombie():
            with open(f"/proc/{pid}/stat") as f:
                return f.read().rsplit(")", 1)[1].split()[0] == "Z"
        wait_for(zombie)
        assert oci.runtime.state(name)["status"] == "stopped"
        assert oci.runtime.call("kill", name, "KILL").code != 0
        assert oci.exec(name, "true").code != 0
    finally:
        os.kill(parent.pid, signal.SIGCONT)
        parent.wait(10)
    oci.runtime.call("delete", "--force", name)


@pytest.mark.parametrize("number", ["0", "-1", "65", "9x", "KILLX", "", "0x9"])
def test_kill_takes_signals_only(oci, number):
    with oci.running() as name:
        assert oci.runtime.call("kill", name, "--", number).code != 0 or number in ("0", "")
        assert oci.runtime.state(name)["status"] == "running"
