# SPDX-License-Identifier: Apache-2.0
"""An OCI runtime as a test drives it: the command line of runtime-spec's life cycle."""
import json
import os
import subprocess
from dataclasses import dataclass

STATE = "/run/oci"
TIMEOUT_S = 20


@dataclass
class Done:
    code: int
    out: str
    err: str

    def __bool__(self):
        return self.code == 0


class Runtime:
    """One runtime program, with its state in a directory of the test's world."""

    def __init__(self, path, view=None):
        self.path = path
        self.name = os.path.basename(path)
        self.view = view  # the only cgroup view that it can live in

    def __str__(self):
        return self.name

    def command(self, *arguments):
        return [self.path, "--root", STATE, *arguments]

    def call(self, *arguments, **popen):
        """Runs one command to its end. Output goes through files: a container may hold a pipe open."""
        with open("out", "w+b") as out, open("err", "w+b") as err:
            options = {"stdin": subprocess.DEVNULL, "timeout": TIMEOUT_S, **popen}
            code = subprocess.run(self.command(*arguments), stdout=out, stderr=err, **options).returncode
            texts = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode("utf-8", "replace"))
        return Done(code, *texts)

    def run(self, bundle, name, *flags, **popen):
        return self.call("run", "--bundle", bundle.path, *flags, name, **popen)

    def create(self, bundle, name, *flags, **popen):
        return self.call("create", "--bundle", bundle.path, *flags, name, **popen)

    def state(self, name):
        done = self.call("state", name)
        return json.loads(done.out) if done else None
