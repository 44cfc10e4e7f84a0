# SPDX-License-Identifier: Apache-2.0
"""Every command in the pages' blocks is run as it is written there."""
import os
import re
import subprocess

import pytest

from image.archives import docker_save
from lib.bundle import TOP
from lib.terminal import end_of, in_terminal, read_until


def blocks(page):
    with open(f"{TOP}/docs/{page}") as f:
        return re.findall(r"^```\n(.*?)^```$", f.read(), re.M | re.S)


def commands(page, program):
    """The lines of the page's blocks that begin with the program's name, without their comments."""
    return [re.sub(r"\s+# .*", "", line) for block in blocks(page) for line in block.splitlines()
            if line.startswith(program + " ")]


def run_line(wharf, line, **names):
    """One command in a shell where `wharf` is the one under test."""
    if " -it " in line:
        pid, master = in_terminal(wharf, *line.split()[1:])
        read_until(master, b"# ")
        os.write(master, b"exit\n")
        assert end_of(pid, master) == 0
        return ""
    for word, value in names.items():
        line = line.replace(word.replace("_", "/"), value)
    shell = 'wharf() { %s "$@"; }; %s' % (" ".join(wharf.prefix), line)
    done = subprocess.run(["bash", "-ec", shell], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, (line, done.stderr)
    return done.stdout


@pytest.mark.limit(60)
def test_running(wharf, base_tar):
    os.rename(base_tar, "rootfs.tar")
    with open("rootfs.tar", "rb") as base, open("saved.tar", "wb") as saved:
        saved.write(docker_save([base.read()], tags=("saved:1",)))
    lines = commands("wharf-run.md", "wharf")
    said = [run_line(wharf, line) for line in lines]
    assert len(lines) >= 8 and "Loaded image: saved:1\n" in said and "hello\n" in said
    for name in ("rootfs.tar", "saved.tar"):
        os.unlink(name)


def test_images(wharf):
    lines = commands("images.md", "skopeo")
    assert len(lines) == 2
    for line in lines:
        run_line(wharf, line.replace("skopeo", "skopeo --insecure-policy", 1), _var_lib_wharf=wharf.root)
    os.unlink("saved.tar")
