# SPDX-License-Identifier: Apache-2.0
"""The system calls that Python 3.11 does not have, and what they are needed for here."""
import ctypes
import errno
import os
import time

_libc = ctypes.CDLL(None, use_errno=True)

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_NOSUID, MS_NODEV, MS_BIND, MS_REC, MS_PRIVATE = 0x2, 0x4, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
PR_SET_CHILD_SUBREAPER = 36


def _checked(result, what):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags):
    _checked(_libc.unshare(flags), "unshare")


def setns(fd, kind):
    """Only a single thread may enter a mount namespace (EINVAL): a test's server may still be ending its own."""
    for _ in range(100):
        if _libc.setns(fd, kind) == 0:
            return
        if ctypes.get_errno() != errno.EINVAL:
            break
        time.sleep(0.05)
    _checked(-1, "setns")


def mount(source, target, kind=None, flags=0, data=None):
    def text(s):
        return s.encode() if s is not None else None
    _checked(_libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data)),
             f"mount {kind or source} on {target}")


def umount(target, flags=0):
    _checked(_libc.umount2(target.encode(), flags), f"umount {target}")


def become_subreaper():
    _checked(_libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl(PR_SET_CHILD_SUBREAPER)")


def mounts(pid="self"):
    """[(mount id, mount point, file system type)] of a process's mount namespace."""
    table = []
    with open(f"/proc/{pid}/mountinfo") as f:
        for line in f:
            before, after = line.split(" - ", 1)
            fields = before.split()
            table.append((int(fields[0]), fields[4], after.split()[0]))
    return table


def links():
    """The names of the network interfaces of this network namespace."""
    with open("/proc/self/net/dev") as f:
        return {line.split(":")[0].strip() for line in list(f)[2:]}


def descriptors():
    """{number: what it is} of this process."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # that of the listing itself
            pass
    return found
