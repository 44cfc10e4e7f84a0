# SPDX-License-Identifier: Apache-2.0
"""libchan's SPDY dialects against a SPDY and a msgpack that are not ours: npm's spdy-transport and msgpack5.

Each case is one whole conversation, which peer.c and spdy-peer.js describe; either side calls, the
other serves, over a unix socket and over TCP. Skipped, with the reason, where npm reaches no registry.
"""
import os
import pathlib
import shutil
import subprocess
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("WHARF_BUILD", HERE.parents[1] / "build")).resolve()
PACKAGES = ["spdy-transport@3.0.0", "msgpack5@6.0.2"]
PORT = "47113"

pytestmark = [pytest.mark.hostnet, pytest.mark.limit(180)]


@pytest.fixture(scope="module")
def node_path():
    """Where node finds the two packages: installed once for a build folder."""
    where = BUILD / "test" / "chan" / "npm"
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    if not (where / "node_modules" / "spdy-transport").exists():
        where.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(where),
             *PACKAGES], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            pytest.skip("npm cannot install spdy-transport: " + done.stderr.strip()[-200:])
    return str(where / "node_modules")


def ours(dialect, role, address):
    return [str(BUILD / "test" / "chan" / "chan-peer"), dialect, role, address]


def theirs(dialect, role, address):
    return ["node", str(HERE / "spdy-peer.js"), dialect, role, address]


def converse(server, client, node_path):
    """Runs both to their ends; what they printed."""
    env = dict(os.environ, NODE_PATH=node_path)
    with subprocess.Popen(server, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as serving:
        try:
            said = serving.stdout.readline()
            assert said.startswith("listening"), said + serving.stdout.read()
            called = subprocess.run(client, env=env, capture_output=True, text=True, timeout=60,
                                    check=False)
            said += serving.communicate(timeout=30)[0]
        finally:
            serving.kill()
    assert called.returncode == 0, called.stderr + said
    assert serving.returncode == 0, said
    return called.stdout, said


@pytest.mark.parametrize("transport", ["unix", "tcp"])
@pytest.mark.parametrize("dialect", ["2015", "0.1"])
@pytest.mark.parametrize("caller", ["ours", "theirs"])
def test_conversation(dialect, caller, transport, node_path):
    """Nested channels and byte streams both ways, 100,000 bytes, 1,000 unread, orderly ends."""
    address = f"unix:{tempfile.mkdtemp()}/s" if transport == "unix" else f"tcp:127.0.0.1:{PORT}"
    if caller == "ours":
        called, served = converse(theirs(dialect, "serve", address), ours(dialect, "call", address),
                                  node_path)
    else:
        called, served = converse(ours("auto", "serve", address), theirs(dialect, "call", address),
                                  node_path)
    assert "all calls answered" in called
    assert "channel ended after 1000 messages" in served
