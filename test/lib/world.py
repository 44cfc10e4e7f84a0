# SPDX-License-Identifier: Apache-2.0
"""The world of one test: namespaces of its own to play in, and the check that nothing is left behind.

`World` moves the harness itself into a private mount namespace (and network namespace), with an empty
/tmp, /run and /dev/shm, and back again at the end. In between, whatever a test or its programs leave is
found and named: processes (the harness's parent is a subreaper, so every orphan becomes its child),
mounts, cgroups in every hierarchy, network interfaces, descriptors of the harness, files. What is found
is removed, so that one leak fails one test.

Cgroups are the one thing that no namespace bounds. A test gives what it makes a name that contains
`world.key`, and anything left by that name is its leak; with WHARF_TEST_ALONE=1, on a machine where
nothing else makes cgroups, any new cgroup is, but those of the machine's own services.
"""
import os
import re
import shutil
import signal
import socket
import struct
import time
import fcntl

from lib import cgroups, kernel

DIRECTORY = "/tmp/w"  # short: socket paths end at 108 bytes
SERVICES = ("/system.slice/", "/user.slice/", "/init.scope")  # systemd starts these when it likes
FILTER = re.compile(r"/\.seccomp/seccomp-\d\d$")  # compiled, kept in a runtime's root for the next container
KEY = re.compile(r"wt(\d+)x")
EPHEMERAL = ("/tmp", "/run", "/dev/shm")
GRACE_S = 3  # for what is being killed while the test ends, on a busy machine
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


class Leak(Exception):
    """The test left something; the message names it."""


def descendants():
    """{pid: name} of all living processes below the harness's parent, but the harness."""
    found, queue = {}, [os.getppid()]
    while queue:
        parent = queue.pop()
        try:
            with open(f"/proc/{parent}/task/{parent}/children") as f:
                children = [int(pid) for pid in f.read().split()]
        except OSError:
            continue
        for pid in children:
            queue.append(pid)
            try:
                with open(f"/proc/{pid}/stat") as f:
                    name, state = f.read().rsplit(")", 1)
            except OSError:
                continue
            if pid != os.getpid() and state.split()[0] not in "ZX":
                found[pid] = name.split("(", 1)[1]
    return found


def reap():
    """Collects the harness's own children that nobody waited for."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def loopback_up():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def foreign(group):
    """Is it of another harness that lives? Empty for a moment, it must not be taken from under a runtime."""
    key = KEY.search(group)
    return bool(key) and int(key[1]) != os.getpid() and os.path.exists(f"/proc/{key[1]}")


class World:
    _count = 0

    def __init__(self, view="hybrid", network=True, limit=30):
        World._count += 1
        self.key = f"wt{os.getpid()}x{World._count}"
        self.directory = DIRECTORY
        self.view = view
        self.network = network
        self.limit = limit

    def name(self, suffix=""):
        """A name that no other test uses: for containers and cgroups."""
        return f"{self.key}{suffix}"

    def __enter__(self):
        reap()
        self._descriptors = kernel.descriptors()
        self._origin = [(os.open("/proc/self/ns/mnt", os.O_RDONLY), kernel.CLONE_NEWNS)]
        if self.network:
            self._origin.append((os.open("/proc/self/ns/net", os.O_RDONLY), kernel.CLONE_NEWNET))
        self._cwd, self._umask = os.getcwd(), os.umask(0o022)
        self._groups = set(cgroups.directories())
        self._leaks = []
        kernel.unshare(sum(kind for _, kind in self._origin))
        kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
        for point in EPHEMERAL:
            kernel.mount("tmpfs", point, "tmpfs", kernel.MS_NOSUID, "mode=1777")
        cgroups.enter_view(self.view)
        if self.network:
            loopback_up()
        os.mkdir(self.directory)
        os.chdir(self.directory)
        self._mounts = {number for number, _, _ in kernel.mounts()}
        self._links = kernel.links()
        self._outer_alarm = (signal.signal(signal.SIGALRM, self._timeout),
                             signal.setitimer(signal.ITIMER_REAL, self.limit))
        return self

    def _timeout(self, *_):
        raise TimeoutError(f"the test took longer than {self.limit} s")

    def keep_mount(self, point):
        """A mount that the test made for itself, and that may end with its world."""
        self._mounts |= {n for n, p, _ in kernel.mounts() if p == point or p.startswith(point + "/")}

    def __exit__(self, kind, error, trace):
        handler, timer = self._outer_alarm
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)
        try:
            self._check_processes()
            self._check_mounts()
            self._check_links()
            self._check_files()
            self._check_descriptors()
        finally:
            for fd, namespace in self._origin:
                kernel.setns(fd, namespace)
                os.close(fd)
            os.chdir(self._cwd)
            os.umask(self._umask)
            self._check_cgroups()
        if self._leaks and kind is None:
            raise Leak("left behind: " + "; ".join(self._leaks))

    def _check_processes(self):
        reap()
        deadline = time.monotonic() + GRACE_S
        while (left := descendants()) and time.monotonic() < deadline:
            time.sleep(0.005)
        self._leaks += [f"process {pid} ({name})" for pid, name in left.items()]
        deadline = time.monotonic() + 10
        while (left := descendants()) and time.monotonic() < deadline:
            for pid in left:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                cgroups.thaw(pid)
            time.sleep(0.005)
            reap()
        reap()

    def _check_mounts(self):
        left = [(point, kind) for n, point, kind in kernel.mounts() if n not in self._mounts]
        self._leaks += [f"mount {point} ({kind})" for point, kind in left]
        for point, _ in reversed(left):
            kernel.umount(point, kernel.MNT_DETACH)

    def _check_links(self):
        """The default bridge of a root (wharf0, ..) is state of the root, and ends with this world. The kernel
        takes a container's interfaces away with its namespace, a moment later."""
        if not self.network:
            return
        deadline = time.monotonic() + GRACE_S
        while (left := [name for name in kernel.links() - self._links if not re.fullmatch(r"wharf\d+", name)]) \
                and time.monotonic() < deadline:
            time.sleep(0.01)
        self._leaks += [f"network interface {name}" for name in left]

    def _check_files(self):
        """In /tmp, /run and /dev/shm, but for the test's own directory, empty folders, and compiled filters."""
        for top in EPHEMERAL:
            for folder, names, files in os.walk(top):
                if folder == self.directory:
                    names.clear()
                    continue
                paths = [os.path.join(folder, name) for name in files]
                self._leaks += [f"file {path}" for path in paths if not FILTER.search(path)]
                self._leaks += [f"directory {os.path.join(folder, name)}" for name in names
                                if self.key in name]
        os.chdir("/")
        shutil.rmtree(self.directory, ignore_errors=True)

    def _check_cgroups(self):
        new = [d for d in cgroups.directories() if d not in self._groups]
        alone = os.environ.get("WHARF_TEST_ALONE") == "1"
        new = [d for d in new if self.key in d or alone and not any(s in d for s in SERVICES) and not foreign(d)]
        self._leaks += [f"cgroup {d.removeprefix(cgroups.ROOT)}" for d in new]
        cgroups.remove(new)

    def _check_descriptors(self):
        ours = {fd for fd, _ in self._origin} | set(self._descriptors)
        for fd, target in kernel.descriptors().items():
            if fd not in ours:
                self._leaks.append(f"descriptor {fd} of the harness ({target})")
                os.close(fd)
