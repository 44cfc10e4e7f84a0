# SPDX-License-Identifier: Apache-2.0
"""OCI runtimes under test, for test/oci and test/security: which they are, and what a test does with one.

A folder's conftest.py imports `oci`, `world` and `pytest_generate_tests` from here; its tests then take
`oci`, once for each runtime that --runtime names.
"""
import contextlib
import os

import pytest

from lib import cgroups, seen
from lib.bundle import PROBE, TOP, Bundle
from lib.runtime import Runtime
from lib.world import World

OURS = os.path.join(TOP, "build", "bin", "wharf-oci")


def runtimes(config):
    for argument in config.getoption("runtime") or [OURS]:
        path, _, view = argument.partition(":")
        yield Runtime(os.path.abspath(path), view or None)


def pytest_generate_tests(metafunc):
    if "runtime" in metafunc.fixturenames:
        found = list(runtimes(metafunc.config))
        metafunc.parametrize("runtime", found, ids=[r.name for r in found], scope="session")


class Oci:
    """A runtime in the world of one test."""

    def __init__(self, runtime, world):
        self.runtime, self.world = runtime, world
        self._count = 0

    def name(self):
        """A container id of its own."""
        self._count += 1
        return self.world.name(f"-{self._count}")

    def bundle(self, patch=None):
        self._count += 1
        return Bundle(f"b{self._count}", patch)

    def run(self, patch=None, *flags, **popen):
        return self.runtime.run(self.bundle(patch), self.name(), *flags, **popen)

    def see(self, patch=None, *actions, flags=(), bundle=None, **popen):
        """What the probe says in a container of this configuration."""
        bundle = bundle or self.bundle()
        bundle.configure({**(patch or {}), "process.args": ["/probe", *actions]})
        done = self.runtime.run(bundle, self.name(), *flags, **popen)
        assert done.code == 0, f"exit status {done.code}: {done.err.strip()}"
        return seen.seen(done.out)

    def expect(self, patch, expect, **options):
        """Runs the probe, with the actions that `expect` names, and compares."""
        world = self.see(patch, *filter(seen.is_action, expect), **options)
        found = seen.differences(world, expect)
        assert not found, "\n".join(found)
        return world

    def refuses(self, patch=None, bundle=None, naming=None):
        """`create` fails, says why (with `naming` in it), and leaves no container."""
        name = self.name()
        done = self.runtime.create(bundle or self.bundle(patch), name)
        try:
            assert done.code != 0, "create succeeded"
            assert done.err.strip(), "no error message"
            assert self.runtime.state(name) is None, "the container exists"
            if naming:
                assert naming in done.err, f"the error does not name '{naming}': {done.err.strip()}"
        finally:
            self.runtime.call("delete", "--force", name)

    @contextlib.contextmanager
    def created(self, patch=None, *flags, bundle=None, start=False, **popen):
        """The name of a container that exists inside the block."""
        name = self.name()
        try:
            done = self.runtime.create(bundle or self.bundle(patch), name, *flags, **popen)
            assert done, f"create: {done.err.strip()}"
            if start:
                done = self.runtime.call("start", name)
                assert done, f"start: {done.err.strip()}"
            yield name
        finally:
            self.runtime.call("delete", "--force", name)

    def running(self, patch=None, *flags, **options):
        """The same, started; by default it sleeps."""
        return self.created({"process.args": ["sleep", "1000"], **(patch or {})}, *flags, start=True,
                            **options)

    def exec(self, name, *command):
        return self.runtime.call("exec", name, *command)

    def exec_see(self, name, *actions, flags=()):
        """What the probe says when it is executed in a running container."""
        done = self.runtime.call("exec", *flags, name, "/probe", *actions)
        assert done.code == 0, f"exec: exit status {done.code}: {done.err.strip()}"
        return seen.seen(done.out)


@pytest.fixture
def world(request):
    """As for every test, but in the only cgroup view that a runtime can live in, if it has one."""
    runtime = request.getfixturevalue("runtime") if "runtime" in request.fixturenames else None
    wanted = getattr(getattr(request.node, "callspec", None), "params", {}).get("view")
    view = wanted or getattr(runtime, "view", None) or "hybrid"
    if wanted and runtime.view and wanted != runtime.view:
        pytest.skip(f"{runtime} is tested in the {runtime.view} view only")
    if view != "hybrid" and cgroups.view_missing(view):
        pytest.skip(cgroups.view_missing(view))
    marker = request.node.get_closest_marker("limit")
    with World(view=view, limit=marker.args[0] if marker else 30) as w:
        yield w


@pytest.fixture
def oci(runtime, world):
    if not os.access(runtime.path, os.X_OK):
        pytest.skip(f"{runtime.name} is not built")
    if not os.path.exists(PROBE):
        pytest.skip("the probe is not built (script/build)")
    return Oci(runtime, world)
