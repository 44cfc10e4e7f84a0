# SPDX-License-Identifier: Apache-2.0
"""A store as the tests use it: through the example programs."""
import os
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("WHARF_BUILD", os.path.join(TOP, "build")) + "/libimage/"


class Store:
    """A store in a temporary directory, used through the examples."""

    def __init__(self, path):
        self.path = str(path)

    def run(self, program, *args, check=True, **more):
        done = subprocess.run([BIN + program, self.path, *map(str, args)], text=True,
                              capture_output=True, timeout=60, **more)
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def load(self, *args, **more):
        return self.run("image-load", *args, **more)

    def images(self):
        return [line.split() for line in self.run("image-list").stdout.splitlines()]

    def refuses(self, path, words):
        done = self.load(path, check=False)
        assert done.returncode == 1 and words in done.stderr, (done.returncode, done.stderr)

    def leftovers(self):
        """Everything in the store that is no frame."""
        frame = {"oci-layout", "index.json", "layers/lease", "layers/index", "layers/unpack", "layers/pending"}
        found = []
        for folder, folders, files in os.walk(self.path):
            found += [os.path.relpath(os.path.join(folder, f), self.path) for f in files]
        return sorted(set(found) - frame) + os.listdir(self.path + "/layers/tmp")

    def tree(self):
        """The tree of the only layer."""
        layers = os.listdir(self.path + "/layers/sha256")
        assert len(layers) == 1
        return f"{self.path}/layers/sha256/{layers[0]}/fs"


def write(path, data):
    path.write_bytes(data)
    return path
