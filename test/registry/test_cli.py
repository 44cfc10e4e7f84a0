# SPDX-License-Identifier: Apache-2.0
"""The commands for images and registries, against our registry and Debian's: wharf pull, push, login, save,
history, image ..., registry serve; texts are docker's."""
import base64
import json
import os
import pty
import re
import shutil
import signal
import subprocess

import pytest

import archives
from peers import TOP, run, wait_for

WHARF = os.environ.get("WHARF", os.path.join(TOP, "build/cmd/wharf/wharf"))
LAYERS = [archives.tar(archives.entry("bin/a", data=b"a" * 5000)),
          archives.tar(archives.entry("b", data=b"b" * 300))]
CONFIG = archives.config_of(LAYERS, created="2020-01-01T00:00:00Z", history=[
    {"created_by": "FROM scratch", "created": "2020-01-01T00:00:00Z"},
    {"created_by": "COPY b /", "created": "2020-01-01T00:00:00Z", "comment": "c"}])


def wharf(*args, root="r", check=True, text=None):
    r = subprocess.run([WHARF, "--root", os.path.abspath(root), *args], capture_output=True, text=True,
                       timeout=30, input=text, env={**os.environ, "DOCKER_CONFIG": "/tmp/w/docker"})
    assert not check or r.returncode == 0, r.stderr
    return r


def fill(*names, root="r"):
    with open("image.tar", "wb") as f:
        f.write(archives.docker_save(LAYERS, CONFIG, tags=names))
    wharf("load", "-i", "image.tar", root=root)


@pytest.fixture
def served(world):
    """`wharf registry serve` on any port."""
    p = subprocess.Popen([WHARF, "registry", "serve", "--addr", "127.0.0.1:0", "--root", "/tmp/w/served"],
                         stdout=subprocess.PIPE, text=True)
    line = p.stdout.readline()
    yield re.search(r"http://(\S+)", line)[1]
    p.send_signal(signal.SIGTERM)
    assert p.wait(10) == 0


def test_push_and_pull(served):
    name = f"{served}/team/app:v1"
    fill(name)
    out = wharf("push", name).stdout
    diffs = [archives.digest(x)[7:19] for x in LAYERS]
    assert out.startswith(f"The push refers to repository [{served}/team/app]\n")
    assert all(f"{d}: Pushed\n" in out for d in diffs)
    digest, size = re.search(r"v1: digest: (sha256:\w+) size: (\d+)\n$", out).groups()
    assert "Layer already exists" in wharf("push", name).stdout
    out = wharf("pull", name, root="other").stdout
    assert out.startswith("v1: Pulling from team/app\n")
    assert out.count(": Pulling fs layer\n") == 2 and out.count(": Pull complete\n") == 2
    assert out.endswith(f"Digest: {digest}\nStatus: Downloaded newer image for {name}\n{name}\n")
    out = wharf("pull", name, root="other").stdout
    assert out.count("Already exists") == 2 and f"Status: Image is up to date for {name}\n" in out
    assert wharf("pull", "-q", name, root="other").stdout == name + "\n"
    wharf("pull", f"{served}/team/app@{digest}", root="third")


def test_all_tags(served):
    fill(f"{served}/a:1", f"{served}/a:2")
    wharf("push", "-a", f"{served}/a")
    wharf("pull", "-a", f"{served}/a", root="other")
    assert sorted(wharf("images", "--format", "{{.Tag}}", root="other").stdout.split()) == ["1", "2"]
    assert "tag can't be used" in wharf("pull", "-a", f"{served}/a:1", check=False).stderr


def test_a_terminal_gets_lines_redrawn(served):
    fill(f"{served}/a:1")
    wharf("push", f"{served}/a:1")
    main, side = pty.openpty()
    subprocess.run([WHARF, "--root", "/tmp/w/other", "pull", f"{served}/a:1"], stdout=side, check=True, timeout=30)
    os.close(side)
    out = b""
    try:
        while piece := os.read(main, 65536):
            out += piece
    except OSError:
        pass
    os.close(main)
    assert b"\x1b[2K" in out and b"Pull complete" in out and b"Status: Downloaded" in out


