# SPDX-License-Identifier: Apache-2.0
"""Faults on the way to a registry: what a proxy cuts in the middle of pushes and pulls. (A registry that lies is in
test_client.py, hostile archives are in test/image.)"""
import contextlib
import random
import socket
import threading

import pytest
from peers import Peer, program, run
from test_client import SIZES, check_store, make_image
from test_interop import wharf_serves

PROXY, SERVER = 15030, 15031
NAME = f"127.0.0.1:{PROXY}/team/app:v1"


class Cutter:
    """A TCP proxy that ends `cuts` connections once they carried a random part of `most` bytes in one direction."""

    def __init__(self, cuts, seed, to_server, most=1000000):
        self.cuts, self.dice, self.to_server, self.most, self.carried = cuts, random.Random(seed), to_server, most, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", PROXY))
        self.threads = [threading.Thread(target=self.accept)]
        self.threads[0].start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(("127.0.0.1", SERVER))
                for pair in ((client, server, self.to_server), (server, client, not self.to_server)):
                    self.threads.append(threading.Thread(target=self.carry, args=pair))
                    self.threads[-1].start()

    def carry(self, source, target, counted):
        limit, seen = self.dice.randrange(self.most // 16, self.most), 0
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                target.sendall(data)
                seen += len(data)
                with self.lock:
                    self.carried += len(data) * counted
                    cut = counted and seen > limit and self.cuts > 0
                    self.cuts -= cut
                if cut:
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join(5)


@contextlib.contextmanager
def cutter(*args):
    proxy = Cutter(*args)
    try:
        yield proxy
    finally:
        proxy.stop()


@contextlib.contextmanager
def docker_serves():
    peer = Peer(SERVER)
    try:
        yield
    finally:
        peer.stop()


@pytest.mark.limit(60)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("registry", [docker_serves, wharf_serves], ids=["docker-registry", "wharf"])
def test_a_cut_push_goes_on(world, registry, seed):
    """The bytes that arrived before a cut do not travel again, unless the registry is docker-registry: it refuses a
    session whose length is not that of its last answer."""
    make_image(NAME)
    with registry():
        with cutter(3, seed, True) as proxy:
            run(program("image-push"), "a", NAME)
            assert proxy.cuts == 0
            if registry is wharf_serves:  # what is in buffers at a cut is lost
                assert proxy.carried < sum(SIZES) + 500000 + 3 * 300000
        with cutter(3, seed, False) as proxy:
            run(program("image-pull"), "b", NAME)
            assert proxy.cuts == 0 and proxy.carried < sum(SIZES) + 500000
    check_store("b")


def test_a_push_that_is_always_cut_ends(world):
    make_image(NAME)
    with wharf_serves(), cutter(1000, 1, True, 40000):
        r = run(program("image-push"), "a", NAME, check=False)
        assert r.returncode == 1 and NAME in r.stderr
