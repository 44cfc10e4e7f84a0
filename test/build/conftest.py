# SPDX-License-Identifier: Apache-2.0
"""A wharf with a busybox image, and a builder of contexts given as dictionaries."""
import os
import shutil
import subprocess

import pytest

from wharf.conftest import Wharf, busybox_tar


class Builder(Wharf):
    """Builds contexts; looks into what came out by running it."""

    def context(self, files):
        shutil.rmtree("ctx", ignore_errors=True)
        os.makedirs("ctx")
        for name, content in files.items():
            path = os.path.join("ctx", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if content is None:
                os.makedirs(path, exist_ok=True)
            elif isinstance(content, tuple):
                os.symlink(content[0], path)
            else:
                with open(path, "wb") as f:
                    f.write(content if isinstance(content, bytes) else content.encode())
        return "ctx"

    def build(self, dockerfile, files=None, *flags):
        """(exit code, stderr)"""
        context = self.context({"Dockerfile": dockerfile, **(files or {})})
        code, _, err = self.run("build", "-t", "t", *flags, context)
        return code, err

    def look(self, command, image="t"):
        return self.ok("run", "--rm", "--entrypoint", "/bin/sh", image, "-c", command)


@pytest.fixture
def builder(world):
    busybox_tar("bb.tar")
    w = Builder(f"{world.directory}/r")
    w.ok("import", "-c", 'CMD ["sh"]', os.path.abspath("bb.tar"), "busybox")
    yield w
    subprocess.run(["rm", "-rf", w.root, "bb.tar", "ctx"], check=True)
