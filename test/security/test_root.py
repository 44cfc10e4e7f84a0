# SPDX-License-Identifier: Apache-2.0
"""Mounts and links: whatever the image holds in the way, and whoever bends it meanwhile, nothing of the
host is reached. The guard of conftest.py compares the host's folder after each."""
import os
import subprocess

import pytest

from lib import kernel
from lib.bundle import DEFAULT, bind, mount
from conftest import HOST

STARTS = 1000
NO_DEV = {"mounts": [m for m in DEFAULT["mounts"] if not m["destination"].startswith("/dev")]}


def replace(bundle, name, target):
    """A name in the root becomes a link, whatever it was."""
    path = os.path.join(bundle.root, name.lstrip("/"))
    subprocess.run(["rm", "-rf", path], check=True)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.symlink(target, path)


def run(oci, bundle, patch, *flags):
    bundle.configure({"process.args": ["/bin/true"], **patch})
    done = oci.runtime.run(bundle, oci.name(), *flags)
    assert done or done.err.strip(), "it failed without a word"
    return done


@pytest.mark.parametrize("name", ["dev", "proc", "sys", "dev/pts", "dev/shm", "dev/mqueue"])
@pytest.mark.parametrize("target", [HOST + "/folder", "../../../../host/folder", "/proc/self/cwd", "/etc"])
def test_cve_2026_41579_2019_19921_2015_3629_folder_is_a_link(oci, name, target):
    bundle = oci.bundle()
    replace(bundle, name, target)
    run(oci, bundle, {})
    assert not set(os.listdir(f"{bundle.root}/etc")) & {"null", "zero", "pts", "shm", "self"}, "devices in /etc"


@pytest.mark.parametrize("name", ["null", "zero", "full", "random", "urandom", "tty", "ptmx", "console", "fd",
                                  "stdin", "stdout", "stderr", "core"])
def test_cve_2025_24965_2015_3627_file_that_we_make_is_a_link(oci, name):
    """With the image's own /dev: what the runtime makes there is in the way already, as a link out."""
    bundle = oci.bundle()
    os.mkdir(f"{bundle.root}/dev/pts")
    replace(bundle, f"dev/{name}", HOST + "/made")
    run(oci, bundle, NO_DEV)
    replace(bundle, f"dev/{name}", HOST + "/secret")
    run(oci, bundle, NO_DEV)


@pytest.mark.parametrize("name", ["etc/passwd", "etc/mtab", "etc/hostname", "tmp/a/b/c", "new"])
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_cve_2024_45310_2025_24965_mount_point_behind_links(oci, name, kind):
    """Targets of mounts are made inside the root, as the container would see the link."""
    bundle = oci.bundle()
    top = name.split("/")[0]
    replace(bundle, top, HOST)
    source = "/etc/hosts" if kind == "file" else "/etc/default"
    run(oci, bundle, {"mounts+": [bind(source, f"/{name}", "ro")]})


def test_cve_2025_31133_null_is_a_link_to_sysrq(oci):
    bundle = oci.bundle()
    os.mkdir(f"{bundle.root}/dev/pts")
    replace(bundle, "dev/null", "/proc/sysrq-trigger")
    bundle.configure({**NO_DEV, "process.args": ["sh", "-c", "readlink /dev/null; stat -c %t:%T /proc/kcore /proc/keys"],
                      "linux.maskedPaths": ["/proc/kcore", "/proc/keys"]})
    done = oci.runtime.run(bundle, oci.name())
    # refused, or masked with the true null device: 1:3
    assert done.code != 0 or set(done.out.split()) - {"/proc/sysrq-trigger"} == {"1:3"}, done.out


@pytest.mark.parametrize("destination", ["/proc", "/proc/", "/x/../proc", "/./proc", "/proc/self/attr", "/proc/sys",
                                         "/proc/self/../1/attr", "/x/..//proc/self/exe", "/proc/sys/kernel/core_pattern"])
def test_cve_2015_3631_mount_over_proc(oci, destination):
    oci.refuses({"mounts+": [bind(HOST, destination)]})


def test_cve_2015_3631_mount_over_proc_through_a_link(oci):
    bundle = oci.bundle()
    os.symlink("/proc/self", f"{bundle.root}/link")
    bundle.configure({"mounts+": [bind(HOST, "/link/attr")], "process.args": ["ls", "/proc/self/attr"]})
    done = oci.runtime.run(bundle, oci.name())
    assert "secret" not in done.out


