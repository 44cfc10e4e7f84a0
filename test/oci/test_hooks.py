# SPDX-License-Identifier: Apache-2.0
"""`hooks`: when each runs, where, with what, and what its failure means."""
import json
import os
import time

import pytest

from lib.oci_case import refused

HOST_SIDE = ("prestart", "createRuntime", "createContainer", "poststart", "poststop")
ORDER = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
LOG = "/tmp/w/log"


def hook(script, **fields):
    return {"path": "/bin/sh", "args": ["sh", "-c", script], **fields}


def hooks(**by_name):
    return {f"hooks.{name}": value if isinstance(value, list) else [value] for name, value in by_name.items()}


def log():
    if not os.path.exists(LOG):
        return []
    with open(LOG) as f:
        return f.read().split()


def logging(name):
    # startContainer runs inside: what it writes is read through a bind mount of the directory
    return hook(f"echo {name} >>{LOG}")


SHARED = {"mounts+": [{"destination": "/tmp/w", "type": "bind", "source": "/tmp/w", "options": ["bind"]}]}


@pytest.mark.spec("config.md#posix-platform-hooks")
def test_order(oci):
    done = oci.run({**SHARED, **hooks(**{name: logging(name) for name in ORDER}),
                    "process.args": ["sh", "-c", f"echo program >>{LOG}; sleep 0.2"]})
    assert done.code == 0, done.err
    ran = log()
    assert [name for name in ran if name not in ("program", "poststart")] == [n for n in ORDER if n != "poststart"]
    assert ran.index("startContainer") < ran.index("program") < ran.index("poststop")


@pytest.mark.spec("runtime.md#lifecycle")
def test_poststart_comes_after_start_container(oci):
    """Steps 8 to 10: the startContainer hooks, the program, the poststart hooks, and then start returns."""
    slow = hook(f"sleep 0.2; echo startContainer >>{LOG}")
    assert oci.run({**SHARED, **hooks(startContainer=slow, poststart=logging("poststart")),
                    "process.args": ["sleep", "0.2"]})
    assert log() == ["startContainer", "poststart"]


@pytest.mark.spec("runtime.md#lifecycle")
def test_which_command_runs_which(oci):
    with oci.created({**SHARED, **hooks(**{name: logging(name) for name in ORDER}),
                      "process.args": ["sleep", "1000"]}) as name:
        assert log() == ORDER[:3]
        assert oci.runtime.call("start", name)
        for _ in range(100):
            if "startContainer" in log():
                break
            time.sleep(0.02)
        assert sorted(log()) == sorted(ORDER[:5])
    assert log()[-1] == "poststop"


@pytest.mark.spec("config.md#posix-platform-hooks")
def test_several_in_the_order_of_the_list(oci):
    assert oci.run({**hooks(createRuntime=[hook(f"echo {n} >>{LOG}") for n in "123"]), "process.args": ["true"]})
    assert log() == ["1", "2", "3"]


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.spec("config.md#posix-platform-hooks"))
                                  for n in ORDER])
def test_state_on_stdin(oci, name):
    status = {"startContainer": ("created", "creating"), "poststart": ("running",), "poststop": ("stopped",)}
    bundle = oci.bundle({**SHARED, **hooks(**{name: hook("cat >/tmp/w/state")}), "process.args": ["sleep", "0.1"]})
    identity = oci.name()
    assert oci.runtime.run(bundle, identity)
    with open("/tmp/w/state") as f:
        state = json.load(f)
    assert state["id"] == identity and state["ociVersion"] and state["bundle"] == bundle.path
    assert state["status"] in status.get(name, ("creating", "created"))
    if name != "poststop":
        assert state["pid"] > 0


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.spec("config.md#posix-platform-hooks"))
                                  for n in ORDER])
def test_args_and_env(oci, name):
    script = 'echo "$0 $1 A=$A HOME=$HOME" >/tmp/w/said'
    assert oci.run({**SHARED, "process.args": ["sleep", "0.1"],
                    **hooks(**{name: {"path": "/bin/sh", "args": ["sh", "-c", script, "zero", "one"],
                                      "env": ["A=b", "PATH=/bin"]}})})
    with open("/tmp/w/said") as f:
        assert f.read() == "zero one A=b HOME=\n"


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.spec("config.md#posix-platform-hooks"))
                                  for n in ORDER])
