# SPDX-License-Identifier: Apache-2.0
"""wharf in the test's world, whose network namespace is the host; a neighbour of that host; sockets anywhere."""
import contextlib
import os
import socket
import subprocess
import threading

import pytest

from lib import kernel
from wharf.conftest import base_tar, wharf  # noqa: F401

HOST, NEIGHBOUR = "192.0.2.1", "192.0.2.2"
HOST6, NEIGHBOUR6 = "2001:db8::1", "2001:db8::2"


@contextlib.contextmanager
def inside(namespace):
    """What is made here belongs to the network namespace (a path)."""
    home, there = os.open("/proc/self/ns/net", os.O_RDONLY), os.open(namespace, os.O_RDONLY)
    try:
        kernel.setns(there, kernel.CLONE_NEWNET)
        yield
    finally:
        kernel.setns(home, kernel.CLONE_NEWNET)
        os.close(home)
        os.close(there)


class Place:
    """A network namespace, and sockets in it."""

    def __init__(self, path):
        self.path = path
        self.servers = []

    def open(self, kind=socket.SOCK_STREAM, family=socket.AF_INET):
        with inside(self.path):
            s = socket.socket(family, kind)
        s.settimeout(3)
        return s

    def serve(self, port, text, kind=socket.SOCK_STREAM, family=socket.AF_INET, address=""):
        """Answers everybody with the text and who they are, until the test ends."""
        s = self.open(kind, family)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((address, port))
        s.settimeout(None)
        if kind == socket.SOCK_STREAM:
            s.listen(16)
        threading.Thread(target=self._serve, args=(s, text, kind), daemon=True).start()
        self.servers.append(s)

    @staticmethod
    def _serve(s, text, kind):
        while True:
            try:
                if kind == socket.SOCK_STREAM:
                    connection, peer = s.accept()
                    with connection:
                        connection.sendall(f"{text} {peer[0]}".encode())
                else:
                    _, peer = s.recvfrom(2048)
                    if not peer:
                        return
                    s.sendto(f"{text} {peer[0]}".encode(), peer)
            except OSError:
                return

    def ask(self, address, port, kind=socket.SOCK_STREAM, timeout=3):
        """(text, who we are to the server); None when nobody answers in time or it is refused."""
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with self.open(kind, family) as s:
            s.settimeout(timeout)
            try:
                s.connect((address, port))
                if kind == socket.SOCK_DGRAM:
                    s.send(b"?")
                return tuple(s.recv(2048).decode().split()) or None
            except OSError:
                return None

    def close(self):
        for s in self.servers:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


@pytest.fixture(autouse=True)
def tidy(wharf):  # noqa: F811
    yield
    ids = wharf.ok("ps", "-aq").split()
    if ids:
        wharf.ok("rm", "-f", *ids, timeout=60)
    wharf.ok("network", "prune", "-f")


@pytest.fixture
def places():
    made = []

    def place(path):
        made.append(Place(path))
        return made[-1]

    yield place
    for one in made:
        one.close()


@pytest.fixture
def host(places):
    return places("/proc/self/ns/net")


@pytest.fixture
def container(wharf, places):
    """container(name, flags...): a running one, as a place."""
    def start(name, *flags):
        wharf.ok("run", "-d", "--name", name, *flags, "busybox", "sleep", "1000")
        return places(f"/proc/{wharf.field(name, 'State.Pid')}/ns/net")
    return start


@pytest.fixture
def neighbour(world, places):
    """Another machine on the host's network, which knows no way to containers but the host."""
    child = subprocess.Popen(["unshare", "--net", "sleep", "1000"])
    path = f"/proc/{child.pid}/ns/net"
    while os.readlink(path) == os.readlink("/proc/self/ns/net"):
        pass
    ip = ["ip", "link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", str(child.pid)]
    subprocess.run(ip, check=True)
    for own, address, address6 in (True, HOST, HOST6), (False, NEIGHBOUR, NEIGHBOUR6):
        enter = [] if own else ["nsenter", f"--net={path}"]
        for command in (f"addr add {address}/24 dev up0", f"-6 addr add {address6}/64 dev up0 nodad",
                        "link set up0 up", "link set lo up"):
            subprocess.run([*enter, "ip", *command.split()], check=True)
    subprocess.run(["nsenter", f"--net={path}", "ip", "route", "add", "default", "via", HOST], check=True)
    subprocess.run(["nsenter", f"--net={path}", "ip", "-6", "route", "add", "default", "via", HOST6], check=True)
    yield places(path)
    child.kill()
    child.wait()
    subprocess.run(["ip", "link", "del", "up0"], stderr=subprocess.DEVNULL)
