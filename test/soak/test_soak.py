# SPDX-License-Identifier: Apache-2.0
"""A short run of the soak (soak.py): what it finds in ten seconds it finds in ten minutes too."""
import os
import subprocess

import pytest

from lib.bundle import TOP
from lib.daemons import wharfd_program


@pytest.mark.slow
@pytest.mark.limit(120)
def test_short_soak(world):
    wharfd_program()  # or skip
    done = subprocess.run(["/usr/bin/python3", f"{TOP}/test/soak/soak.py", "10", "4"], capture_output=True, text=True,
                          timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    subprocess.run(["rm", "-rf", "/tmp/soak"], check=True)
    assert not os.path.exists("/tmp/soak")
