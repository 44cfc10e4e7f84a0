# SPDX-License-Identifier: Apache-2.0
"""`root`, `mounts`, masked and read-only paths: the file systems that a container sees."""
import os

import pytest

from lib import kernel
from lib.bundle import DEFAULT, DELETE, bind, mount
from lib.oci_case import refused, seen_cases
from lib.seen import fails, has, lacks, one_of, wanting, works

MS_SHARED = 1 << 20


def tmpfs(*options, to="/m"):
    return {"mounts+": [mount(to, "tmpfs", "tmpfs", *options)]}


def option(name, *also, of="/m"):
    """A tmpfs mount with an option shows it among its per-mount flags."""
    return ("config.md#linux-mount-options", name, tmpfs(name, *also), {f"mounts|{of}|options": has(name)})


def cleared(name, option_):
    return ("config.md#linux-mount-options", f"{name} undoes {option_}", tmpfs(option_, name),
            {"mounts|/m|options": lacks(option_)})


test_seen = seen_cases(
    ("config.md#root", "writable unless asked otherwise", {}, {"create:/new": works}),
    ("config.md#root", "readonly", {"root.readonly": True},
     {"create:/new": fails("EROFS"), "mounts|/|options": has("ro"), "create:/dev/new": works}),
    ("config.md#root", "nothing of the host's root", {}, {"stat:/usr": fails("ENOENT")}),

    *(("config-linux.md#default-filesystems", point, {}, {f"mounts|{point}|kind": kind})
      for point, kind in [("/proc", "proc"), ("/sys", "sysfs"), ("/dev/pts", "devpts"), ("/dev/shm", "tmpfs")]),
    ("config.md#mounts", "all of the default ones", {},
     {"mounts|/dev|kind": "tmpfs", "mounts|/dev/mqueue|kind": "mqueue", "mounts|/sys|options": has("ro"),
      "stat:/dev": {"mode": "0755"}, "stat:/dev/shm": {"mode": "1777"}}),
    ("config.md#mounts", "only these", {},
     {"mounts": wanting("no mount of the host", lambda m: not any(p.startswith("/tmp") for p in m))}),
    ("config.md#mounts", "destination is made", tmpfs(to="/a/b/c"), {"mounts|/a/b/c|kind": "tmpfs"}),
    ("config.md#mounts", "in the order of the list",
     {"mounts+": [mount("/m", "tmpfs", "one"), mount("/m", "tmpfs", "two"), mount("/m/in", "tmpfs", "three")]},
     {"mounts|/m|source": "two", "mounts|/m/in|source": "three"}),
    ("config.md#mounts", "without a source", {"mounts+": [{"destination": "/m", "type": "tmpfs"}]},
     {"mounts|/m|kind": "tmpfs"}),
    ("config.md#mounts", "without options", tmpfs(), {"mounts|/m|options": has("rw")}),
    ("config.md#mounts", "a bind mount of a directory", {"mounts+": [bind("/etc", "/m")]}, {"stat:/m/debian_version": works}),
    ("config.md#mounts", "a bind mount of a file", {"mounts+": [bind("/etc/debian_version", "/etc/x")]},
     {"read:/etc/x": works, "stat:/etc/x": {"type": "-"}}),
    ("config.md#mounts", "a bind mount by option alone, without a type",
     {"mounts+": [{"destination": "/m", "source": "/etc", "options": ["bind"]}]}, {"stat:/m/debian_version": works}),
    ("config.md#mounts", "a bind mount's source relative to the bundle",
     {"mounts+": [bind("rootfs/etc", "/m")]}, {"stat:/m/passwd": works}),
    ("config.md#mounts", "a read-only bind mount",
     {"mounts+": [bind("/tmp", "/m", "ro")]}, {"mounts|/m|options": has("ro"), "create:/m/x": fails("EROFS")}),
    ("config.md#mounts", "rbind with what lies below",
     {"mounts+": [mount("/m", "bind", "/dev", "rbind")]}, {"mounts|/m/shm|kind": "tmpfs"}),
    ("config.md#mounts", "a bind mount without what lies below",
     {"mounts+": [bind("/dev", "/m")]}, {"mounts": lacks("/m/shm")}),

    *map(option, ["ro", "rw", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime"]),
    option("nosymfollow"),
    ("config.md#linux-mount-options", "strictatime", tmpfs("strictatime"),
     {"mounts|/m|options": lacks("relatime", "noatime")}),
    *(cleared(*pair) for pair in [("suid", "nosuid"), ("dev", "nodev"), ("exec", "noexec"), ("rw", "ro"),
                                  ("atime", "noatime"), ("diratime", "nodiratime"),
                                  ("symfollow", "nosymfollow")]),
    *(("config.md#linux-mount-options", name, tmpfs(name), {"mounts|/m|super": has(name)})
      for name in ["sync", "dirsync", "lazytime"]),
    *(("config.md#linux-mount-options", name, tmpfs(name), {"mounts|/m|kind": "tmpfs"})
      for name in ["async", "defaults", "loud", "silent", "nolazytime", "nomand", "noiversion",
                   "nostrictatime"]),
    ("config.md#linux-mount-options", "options of the file system",
     tmpfs("size=64k", "mode=0711", "uid=7", "nr_inodes=99"),
     {"mounts|/m|super": has("size=64k"), "stat:/m": {"mode": "0711", "uid": 7}}),
    ("config.md#linux-mount-options", "tmpcopyup", tmpfs("tmpcopyup", to="/etc"),
     {"mounts|/etc|kind": "tmpfs", "read:/etc/passwd": works}),
    *(("config.md#linux-mount-options", "on a bind mount: " + name,
       {"mounts+": [bind("/etc", "/m", name)]}, {"mounts|/m|options": has(name)})
      for name in ["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"]),
    *(("config.md#linux-mount-options", f"{name} changes the whole tree",
       {"mounts+": [mount("/m", "bind", "/dev", "rbind", name)]},
       {"mounts|/m|options": has(flag), "mounts|/m/shm|options": has(flag)})
      for name, flag in [("rro", "ro"), ("rnosuid", "nosuid"), ("rnodev", "nodev"), ("rnoexec", "noexec"),
                         ("rnoatime", "noatime"), ("rnodiratime", "nodiratime"),
                         ("rnosymfollow", "nosymfollow")]),
    *(("config.md#linux-mount-options", f"{name} changes the whole tree",
       {"mounts+": [mount("/m", "bind", "/dev", "rbind", name)]},
       {"mounts|/m|options": lacks(flag), "mounts|/m/shm|options": lacks(flag)})
      for name, flag in [("rrw", "ro"), ("rsuid", "nosuid"), ("rdev", "nodev"), ("rexec", "noexec"),
                         ("ratime", "noatime"), ("rstrictatime", "relatime"), ("rdiratime", "nodiratime"),
                         ("rsymfollow", "nosymfollow"), ("rrelatime", "noatime"),
                         ("rnorelatime", "noatime"), ("rnostrictatime", "noatime")]),
    ("config.md#linux-mount-options", "ro spares what lies below",
     {"mounts+": [mount("/m", "bind", "/dev", "rbind", "ro")]},
     {"mounts|/m|options": has("ro"), "mounts|/m/shm|options": has("rw")}),

    ("config-linux.md#masked-paths", "a file reads as empty", {"linux.maskedPaths": ["/etc/passwd"]},
     {"read:/etc/passwd": one_of({"text": ""}, {"errno": "EACCES"})}),
    ("config-linux.md#masked-paths", "a directory is empty", {"linux.maskedPaths": ["/home/user"]},
     {"list:/home/user": {"names": []}, "create:/home/user/x": fails("EROFS", "EACCES")}),
    ("config-linux.md#masked-paths", "what is missing is passed over", {"linux.maskedPaths": ["/none/such"]},
     {"stat:/none": fails("ENOENT")}),
    ("security: CVE-2015-3630", "the default masked paths show nothing", {},
     {"read:/proc/kcore": one_of({"text": ""}, {"errno": "EACCES"}, {"errno": "ENOENT"}),
      "read:/proc/keys": one_of({"text": ""}, {"errno": "EACCES"}),
      "list:/proc/scsi": one_of({"names": []}, {"errno": "ENOENT"}),
      "list:/sys/firmware": one_of({"names": []}, {"errno": "ENOENT"})}),
    ("config-linux.md#readonly-paths", "cannot be written",
     {"linux.readonlyPaths": ["/tmp", "/etc/passwd"]},
     {"create:/tmp/x": fails("EROFS"), "write:/etc/passwd:x": fails("EROFS"), "create:/etc/x": works}),
    ("config-linux.md#readonly-paths", "what is missing is passed over", {"linux.readonlyPaths": ["/none/such"]},
     {"stat:/none": fails("ENOENT")}),
    ("security: CVE-2015-3630", "the default read-only paths", {},
     {"write:/proc/sys/kernel/core_pattern:x": fails(), "write:/proc/sysrq-trigger:x": fails(),
      "write:/proc/irq/default_smp_affinity:3": fails()}),
    *(("config-linux.md#rootfs-mount-propagation", mode, {"linux.rootfsPropagation": mode},
       {"mounts|/|propagation": flags})
      for mode, flags in [("private", []), ("shared", has("shared")), ("unbindable", has("unbindable")),
                          ("rprivate", [])]),
)

test_refused = refused(
    ("config.md#root", "a root that is missing", {"root.path": "none"}),
    ("config.md#root", "no root", {"root": DELETE}),
    ("config.md#root", "a root that is a file", {"root.path": "rootfs/etc/passwd"}),
    ("config.md#mounts", "a source that is missing", {"mounts+": [bind("/none/such", "/m")]}, "/none/such"),
    ("config.md#mounts", "an unknown file system", {"mounts+": [mount("/m", "nosuchfs", "x")]}),
    ("config.md#mounts", "an option that the file system refuses", tmpfs("nosuchoption=1")),
    ("config.md#mounts", "no destination", {"mounts+": [{"type": "tmpfs", "source": "tmpfs"}]}),
    ("config.md#linux-mount-options", "an unknown option on a bind mount",
     {"mounts+": [bind("/etc", "/m", "nosuchoption")]}),
    ("security: CVE-2015-3631", "a bind mount over /proc", {"mounts+": [bind("/tmp", "/proc")]}),
    ("security: CVE-2015-3631", "a bind mount below /proc", {"mounts+": [bind("/tmp", "/proc/self/attr")]}),
    ("security: CVE-2015-3631", "a bind mount over /proc by another name",
     {"mounts+": [bind("/tmp", "/x/../proc")]}),
    ("config-linux.md#rootfs-mount-propagation", "an unknown mode", {"linux.rootfsPropagation": "none"}),
)


@pytest.mark.spec("config.md#root")
def test_absolute_root(oci):
    bundle = oci.bundle()
    os.rename(bundle.root, "/tmp/w/elsewhere")
    oci.expect({"root.path": "/tmp/w/elsewhere"}, {"stat:/bin/sh": works}, bundle=bundle)


@pytest.mark.spec("config.md#mounts")
def test_destination_stays_in_the_root(oci):
    """A link in the root cannot lead a mount out of it."""
    os.mkdir("/tmp/w/outside")
    bundle = oci.bundle()
    os.symlink("/tmp/w/outside", os.path.join(bundle.root, "link"))
    os.symlink("../../../../../etc", os.path.join(bundle.root, "up"))
    bundle.configure(tmpfs(to="/link/m"))
    done = oci.runtime.run(bundle, oci.name())
    assert os.listdir("/tmp/w/outside") == []
    assert done or done.err.strip()
    oci.expect(tmpfs(to="/up/m"), {"mounts|/etc/m|kind": "tmpfs"}, bundle=bundle)


@pytest.fixture
def shared_tree(world):
    """/tmp/w/tree: a shared mount of the host, with another one below."""
    os.mkdir("/tmp/w/tree")
    kernel.mount("tree", "/tmp/w/tree", "tmpfs")
    os.mkdir("/tmp/w/tree/sub")
    kernel.mount("sub", "/tmp/w/tree/sub", "tmpfs")
    kernel.mount(None, "/tmp/w/tree", None, MS_SHARED | kernel.MS_REC)
    world.keep_mount("/tmp/w/tree")
    return "/tmp/w/tree"


@pytest.mark.parametrize("mode, top, below", [
    pytest.param(mode, top, below, id=mode, marks=pytest.mark.spec("config.md#linux-mount-options"))
    for mode, top, below in [
        ("shared", ["shared"], None), ("slave", ["master"], None), ("private", [], None),
        ("unbindable", ["unbindable"], None), ("rshared", ["shared"], ["shared"]),
        ("rslave", ["master"], ["master"]), ("rprivate", [], []),
        ("runbindable", ["unbindable"], ["unbindable"])]])
def test_propagation(oci, shared_tree, mode, top, below):
    patch = {"mounts+": [mount("/m", "bind", shared_tree, "rbind", mode)]}
    if "shared" in mode or "slave" in mode:
        patch["linux.rootfsPropagation"] = mode
    seen = oci.see(patch)
    assert seen["mounts"]["/m"]["propagation"] == top
    if below is not None:
        assert seen["mounts"]["/m/sub"]["propagation"] == below


@pytest.mark.spec("config.md#linux-mount-options")
def test_a_slave_receives_the_hosts_mounts(oci, shared_tree):
    with oci.running({"mounts+": [mount("/m", "bind", shared_tree, "rbind", "rslave")],
                      "linux.rootfsPropagation": "rslave"}) as name:
        os.mkdir("/tmp/w/tree/late")
        kernel.mount("late", "/tmp/w/tree/late", "tmpfs")
        assert "/m/late" in oci.exec_see(name)["mounts"]
    kernel.umount("/tmp/w/tree/late")


@pytest.mark.spec("config.md#posix-platform-mounts")
@pytest.mark.parametrize("options, below", [(["bind", "idmap"], None), (["rbind", "ridmap"], 100000)],
                         ids=["idmap", "ridmap"])
def test_id_mapped_mount(oci, shared_tree, options, below):
    """uidMappings shift the owners of what is seen through the mount, and with ridmap of the tree."""
    open("/tmp/w/tree/file", "w").close()
    open("/tmp/w/tree/sub/file", "w").close()
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    entry = {**mount("/m", "bind", "/tmp/w/tree", *options), "uidMappings": mapping, "gidMappings": mapping}
    shifted = {"uid": 100000, "gid": 100000}
    oci.expect({"mounts+": [entry]},
               {"stat:/m/file": shifted, **({"stat:/m/sub/file": shifted} if below else {})})


@pytest.mark.spec("config.md#mounts")
def test_cgroup_mount(oci):
    patch = {"mounts": DEFAULT["mounts"] + [mount("/sys/fs/cgroup", "cgroup", "cgroup", "ro", "nosuid", "nodev")],
             "linux.namespaces": DEFAULT["linux"]["namespaces"] + [{"type": "cgroup"}]}
    mounts = [m for point, m in oci.see(patch)["mounts"].items() if point.startswith("/sys/fs/cgroup")]
    groups = [m for m in mounts if m["kind"] in ("cgroup", "cgroup2")]
    assert groups and all("ro" in m["options"] and m["root"] == "/" for m in groups)


@pytest.mark.spec("security: CVE-2025-31133")
def test_mask_is_not_the_containers_null(oci):
    bundle = oci.bundle()
    os.symlink("/etc/passwd", os.path.join(bundle.root, "dev/null"))
    os.mkdir(os.path.join(bundle.root, "dev/pts"))
    without_dev = [m for m in DEFAULT["mounts"] if not m["destination"].startswith("/dev")]
    bundle.configure({"mounts": without_dev, "linux.maskedPaths": ["/etc/group"],
                      "process.args": ["cat", "/etc/group"]})
    with open(os.path.join(bundle.root, "etc/group"), "w") as f:
        f.write("masked")
    done = oci.runtime.run(bundle, oci.name())
    assert "root:x" not in done.out and "masked" not in done.out


@pytest.mark.spec("security: CVE-2026-41579")
@pytest.mark.parametrize("name", ["dev", "proc", "sys"])
def test_special_folder_that_is_a_link(oci, name):
    """What the runtime makes in /dev, /proc and /sys never lands where a link of the root points."""
    bundle = oci.bundle()
    os.rmdir(os.path.join(bundle.root, name))
    os.mkdir("/tmp/w/outside")
    os.symlink("/tmp/w/outside", os.path.join(bundle.root, name))
    done = oci.runtime.run(bundle, oci.name())
    assert os.listdir("/tmp/w/outside") == []
    assert done or done.err.strip()
