# SPDX-License-Identifier: Apache-2.0
"""OCI bundles for tests: a small root out of Debian's busybox-static, and a config.json by patches.

    b = Bundle("b", {"process.args": ["sh", "-c", "exit 7"],   # replaces a field
                     "mounts+": [tmpfs],                       # appends to a list
                     "linux.seccomp": DELETE})                 # removes a field
"""
import copy
import json
import os
import shutil

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUSYBOX = "/bin/busybox"
PROBE = os.path.join(TOP, "build", "test", "oci", "oci-probe")
APPLETS = ("sh cat echo env false grep head id kill ln ls mkdir mknod mount mv ps pwd readlink rm sleep "
           "stat stty test touch tr true tty umount uname wc").split()
DELETE = object()

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL",
                "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID",
                "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT"]


def mount(destination, kind, source, *options):
    return {"destination": destination, "type": kind, "source": source, "options": list(options)}


def bind(source, destination, *options):
    return mount(destination, "bind", source, "bind", *options)


# what engines ask for: runtime-spec config-linux.md, default file systems, and runc's `spec`
DEFAULT = {
    "ociVersion": "1.0.2",
    "process": {
        "user": {"uid": 0, "gid": 0},
        "args": ["/probe"],
        "env": ["PATH=/bin", "HOME=/root"],
        "cwd": "/",
        "capabilities": {name: CAPABILITIES for name in ("bounding", "effective", "permitted")},
        "rlimits": [{"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 1024}],
        "noNewPrivileges": True,
    },
    "root": {"path": "rootfs"},
    "hostname": "inside",
    "mounts": [
        mount("/proc", "proc", "proc"),
        mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
        mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666",
              "mode=0620", "gid=5"),
        mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
        mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
        mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
    ],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
        "maskedPaths": ["/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                        "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
                        "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    },
}


def patched(config, patch):
    """A copy of a configuration with the fields of `patch`, whose keys are dotted paths, replaced."""
    config = copy.deepcopy(config)
    for path, value in patch.items():
        *folders, last = path.split(".")
        node = config
        for name in folders:
            node = node.setdefault(name, {})
        if value is DELETE:
            node.pop(last, None)
        elif last.endswith("+"):
            node.setdefault(last[:-1], []).extend(copy.deepcopy(value))
        else:
            node[last] = copy.deepcopy(value)
    return config


def make_root(path):
    """A root file system with busybox, its common names, and the probe."""
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "home/user"):
        os.makedirs(os.path.join(path, name))
    shutil.copy(BUSYBOX, os.path.join(path, "bin/busybox"))
    for applet in APPLETS:
        os.symlink("busybox", os.path.join(path, "bin", applet))
    if os.path.exists(PROBE):
        shutil.copy(PROBE, os.path.join(path, "probe"))
    with open(os.path.join(path, "etc/passwd"), "w") as f:
        f.write("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home/user:/bin/sh\n")


class Bundle:
    """A directory with config.json and rootfs/, below the current directory or at an absolute path."""

    def __init__(self, path, patch=None):
        self.path = os.path.abspath(path)
        self.root = os.path.join(self.path, "rootfs")
        os.makedirs(self.path)
        make_root(self.root)
        self.configure(patch or {})

    def configure(self, patch):
        self.config = patched(DEFAULT, patch)
        self.write(json.dumps(self.config))

    def write(self, text):
        """Any text as config.json: for what must be refused."""
        with open(os.path.join(self.path, "config.json"), "w") as f:
            f.write(text)
