# SPDX-License-Identifier: Apache-2.0
"""Cgroup layouts: what this machine has, and the views of it that a test can run in.

A machine is `v1`, `v2` or `hybrid` (v1 hierarchies, and a cgroup2 tree beside them). In a private mount
namespace a hybrid one can be shown as a pure one: `enter_view`. Everything here works by the host's own
paths below /sys/fs/cgroup.
"""
import os
import time

from lib import kernel

ROOT = "/sys/fs/cgroup"
UNIFIED = ROOT + "/unified"
VIEWS = ("hybrid", "v1", "v2")


def layout():
    kinds = {point: kind for _, point, kind in kernel.mounts() if point.startswith(ROOT)}
    if kinds.get(ROOT) == "cgroup2":
        return "v2"
    return "hybrid" if kinds.get(UNIFIED) == "cgroup2" else "v1"


def view_missing(view):
    """Why this machine cannot show a view, or None."""
    have = layout()
    if have in ("hybrid", view):
        return None
    return f"this machine has cgroup {have} only, the test wants the {view} view"


def enter_view(view):
    """Call in a private mount namespace of a machine for which view_missing says None."""
    if view == layout() or view == "hybrid":
        return
    if view == "v1":
        kernel.umount(UNIFIED)
        return
    for _, point, _ in reversed(kernel.mounts()):
        if point == ROOT or point.startswith(ROOT + "/"):
            kernel.umount(point)
    kernel.mount("none", ROOT, "cgroup2")


def hierarchies():
    """The mount points of all hierarchies in sight."""
    return [point for _, point, kind in kernel.mounts() if kind in ("cgroup", "cgroup2")]


def directories():
    """Every cgroup but the roots, in all hierarchies in sight; parents come first."""
    def below(folder):
        try:
            with os.scandir(folder) as entries:
                names = [e.path for e in entries if e.is_dir(follow_symlinks=False)]
        except OSError:  # somebody else's, gone meanwhile
            return
        for name in names:
            yield name
            yield from below(name)
    for root in hierarchies():
        yield from below(root)


def write(path, text):
    try:
        with open(path, "w") as f:
            f.write(text)
        return True
    except OSError:
        return False


def thaw(pid):
    """A task in a frozen v1 cgroup ignores SIGKILL until it is thawed."""
    try:
        with open(f"/proc/{pid}/cgroup") as f:
            lines = f.read().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if path == "/":
            continue
        if controllers == "freezer":
            while path != "/":  # a frozen parent freezes as well
                write(f"{ROOT}/freezer{path}/freezer.state", "THAWED")
                path = os.path.dirname(path)
        elif controllers == "":
            for root in (UNIFIED, ROOT):
                write(f"{root}{path}/cgroup.freeze", "0")


def remove(folders):
    """Removes cgroups without processes, children first; waits a moment for the dying."""
    for folder in sorted(folders, key=len, reverse=True):
        for _ in range(50):
            try:
                os.rmdir(folder)
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.01)
