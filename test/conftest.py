# SPDX-License-Identifier: Apache-2.0
"""The frame that every integration test runs in: see lib/world.py for what a test gets and owes."""
import os
import signal
import sys

import pytest

from lib import cgroups, kernel
from lib.world import World


def pytest_addoption(parser):
    parser.addoption("--runtime", action="append", metavar="PATH[:VIEW]",
                     help="an OCI runtime for test/oci, and the only cgroup view it can live in")


def reap_until(child):
    """The parent of the harness: reaps whatever is orphaned to it, and ends as the harness ends."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda n, _: os.kill(child, n))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal tells the harness as well
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            os._exit(max(os.waitstatus_to_exitcode(status), 0) or (1 if status else 0))


def pytest_configure(config):
    if os.geteuid() != 0:
        pytest.exit("the integration tests make namespaces and cgroups: run them as root", 1)
    sys.stdout.flush()
    sys.stderr.flush()
    # a runtime that waits for its container's end polls while a zombie stands; the harness, busy
    # with a test, cannot reap orphans at once, so a process of its own does nothing else
    kernel.become_subreaper()
    child = os.fork()
    if child:
        reap_until(child)


def world_of(request):
    """The world that a test's markers and parameters ask for; skips where it cannot be had."""
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    marker = request.node.get_closest_marker("view")
    view = parameters.get("view") or (marker.args[0] if marker else "hybrid")
    if view != "hybrid" and cgroups.view_missing(view):
        pytest.skip(cgroups.view_missing(view))
    limit = request.node.get_closest_marker("limit")
    return World(view=view, network=request.node.get_closest_marker("hostnet") is None,
                 limit=limit.args[0] if limit else 30)


@pytest.fixture(autouse=True)
def world(request):
    with world_of(request) as w:
        yield w
