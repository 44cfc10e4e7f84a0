# SPDX-License-Identifier: Apache-2.0
"""The runtime's own program and processes: a container neither overwrites the one nor looks into the others."""
import os
import stat

import pytest

from lib.bundle import CAPABILITIES, bind
from lib.seen import CAPABILITY_NAMES
from conftest import HOST, wait_for

EXECS = 60
EVERY = {name: ["CAP_" + c for c in CAPABILITY_NAMES] for name in ("bounding", "effective", "permitted")}
MAPPING = [{"containerID": 0, "hostID": 100000, "size": 65536}]
USER = {"linux.namespaces+": [{"type": "user"}], "linux.uidMappings": MAPPING, "linux.gidMappings": MAPPING}
CONTAINERS = {"default capabilities": {}, "uid 1000": {"process.user": {"uid": 1000, "gid": 1000}},
              "all capabilities of a user namespace": {**USER, "process.capabilities": EVERY}}


def script(bundle, name, text):
    path = os.path.join(bundle.root, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)


@pytest.mark.parametrize("entry", ["/proc/self/exe", "/script", "/link", "/proc/1/exe", "/proc/thread-self/exe"])
@pytest.mark.parametrize("how", ["run", "exec"])
def test_cve_2019_5736_entry_is_the_runtimes_image(oci, entry, how):
    """The image that is executed again is no program of the host, and it refuses."""
    bundle = oci.bundle()
    script(bundle, "script", "#!/proc/self/exe\n")
    os.symlink("/proc/self/exe", f"{bundle.root}/link")
    if how == "run":
        bundle.configure({"process.args": [entry, "--version"]})
        done = oci.runtime.run(bundle, oci.name())
    else:
        bundle.configure({"process.args": ["sleep", "1000"]})
        with oci.running(bundle=bundle) as name:
            done = oci.exec(name, entry, "--version")
    assert "spec" not in done.out and "runc version" not in done.out and "wharf-oci " not in done.out
    assert done.code != 0 or entry == "/proc/1/exe"  # there it is busybox's sleep, the container's own


@pytest.mark.limit(60)
@pytest.mark.parametrize("patch", CONTAINERS.values(), ids=CONTAINERS.keys())
def test_cve_2019_5736_2016_9962_2024_21626_snooping_on_exec(oci, racer, patch):
    """Every process that enters is looked into from its first moment on, as hard as one can."""
    bundle = oci.bundle()
    os.chmod(f"{bundle.root}/tmp", 0o777)
    bundle.configure({**patch, "process.args": [racer.into(bundle), "snoop", "/tmp/log"]})
    log = f"{bundle.root}/tmp/log"
    directory = os.open(HOST, os.O_RDONLY)
    try:
        with oci.running(bundle=bundle) as name:
            wait_for(lambda: os.path.exists(log) and os.path.getsize(log))
            for _ in range(EXECS):
                oci.runtime.call("exec", name, "true", pass_fds=(directory,))
    finally:
        os.close(directory)
    with open(log) as f:
        found = f.read().splitlines()
    assert found[:1] == ["begin"] and not found[1:], found[1:10]


def test_cve_2019_5736_image_is_not_open_anywhere(oci):
    """A created container waits in a program; its image cannot be written, and it is not the runtime's."""
    with oci.created() as name:
        pid = oci.runtime.state(name)["pid"]
        mine = os.stat(oci.runtime.path)
        image = os.stat(f"/proc/{pid}/exe")
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert oci.runtime.path not in links
        # outside of the container's root, with nobody of the container let in yet, it may be the runtime's
        assert (image.st_dev, image.st_ino) != (mine.st_dev, mine.st_ino) or not dumpable(pid)


def dumpable(pid):
    """Whether others of the same user may look in: then the files in /proc/PID belong to them."""
    with open(f"/proc/{pid}/status") as f:
        uid = int(next(line for line in f if line.startswith("Uid:")).split()[2])
    return os.stat(f"/proc/{pid}/environ").st_uid == uid != 0


def test_cve_2016_3135_2020_5291_2017_5985_2018_6556_2022_47952_no_setuid_program(oci):
    """Nothing that the build makes or installs has a set-id bit or file capabilities."""
    top = os.path.dirname(os.path.dirname(oci.runtime.path))
    for folder, _, files in os.walk(top):
        for name in files:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            if stat.S_ISREG(st.st_mode) and st.st_mode & 0o111 and "/build/" in path + "/":
                assert not st.st_mode & (stat.S_ISUID | stat.S_ISGID), path
                assert "security.capability" not in os.listxattr(path), path


def test_exec_uses_the_saved_configuration(oci):
    """Whoever may write the bundle after create has no say in what exec does."""
    bundle = oci.bundle({"process.args": ["sleep", "1000"]})
    with oci.running(bundle=bundle) as name:
        bundle.configure({"process.capabilities": EVERY, "process.noNewPrivileges": False,
                          "mounts+": [bind("/", "/host")], "process.user": {"uid": 7, "gid": 7}})
        seen = oci.exec_see(name)
        assert set(seen["capabilities"]["bounding"]) == set(CAPABILITIES)
        assert seen["no_new_privs"] == 1 and seen["uid"] == [0] * 3


def test_state_belongs_to_the_runtime_alone(oci):
    with oci.running() as name:
        for folder, names, files in os.walk(f"/run/oci/{name}"):
            for entry in files:
                st = os.lstat(os.path.join(folder, entry))
                assert st.st_uid == 0 and (not st.st_mode & 0o077 or not stat.S_ISREG(st.st_mode)), entry
        assert not os.stat("/run/oci").st_mode & 0o022 and not os.stat(f"/run/oci/{name}").st_mode & 0o066