def test_errors(served):
    fill(f"{served}/a:1")
    for args, words in [(["pull", f"{served}/nosuch:1"], "nosuch:1 not found: manifest unknown"),
                        (["push", f"{served}/other:1"], "An image does not exist locally with the tag: "),
                        (["pull", "UPPER"], "invalid reference"), (["pull", "127.0.0.1:9/x"], "cannot be reached")]:
        r = wharf(*args, check=False)
        assert r.returncode == 1 and words in r.stderr, r.stderr


def test_copy_without_a_store(served, peer):
    fill(f"{served}/a:1")
    wharf("push", f"{served}/a:1")
    wharf("image", "copy", f"{served}/a:1", f"{peer.host}/b:2")
    wharf("image", "copy", f"{peer.host}/b:2", f"{peer.host}/c:3")
    digests = [json.loads(run("skopeo", "inspect", "--tls-verify=false", f"docker://{n}").stdout)["Digest"]
               for n in (f"{served}/a:1", f"{peer.host}/b:2", f"{peer.host}/c:3")]
    assert len(set(digests)) == 1


@pytest.mark.parametrize("peer", [{"auth": True}], indirect=True)
def test_login_and_logout(peer):
    config = "docker/config.json"
    os.makedirs("docker")
    with open(config, "w") as f:
        json.dump({"detachKeys": "ctrl-x", "auths": {"other.example": {"auth": "eA=="}}}, f)
    r = wharf("login", "-u", "u", "--password-stdin", peer.host, text="wrong\n", check=False)
    assert r.returncode == 1 and "unauthorized: incorrect username or password" in r.stderr
    assert wharf("login", "-u", "u", "--password-stdin", peer.host, text="p\n").stdout == "Login Succeeded\n"
    with open(config) as f:
        written = json.load(f)
    assert written["auths"][peer.host] == {"auth": base64.b64encode(b"u:p").decode()}
    assert written["detachKeys"] == "ctrl-x" and "other.example" in written["auths"]
    assert os.stat(config).st_mode & 0o777 == 0o600
    fill(f"{peer.host}/a:1")
    wharf("push", f"{peer.host}/a:1")
    assert wharf("logout", peer.host).stdout == f"Removing login credentials for {peer.host}\n"
    assert wharf("logout", peer.host).stdout == f"Not logged in to {peer.host}\n"
    assert "log in" in wharf("push", f"{peer.host}/a:1", check=False).stderr


@pytest.mark.parametrize("peer", [{"auth": True}], indirect=True)
def test_login_by_a_helper(peer, monkeypatch):
    os.makedirs("docker")
    os.makedirs("bin")
    with open("docker/config.json", "w") as f:
        json.dump({"credsStore": "test"}, f)
    with open("bin/docker-credential-test", "w", opener=lambda p, f: os.open(p, f, 0o755)) as f:
        f.write("#!/bin/sh\ncase $1 in store) cat >/tmp/w/kept;; get) cat /tmp/w/kept;; "
                "erase) rm /tmp/w/kept;; esac\n")
    monkeypatch.setenv("PATH", os.path.abspath("bin") + ":" + os.environ["PATH"])
    wharf("login", "-u", "u", "-p", "p", peer.host)
    with open("kept") as f:
        assert json.load(f) == {"ServerURL": peer.host, "Username": "u", "Secret": "p"}
    with open("docker/config.json") as f:
        assert json.load(f)["auths"] == {peer.host: {}}
    fill(f"{peer.host}/a:1")
    wharf("push", f"{peer.host}/a:1")
    wharf("logout", peer.host)
    assert not os.path.exists("kept")


def test_docker_shares_the_login(served):
    """What wharf writes docker reads, and the other way round; only the file is compared."""
    if not shutil.which("docker"):
        pytest.skip("docker.io is not installed")
    wharf("login", "-u", "someone", "-p", "secret", served)
    r = run("docker", "logout", served, env={"DOCKER_CONFIG": "/tmp/w/docker"})
    assert r.stdout == f"Removing login credentials for {served}\n"
    assert wharf("logout", served).stdout == f"Not logged in to {served}\n"