def test_namespaces(oci, name):
    """createContainer and startContainer run in the container's namespaces, the others in the runtime's."""
    assert oci.run({**SHARED, "process.args": ["sleep", "0.1"],
                    **hooks(**{name: hook("for n in mnt net; do readlink /proc/self/ns/$n; done >/tmp/w/ns")})})
    with open("/tmp/w/ns") as f:
        found = f.read().split()
    own = [os.readlink(f"/proc/self/ns/{kind}") for kind in ("mnt", "net")]
    if name in ("createContainer", "startContainer"):
        assert not set(found) & set(own)
    else:
        assert found == own


@pytest.mark.spec("config.md#posix-platform-hooks")
def test_create_container_runs_before_pivot_root(oci):
    """Its path is the runtime's, and the container's mounts are made already."""
    bundle = oci.bundle({**hooks(createContainer=hook("cat /proc/self/mountinfo >/tmp/w/mounts")),
                         "process.args": ["true"]})
    assert oci.runtime.run(bundle, oci.name())
    with open("/tmp/w/mounts") as f:
        assert f"{bundle.root}/dev/shm" in f.read()


@pytest.mark.spec("config.md#posix-platform-hooks")
def test_start_container_is_of_the_container(oci):
    """Its path is inside the container."""
    done = oci.run({**hooks(startContainer={"path": "/bin/busybox", "args": ["touch", "/made"]}),
                    "process.args": ["ls", "/made"]})
    assert done.code == 0, done.err


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.spec("runtime.md#lifecycle"))
                                  for n in ("prestart", "createRuntime", "createContainer")])
def test_failure_stops_create(oci, name):
    oci.refuses({**hooks(**{name: hook("exit 3"), "poststop": logging("poststop")}), "process.args": ["true"]})
    assert log() == ["poststop"], "poststop hooks run when a container is destroyed"


@pytest.mark.spec("runtime.md#lifecycle")
def test_failure_of_start_container_stops_start(oci):
    done = oci.run({**SHARED, **hooks(startContainer=hook("exit 3")),
                    "process.args": ["sh", "-c", f"echo program >>{LOG}"]})
    assert done.code != 0 and log() == []


@pytest.mark.spec("runtime.md#lifecycle")
def test_failure_of_poststart(oci):
    """Since 1.3 an error: the container is stopped."""
    with oci.created({**hooks(poststart=hook("exit 3")), "process.args": ["sleep", "1000"]}) as name:
        assert not oci.runtime.call("start", name)
        for _ in range(50):
            state = oci.runtime.state(name)
            if state is None or state["status"] == "stopped":
                return
            time.sleep(0.02)
        assert False, f"the container is {state['status']}"


@pytest.mark.spec("runtime.md#lifecycle")
def test_failure_of_poststop_is_only_a_warning(oci):
    patch = {**hooks(poststop=[hook("exit 3"), logging("second")]), "process.args": ["true"]}
    with oci.created(patch, start=True) as name:
        time.sleep(0.1)
        done = oci.runtime.call("delete", "--force", name)
        assert done.code == 0 and oci.runtime.state(name) is None
    assert log() == ["second"]


@pytest.mark.spec("config.md#posix-platform-hooks")
def test_timeout(oci):
    begin = time.monotonic()
    oci.refuses({**hooks(createRuntime=hook("exec sleep 60", timeout=1)), "process.args": ["true"]})
    assert time.monotonic() - begin < 10


@pytest.mark.spec("security: CVE-2024-21626")
@pytest.mark.parametrize("name", ["createRuntime", "createContainer", "poststop"])
def test_no_descriptors_but_standard_ones(oci, name):
    assert oci.run({**hooks(**{name: hook("ls /proc/self/fd >/tmp/w/fds")}), "process.args": ["true"]})
    with open("/tmp/w/fds") as f:
        # 3 is the directory that ls reads
        assert sorted(f.read().split()) == ["0", "1", "2", "3"]


test_refused = refused(
    ("config.md#posix-platform-hooks", "a path that is relative", hooks(createRuntime={"path": "bin/sh"})),
    ("config.md#posix-platform-hooks", "no path", hooks(createRuntime={"args": ["sh"]})),
    ("config.md#posix-platform-hooks", "a program that is missing", hooks(createRuntime={"path": "/none/such"})),
    ("config.md#posix-platform-hooks", "a time-out that is not positive",
     hooks(createRuntime={"path": "/bin/true", "timeout": 0})),
)
