# SPDX-License-Identifier: Apache-2.0
"""Docker daemons as tests drive them: a process, its socket, and the docker CLI in front of it."""
import os
import subprocess

import pytest

from lib import bundle, engines
from lib.engines import Engine


def built(name):
    """The program of that name, as installed or as built."""
    for path in (f"build/bin/{name}", f"build/cmd/{name}/{name}"):
        path = os.environ.get(name.upper(), os.path.join(bundle.TOP, path))
        if os.path.exists(path):
            return path
    pytest.skip(f"{name} is not built")


def wharfd_program():
    return built("wharfd")


def swarmd_program():
    return built("swarmd")


class Daemon:
    """A daemon of ours, its socket, and the docker CLI on it."""

    def __init__(self, name, command):
        self.name, self.socket, self.command = name, f"unix:///tmp/w/{name}.sock", command
        self.cli = Engine("docker", "-H", self.socket, env={"DOCKER_CONFIG": "/tmp/w/config"})
        self.process = None

    def start(self):
        with open(f"{self.name}.log", "a") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        engines.wait_for(self.answers, f"{self.name} answers", 30)

    def answers(self):
        assert self.process.poll() is None, open(f"{self.name}.log").read()
        return subprocess.run([*self.cli.base, "version"], env=self.cli.env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=20)

    def run(self, *arguments, text=None, timeout=60):
        """(exit code, stdout, stderr)"""
        done = subprocess.run([*self.cli.base, *arguments], input=text, text=True, env=self.cli.env,
                              capture_output=True, timeout=timeout,
                              **({} if text is not None else {"stdin": subprocess.DEVNULL}))
        return done.returncode, done.stdout, done.stderr

    def empty(self):
        ids = self.cli("ps", "-aq").split()
        if ids:
            self.cli("rm", "-f", "-v", *ids)
