# SPDX-License-Identifier: Apache-2.0
"""Cgroups where this machine cannot show them: in guests with every v2 controller, and with systemd as
pid 1. VM_RUN names the program that boots them (`vm-run --share DIR -- COMMAND`); absent, these skip.

On this machine the unit test of real groups runs once more in a pure v1 and in a pure v2 view.
"""
import json
import os
import re
import shutil
import subprocess

import pytest

from lib.bundle import TOP

BUILD = os.path.join(TOP, "build")
VM_RUN = os.environ.get("VM_RUN", shutil.which("vm-run"))
UNIT_TEST = os.path.join(BUILD, "libcontainer", "cgroup", "cgroup_test")
DRIVER = os.path.join(BUILD, "test", "cgroup", "cgroup-driver")
needs_guest = pytest.mark.skipif(not VM_RUN, reason="no guests: VM_RUN names no program that boots them")

LIMITS = {"memory": {"limit": 16 << 20, "swap": 16 << 20}, "pids": {"limit": 20},
          "cpu": {"shares": 1024, "quota": 50000, "period": 100000},
          "devices": [{"allow": False, "access": "rwm"}]}


def libraries(program):
    """The shared objects of ours that a guest does not have."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    return re.findall(r"=> (\S*lib(?:jansson|cmocka|seccomp)\S*)", listed)


def guest(script, *options):
    """Runs a shell script in a guest: its output."""
    folder = os.path.abspath("shared")
    os.mkdir(folder)
    for program in (UNIT_TEST, DRIVER):
        for path in [program, *libraries(program)]:
            shutil.copy(path, folder)
    with open(os.path.join(folder, "script"), "w") as f:
        f.write(f"export LD_LIBRARY_PATH={folder}\ncd {folder}\n{script}\n")
    result = subprocess.run([VM_RUN, *options, "--share", folder, "--", "sh", f"{folder}/script"],
                            capture_output=True, text=True, timeout=240)
    assert result.returncode != 125, result.stderr
    return result.stdout


@needs_guest
@pytest.mark.slow
@pytest.mark.limit(300)
def test_real_groups_with_every_v2_controller():
    out = guest("./cgroup_test 2>&1; echo exit $?")
    assert "exit 0" in out, out
    assert "OK ] test_oom_is_told" in out
    assert "OK ] test_limits_are_written" in out


@needs_guest
@pytest.mark.slow
@pytest.mark.limit(300)
def test_limits_take_effect_on_v2():
    command = ("cat /proc/self/cgroup; cd /sys/fs/cgroup/a/b; cat memory.max pids.max cpu.max cpu.weight;"
               "head -c1 /dev/zero | wc -c; head -c1 /dev/ubda 2>&1; tail /dev/zero")
    out = guest(f"./cgroup-driver files /a/b '{json.dumps(LIMITS)}' '{command}'; echo exit $?;"
                          "test -e /sys/fs/cgroup/a/b || echo gone")
    assert "0::/a/b\n16777216\n20\n50000 100000\n100\n1\n" in out, out
    assert "'/dev/ubda' for reading: Operation not permitted" in out  # the eBPF filter
    assert "frozen 1" in out and "status 137" in out and "oom 1" in out
    assert "exit 0" in out and "gone" in out


@needs_guest
@pytest.mark.slow
@pytest.mark.limit(300)
def test_systemd_scope_keeps_its_limits_over_a_reload():
    scope = "/a.slice/a-b.slice/wharf-one.scope"
    command = ("cat /proc/self/cgroup; systemctl show wharf-one.scope -p Delegate; systemctl daemon-reload;"
               f"cd /sys/fs/cgroup{scope}; cat memory.max pids.max cpu.max; exit 7")
    out = guest(f"./cgroup-driver systemd a-b.slice:wharf:one '{json.dumps(LIMITS)}' '{command}';"
                          f"echo exit $?; test -e /sys/fs/cgroup{scope} || echo gone;"
                          "systemctl status wharf-one.scope 2>&1", "--init", "systemd")
    assert f"0::{scope}\nDelegate=yes\n16777216\n20\n50000 100000\nstatus 7\n" in out, out
    assert "exit 0" in out and "gone" in out and "could not be found" in out


@pytest.mark.parametrize("view", ["hybrid", "v1", "v2"])
def test_real_groups_in_each_view(view):
    result = subprocess.run([UNIT_TEST], capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