@pytest.mark.slow
@pytest.mark.limit(240)
def test_cve_2021_30465_2015_1335_2019_18837_destination_is_exchanged(oci, racer):
    """A neighbour who shares a volume swaps the mount's destination in it for a link to / and back."""
    volume = "/tmp/w/volume"
    os.makedirs(f"{volume}/dir")
    os.symlink("/", f"{volume}/link")
    bundle = oci.bundle()
    # where the link leads is the container's own root, never the host's
    bundle.configure({"mounts+": [bind(volume, "/volume"), bind(HOST, "/volume/dir/deep/below")],
                      "process.args": ["sh", "-c", "test ! -e /host && test ! -e /tmp/w || echo escaped"]})
    done = 0
    with racer.exchanging(f"{volume}/dir", f"{volume}/link"):
        for i in range(STARTS):
            result = oci.runtime.run(bundle, oci.name())
            done += bool(result)
            # where the mount is seen depends on the moment of looking; the host must never be
            assert "escaped" not in result.out and (result or result.err.strip()), f"start {i}"
    assert not os.path.exists("/deep"), "a mount point was made on the host"
    assert done, "no container ever started: the race was not one"


@pytest.mark.slow
@pytest.mark.limit(120)
def test_cve_2024_45310_parent_is_exchanged(oci, racer):
    """mkdir -p along a volume whose folders are swapped for links out makes nothing on the host."""
    volume = "/tmp/w/volume"
    os.makedirs(f"{volume}/dir")
    os.symlink("../../../../../../../../" + HOST.lstrip("/"), f"{volume}/link")
    bundle = oci.bundle()
    bundle.configure({"mounts+": [bind(volume, "/volume"), mount("/volume/dir/a/b/c", "tmpfs", "tmpfs"),
                                  bind("/etc/hosts", "/volume/dir/d/file")], "process.args": ["true"]})
    with racer.exchanging(f"{volume}/dir", f"{volume}/link"):
        for _ in range(200):
            oci.runtime.run(bundle, oci.name())


@pytest.mark.slow
@pytest.mark.limit(120)
@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_cve_2026_47766_2023_27561_special_folder_is_exchanged(oci, racer, name):
    bundle = oci.bundle({"process.args": ["true"]})
    os.symlink(HOST + "/folder", f"{bundle.root}/link")
    with racer.exchanging(f"{bundle.root}/{name}", f"{bundle.root}/link"):
        for _ in range(100):
            oci.runtime.run(bundle, oci.name())


def test_no_pivot_on_a_ramfs(oci, world):
    """The first root of a machine cannot be pivoted; nothing but the container's root is left in sight."""
    bundle = oci.bundle({"process.args": ["sh", "-c", "cat /proc/self/mountinfo; ls /"]})
    os.rename(bundle.root, bundle.root + ".d")
    os.mkdir(bundle.root)
    kernel.mount("ram", bundle.root, "ramfs")
    subprocess.run(f"cp -a {bundle.root}.d/. {bundle.root}", shell=True, check=True)
    try:
        done = oci.runtime.run(bundle, oci.name(), "--no-pivot")
        assert done.code == 0, done.err
        points = [line.split()[4] for line in done.out.splitlines() if " - " in line]
        assert points[0] == "/" and not [p for p in points if p.startswith(("/tmp/w", "/run"))]
        assert "probe" in done.out.split() and "host" not in done.out.split()
    finally:
        kernel.umount(bundle.root)


@pytest.mark.parametrize("mapping", [
    [{"containerID": 0, "hostID": 100000, "size": 0}],
    [{"containerID": 0, "hostID": 100000, "size": 10}, {"containerID": 5, "hostID": 200000, "size": 10}],
    [{"containerID": 4294967290, "hostID": 0, "size": 10}],
], ids=["empty range", "overlap", "past the last id"])
def test_id_mapped_mount_with_a_bad_map(oci, mapping):
    entry = {**bind(HOST, "/m", "idmap"), "uidMappings": mapping, "gidMappings": mapping}
    oci.refuses({"mounts+": [entry]})


def test_id_mapped_mount_gives_no_root_of_the_host(oci):
    """A file made by the container's root through the mount does not belong to the host's."""
    os.mkdir("/tmp/w/shift")
    entry = {**bind("/tmp/w/shift", "/m", "idmap"), "uidMappings": [{"containerID": 100000, "hostID": 0, "size": 1}],
             "gidMappings": [{"containerID": 100000, "hostID": 0, "size": 1}]}
    os.chown("/tmp/w/shift", 100000, 100000)
    oci.see({"mounts+": [entry]}, "create:/m/file")
    assert os.stat("/tmp/w/shift/file").st_uid == 100000
