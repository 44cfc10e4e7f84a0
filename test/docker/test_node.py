# SPDX-License-Identifier: Apache-2.0
"""npm's dockerode drives wharfd through a broad scenario (scenario.js)."""
import os
import shutil
import subprocess

import pytest

from lib import bundle

SAID = """wait 3 "got hello\\n" "err\\n"
inspect 3 1
logs 30
exec thru 0
stats true true
stats stream true
archive abc
top 1
run
run 0
volume 1 jsvol
network jsnet
images 1 linux true
error 404 No such container: nosuch
import js:2
df true 0 1.51 OK 0
events create attach start die destroy create start exec_create: cat exec_start: cat exec_die pause unpause rename"""


@pytest.fixture(scope="module")
def modules():
    where = os.path.join(bundle.TOP, "build/test/docker/npm")
    if not shutil.which("npm"):
        pytest.skip("npm is not installed")
    if not os.path.exists(f"{where}/done"):
        os.makedirs(where, exist_ok=True)
        try:
            done = subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", where,
                                   "dockerode@4"], capture_output=True, text=True, timeout=50)
        except subprocess.TimeoutExpired:
            pytest.skip("npm cannot install dockerode: it said nothing for 50 seconds")
        if done.returncode:
            pytest.skip("npm cannot install dockerode: " + done.stderr.strip()[-200:])
        open(f"{where}/done", "w").close()
    return f"{where}/node_modules"


@pytest.mark.limit(120)
def test_dockerode(modules, wharfd):
    done = subprocess.run(["node", os.path.join(os.path.dirname(__file__), "scenario.js"), "/tmp/w/wharfd.sock", "bb.tar"],
                          capture_output=True, text=True, timeout=50, env={**os.environ, "NODE_PATH": modules})
    assert (done.stdout.strip(), done.returncode) == (SAID, 0), done.stderr
