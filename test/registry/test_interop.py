# SPDX-License-Identifier: Apache-2.0
"""Every client with every registry, both ways: what one writes the other reads, and the digests are equal.

docker's own turn is test/engines, because of its daemon; archives and layouts without a registry are test/image."""
import contextlib
import json
import os
import subprocess

import pytest
from peers import Peer, program, run, wait_for
from test_client import check_store, login, make_image
from tokens import TokenServer

PORT = 15031
HOST = f"127.0.0.1:{PORT}"
WHARF = os.path.join(os.path.dirname(program("")), "..", "cmd/wharf/wharf")


@contextlib.contextmanager
def wharf_serves(auth=False, tls=False):
    """Our registry with docker-registry's key, certificate and users."""
    more = ["--cert", "ca.pem", "--key", "key.pem"] if tls else []
    with open("passwords", "w") as f:
        f.write(run("htpasswd", "-Bbn", "u", "p").stdout)
    if tls:
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            "key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=r", "-addext", "subjectAltName=IP:127.0.0.1")
    more += ["--users", "passwords"] if auth else []
    p = subprocess.Popen([WHARF, "registry", "serve", "--addr", HOST, "--root", "served", *more],
                         stdout=subprocess.DEVNULL)
    try:
        wait_for(PORT)
        yield
    finally:
        p.terminate()
        p.wait(10)


@contextlib.contextmanager
def docker_serves(**options):
    peer = Peer(PORT, **options)
    try:
        yield
    finally:
        peer.stop()


@contextlib.contextmanager
def docker_serves_tokens():
    tokens = TokenServer(PORT + 1, "RS256")
    try:
        with docker_serves(tokens=tokens):
            yield
    finally:
        tokens.stop()


REGISTRIES = {
    "docker-registry": lambda: docker_serves(),
    "docker-registry-auth-tls": lambda: docker_serves(auth=True, tls=True),
    "docker-registry-tokens": docker_serves_tokens,
    "wharf": lambda: wharf_serves(),
    "wharf-auth-tls": lambda: wharf_serves(auth=True, tls=True),
}


class Client:
    """A tool with a store of its own. `flags`: how it comes to trust the registry, and its login."""

    def stop(self):
        pass

    def __init__(self):
        self.flags = ["--creds", "u:p"]
        if os.path.exists("ca.pem"):
            os.makedirs("certs", exist_ok=True)
            run("cp", "ca.pem", "certs/ca.crt")
            self.flags += ["--cert-dir", "certs"]
        else:
            self.flags += ["--tls-verify=false"]


class Skopeo(Client):
    def side(self, which):
        return [f.replace("--", f"--{which}-", 1) if f.startswith("--") else f for f in self.flags]

    def read(self, name):
        run("skopeo", "copy", "--preserve-digests", *self.side("src"), f"docker://{name}", "oci:layout:x")
        with open("layout/index.json") as f:
            return json.load(f)["manifests"][0]["digest"]

    def write(self, name):
        run("skopeo", "copy", "--preserve-digests", "--digestfile", "digest", *self.side("dest"), "oci:layout:x", f"docker://{name}")


class Umoci(Skopeo):
    """umoci knows no registry: skopeo carries the layout that it changes."""

    def write(self, name):
        run("umoci", "config", "--image", "layout:x", "--config.user", "7")
        super().write(name)


class Containers(Client):
    """podman and buildah: one library, two programs."""
    more = ()

    def __call__(self, *args):
        return run(self.tool, "--root", "/tmp/w/c", "--runroot", "/tmp/w/cr", "--storage-driver", "vfs",
                   *self.more, *args).stdout

    def read(self, name):
        self("pull", "-q", *self.flags, name)
        self.name = name
        return json.loads(self("images", "--json" if self.tool == "buildah" else "--format=json"))[0][self.key]

    def write(self, name):
        self("tag", self.name, name)
        self("push", "-q", "--digestfile", "digest", *self.flags, name)


class Podman(Containers):
    tool, key = "podman", "Digest"
    more = ("--tmpdir", "/tmp/w/ct", "--events-backend", "none")

    def stop(self):
        os.unlink("/dev/shm/libpod_lock")


class Buildah(Containers):
    tool, key = "buildah", "digest"


@pytest.mark.limit(60)
@pytest.mark.parametrize("registry", REGISTRIES)
@pytest.mark.parametrize("client", [Skopeo, Umoci, Podman, Buildah])
def test_both_ways(world, registry, client):
    ours, theirs = f"{HOST}/team/ours:1", f"{HOST}/team/theirs:1"
    with REGISTRIES[registry]():
        make_image(ours)
        login(HOST)
        env = {"CA": "ca.pem"} if os.path.exists("ca.pem") else {}
        run(program("image-push"), "a", ours, env=env)
        with open("a/index.json") as f:
            written = json.load(f)["manifests"][0]["digest"]
        tool = client()
        assert tool.read(ours) == written
        tool.write(theirs)
        with open("digest") as f:
            digest = f.read().strip()
        assert run(program("image-pull"), "b", theirs, env=env).stdout.split()[1] == digest
        tool.stop()
        check_store("b")
