# SPDX-License-Identifier: Apache-2.0
"""One Docker endpoint over our engine and a dockerd: who is asked, and what a name that both have means."""
import os
import subprocess

import pytest

pytestmark = [pytest.mark.limit(120)]
QUIET = ("--network", "none")
LOOP = ("sh", "-c", "echo up; while :; do sleep 0.1; done")


@pytest.fixture
def both(dockerd, swarmd, archive):
    """(the aggregate, the engine alone, dockerd)"""
    engine = swarmd("engine", "engine /tmp/w/eroot")
    engine.cli("import", "-c", 'CMD ["sh"]', archive, "busybox")
    yield swarmd("both", "aggregate (docker unix:///tmp/w/engine.sock) (docker unix:///tmp/w/dockerd.sock)"), \
        engine, dockerd
    engine.empty()
    dockerd.empty()
    subprocess.run(["rm", "-rf", "eroot"], check=True)


def test_verbs_find_the_home(both):
    all_, *members = both
    homes = {}
    for name, member in zip(("ours", "theirs"), members):
        homes[name] = member.cli("run", "-d", "--name", name, *QUIET, "busybox", *LOOP)
    assert sorted(all_.cli("ps", "--format", "{{.Names}}").split()) == ["ours", "theirs"]
    for name, identity in homes.items():
        for word in (name, identity, identity[:12]):
            assert all_.cli("inspect", "-f", "{{.Id}}", word) == identity
        assert all_.cli("logs", name) == "up"
        assert all_.cli("exec", "-i", name, "cat", text=name) == name
        all_.cli("exec", name, "sh", "-c", "exit 9", code=9)
        all_.cli("stop", "-t", "0", name)
        assert all_.cli("wait", name) == "137"
        all_.cli("start", name)
        all_.cli("rm", "-f", name)
    assert [member.cli("ps", "-aq") for member in both] == ["", "", ""]
    code, _, error = all_.run("inspect", "nosuch")
    assert code == 1 and "No such object: nosuch" in error


def test_a_name_on_both_is_the_first_members(both):
    all_, ours, theirs = both
    first = ours.cli("create", "--name", "twin", *QUIET, "busybox", "true")
    second = theirs.cli("create", "--name", "twin", *QUIET, "busybox", "true")
    assert sorted(all_.cli("ps", "-aq", "--no-trunc").split()) == sorted((first, second))
    assert all_.cli("inspect", "-f", "{{.Id}}", "twin") == first
    assert all_.cli("inspect", "-f", "{{.Id}}", second) == second
    all_.cli("rm", "twin")
    assert all_.cli("inspect", "-f", "{{.Id}}", "twin") == second


def test_run_goes_where_the_image_is_then_where_fewest_are(both):
    all_, ours, theirs = both
    theirs.cli("tag", "busybox", "only:theirs")
    assert all_.cli("run", "--rm", *QUIET, "only:theirs", "echo", "there") == "there"
    made = [all_.cli("run", "-d", *QUIET, "busybox", *LOOP) for _ in range(4)]
    assert len(ours.cli("ps", "-q").split()) == len(theirs.cli("ps", "-q").split()) == 2
    all_.cli("rm", "-f", *made)


def test_a_member_that_is_gone_is_left_out(dockerd, swarmd):
    lame = swarmd("lame", "aggregate (docker unix:///tmp/w/nobody.sock) (docker unix:///tmp/w/dockerd.sock)")
    identity = lame.cli("run", "-d", "--name", "here", *QUIET, "busybox", *LOOP)
    assert lame.cli("ps", "-q", "--no-trunc") == identity
    lame.cli("rm", "-f", "here")
    assert os.path.exists("/tmp/w/dockerd.sock")