def test_save_history_inspect(world):
    fill("one:1", "one:2")
    wharf("save", "-o", "saved.tar", "one:1", "one:2")
    assert wharf("load", "-i", "saved.tar", root="other").stdout == "Loaded image: one:1\nLoaded image: one:2\n"
    r = wharf("save", "-o", "no/such/dir", "one", check=False)
    assert r.returncode == 1 and "no/such/dir" in r.stderr
    rows = wharf("history", "--format", "{{.CreatedBy}}|{{.Size}}|{{.Comment}}", "one:1").stdout.split("\n")
    assert rows[:2] == ["COPY b /|300B|c", "FROM scratch|5kB|"]
    assert wharf("history", "-q", "one:1").stdout.split()[1] == "<missing>"
    assert wharf("image", "inspect", "-f", "{{json .RepoTags}}", "one:1").stdout == '["one:1","one:2"]\n'
    assert "No such image: nosuch:latest" in wharf("image", "inspect", "nosuch", check=False).stderr
    assert "one:1\none:2\n" in wharf("image", "tree").stdout == wharf("image", "ls", "--tree").stdout


def test_prune(world):
    fill("one:1")
    assert wharf("image", "prune", "-f").stdout == "Total reclaimed space: 0B\n"
    out = wharf("image", "prune", "-a", text="y\n").stdout
    assert "untagged: one:1\ndeleted: sha256:" in out and wharf("images", "-q").stdout == ""


def test_run_pulls_what_is_missing(served):
    fill(f"{served}/a:1")
    wharf("push", f"{served}/a:1")
    r = wharf("create", f"{served}/a:1", "/bin/a", root="other")
    assert re.fullmatch(r"\w{64}\n", r.stdout)
    assert r.stderr.startswith(f"Unable to find image '{served}/a:1' locally\n1: Pulling from a\n")
    r = wharf("create", "--pull", "never", f"{served}/b:1", "x", root="other", check=False)
    assert r.returncode != 0 and "No such image" in r.stderr and "Unable" not in r.stderr


def test_serving_with_users_and_tls(world):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
        "key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=r", "-addext", "subjectAltName=IP:127.0.0.1")
    with open("users", "w") as f:
        f.write(run("htpasswd", "-Bbn", "u", "p").stdout)
    p = subprocess.Popen([WHARF, "registry", "serve", "--addr", "127.0.0.1:15443", "--root", "s", "--cert", "ca.pem",
                          "--key", "key.pem", "--users", "users"], stdout=subprocess.DEVNULL)
    try:
        wait_for(15443)
        name = "127.0.0.1:15443/a:1"
        fill(name)
        assert "not trusted" in wharf("push", name, check=False).stderr
        assert "log in" in wharf("push", "--ca-file", "ca.pem", name, check=False).stderr
        wharf("login", "--ca-file", "ca.pem", "-u", "u", "-p", "p", "127.0.0.1:15443")
        wharf("push", "--ca-file", "ca.pem", name)
        wharf("pull", "--ca-file", "ca.pem", name, root="other")
    finally:
        p.terminate()
        p.wait(10)


def test_images(world):
    fill("one:1", "one:2", "h.example:5000/other:1")

    def names(*args):
        return sorted(wharf("images", "--format", "{{.Repository}}:{{.Tag}}", *args).stdout.split())
    assert names() == ["h.example:5000/other:1", "one:1", "one:2"] and names("one") == ["one:1", "one:2"]
    assert names("one:2") == ["one:2"] and names("-f", "reference=h*/o*") == ["h.example:5000/other:1"]
    assert names("-f", "dangling=true") == []
    assert "invalid filter 'colour'" in wharf("images", "-f", "colour=red", check=False).stderr
    head, row = wharf("images", "--digests", "one:1").stdout.splitlines()
    assert head.split() == ["REPOSITORY", "TAG", "DIGEST", "IMAGE", "ID", "CREATED", "SIZE"]
    assert re.fullmatch(r"one +1 +sha256:\w{64} +\w{12} +\d+ years ago +5.3kB", row)
