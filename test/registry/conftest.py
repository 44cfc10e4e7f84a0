# SPDX-License-Identifier: Apache-2.0
"""Fixtures of test/registry; peers.py and liar.py make the registries."""
import os
import random
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "image")]

import archives  # noqa: E402
from liar import Liar  # noqa: E402
from peers import Peer  # noqa: E402


@pytest.fixture
def peer(world, request):
    p = Peer(15001, **getattr(request, "param", {}))
    yield p
    p.stop()


@pytest.fixture
def liar(world):
    made = []

    def make(**arguments):
        layer = archives.tar(archives.entry("f", data=random.Random(5).randbytes(2000000)))
        made.append(Liar(15100 + len(made), layer, **arguments))
        return made[-1]
    yield make
    for server in made:
        server.stop()
