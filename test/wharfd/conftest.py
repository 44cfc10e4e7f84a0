# SPDX-License-Identifier: Apache-2.0
"""wharfd as its administrator meets it."""
import os
import subprocess

import pytest

from lib.daemons import Daemon, wharfd_program
from lib.rootfs import busybox_tar

SOCKET = "unix:///tmp/w/wharfd.sock"
PLACES = ["--data-root", "/tmp/w/wroot", "--exec-root", "/tmp/w/wexec", "--pidfile", "/tmp/w/wharfd.pid"]


@pytest.fixture
def daemon(world):
    """daemon(*flags) starts one; all are stopped, and their containers removed, at the end."""
    busybox_tar("bb.tar")
    started = []

    def start(*flags, hosts=("-H", SOCKET), image=True):
        d = Daemon("wharfd", [wharfd_program(), *hosts, *PLACES, *flags])
        started.append(d)
        d.start()
        if image and not d.cli("images", "-q"):
            d.cli("import", "-c", 'CMD ["sh"]', "/tmp/w/bb.tar", "busybox")
        return d

    yield start
    for d in started[-1:]:
        if d.process.poll() is not None:
            d.start()
        d.empty()
        d.stop()
    subprocess.run(["rm", "-rf", "wroot", "wexec", "config", "wharfd.log", "bb.tar"], check=True)
    if os.path.exists("daemon.json"):
        os.unlink("daemon.json")
