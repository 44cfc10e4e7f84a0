# SPDX-License-Identifier: Apache-2.0
"""Pull and push, against Debian's docker-registry and against a registry that lies."""
import base64
import hashlib
import json
import os
import random
import signal
import subprocess
import time

import archives
import pytest
from peers import program, run

SIZES = (3000000, 1, 200000)


def make_image(*names):
    """An image of three layers in the store `a`."""
    layers = [archives.tar(archives.entry(f"f{i}", data=random.Random(i).randbytes(n)))
              for i, n in enumerate(SIZES)]
    with open("image.tar", "wb") as f:
        f.write(archives.docker_save(layers, tags=names))
    return run(program("image-load"), "a", "image.tar").stdout.split()[0]


def check_store(store):
    """Every blob is what its name says."""
    folder = f"{store}/blobs/sha256"
    for name in os.listdir(folder):
        with open(f"{folder}/{name}", "rb") as f:
            assert hashlib.sha256(f.read()).hexdigest() == name
    assert os.listdir(f"{store}/layers/tmp") == []


def login(host, user="u", password="p"):
    os.makedirs("docker", exist_ok=True)
    with open("docker/config.json", "w") as f:
        auth = base64.b64encode(f"{user}:{password}".encode()).decode()
        json.dump({"auths": {host: {"auth": auth}}}, f)


@pytest.mark.parametrize("peer", [{}, {"auth": True}, {"tls": True}, {"auth": True, "tls": True}],
                         indirect=True, ids=["plain", "auth", "tls", "auth-tls"])
def test_push_and_pull(peer):
    name = f"{peer.host}/team/app:v1"
    identity = make_image(name)
    login(peer.host)
    env = {"CA": "ca.pem"} if os.path.exists("ca.pem") else {}
    run(program("image-push"), "a", name, env=env)
    got = run(program("image-pull"), "b", name, env=env).stdout.split()
    assert got[0] == identity
    with open("a/index.json") as f:
        assert json.load(f)["manifests"][0]["digest"] == got[1]
    check_store("b")
    again = run(program("image-pull"), "b", name, env=env)
    assert again.stderr == ""  # nothing is fetched twice


@pytest.mark.parametrize("peer", [{"auth": True}], indirect=True)
def test_a_login_is_asked_for(peer):
    name = f"{peer.host}/team/app:v1"
    make_image(name)
    for prepare in (lambda: None, lambda: login(peer.host, password="wrong")):
        prepare()
        r = run(program("image-pull"), "b", name, check=False)
        assert r.returncode != 0 and "log in" in r.stderr and peer.host in r.stderr


@pytest.mark.parametrize("peer", [{"auth": True}], indirect=True)
def test_credential_helper(peer):
    name = f"{peer.host}/team/app:v1"
    make_image(name)
    os.makedirs("bin")
    os.makedirs("docker")
    with open("bin/docker-credential-test", "w", opener=lambda p, f: os.open(p, f, 0o755)) as f:
        f.write("#!/bin/sh\nread key\n[ \"$1 $key\" = 'get %s' ] || exit 1\n"
                "echo '{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"p\"}'\n" % peer.host)
    with open("docker/config.json", "w") as f:
        json.dump({"credHelpers": {peer.host: "test"}}, f)
    run(program("image-push"), "a", name, env={"PATH": "/tmp/w/bin:" + os.environ["PATH"]})


@pytest.mark.parametrize("peer", [{"tls": True}], indirect=True)
def test_an_unknown_authority_is_refused(peer):
    name = f"{peer.host}/team/app:v1"
    make_image(name)
    r = run(program("image-push"), "a", name, check=False)
    assert r.returncode != 0 and "not trusted" in r.stderr
    run(program("image-push"), "a", name, env={"INSECURE": peer.host})


def test_skopeo_both_ways(peer):
    name = f"{peer.host}/team/app:v1"
    make_image(name)
    run(program("image-push"), "a", name)
    run("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{name}",
        f"docker://{peer.host}/copy/v2s2:x", "--format", "v2s2")
    run("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false", f"docker://{name}",
        f"docker://{peer.host}/copy/oci:x")
    assert run(program("image-pull"), "b", name).stdout == \
        run(program("image-pull"), "c", f"{peer.host}/copy/oci:x").stdout
    run(program("image-pull"), "d", f"{peer.host}/copy/v2s2:x")
    for store in "bcd":
        check_store(store)


def test_a_second_repository_mounts(peer):
    names = [f"{peer.host}/team/app:v1", f"{peer.host}/other/app:v1"]
    make_image(*names)
    first, second = (run(program("image-push"), "a", n).stderr for n in names)
    assert first.count("/3072000") or "3010560" in first
    assert "3010560" not in second  # the large layer did not travel again


@pytest.mark.parametrize("fault, says", [
    ("wrong bytes", "with digest"), ("short", "announces"), ("long", "announces"),
    ("endless", "sends more than"), ("loop", "redirects too often"),
    ("gone", "does not have it"), ("endless manifest", "answers with more than"),
    ("manifest digest", "where 'sha256:000"), ("headers", "bytes of headers"),
    ("not json", "no good manifest"), ("diff id", "unpacks to diff id"),
])
def test_lies(liar, fault, says):
    server = liar(fault=fault)
    r = run(program("image-pull"), "b", f"{server.host}/app:v1", check=False)
    assert r.returncode in (1, 125) and says in r.stderr.lower(), r.stderr
    assert f"{server.host}" in r.stderr or fault == "diff id"
    assert os.listdir("b/blobs/sha256") == [] and os.listdir("b/layers/tmp") == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("fault", [None, "no ranges"])
def test_cut_at_random_bytes(liar, seed, fault):
    server = liar(cuts=3, seed=seed, fault=fault)
    run(program("image-pull"), "b", f"{server.host}/app:v1")
    check_store("b")
    ranges = [h.get("Range") for path, h in server.requests if path.endswith(server.layer)]
    assert len(ranges) == 4 and ranges[0] is None and None not in ranges[1:]


def test_a_wrong_continuation_is_refused(liar):
    server = liar(cuts=1, fault="wrong range")
    r = run(program("image-pull"), "b", f"{server.host}/app:v1", check=False)
    assert r.returncode != 0 and "continues at byte" in r.stderr


def test_cut_for_ever(liar):
    server = liar(cuts=1000)
    r = run(program("image-pull"), "b", f"{server.host}/app:v1", check=False)
    assert r.returncode != 0 and "cuts its answers short" in r.stderr
    assert os.listdir("b/blobs/sha256") == []


def test_a_busy_registry_is_asked_again(liar):
    server = liar(fault="busy")
    run(program("image-pull"), "b", f"{server.host}/app:v1")


def test_authorization_does_not_follow_a_redirect(liar):
    front, back = liar(fault="elsewhere"), liar()
    front.target = f"http://{back.host}"
    login(front.host, "user", "secret")
    answer = front.answer

    def challenge(h):
        if "Authorization" not in h.headers:
            return front.reply(h, 401, WWW_Authenticate='Basic realm="x"')
        return answer(h)
    front.answer = challenge
    run(program("image-pull"), "b", f"{front.host}/app:v1")
    assert any("Authorization" in h for _, h in front.requests)
    assert back.requests and not any("Authorization" in h for _, h in back.requests)


@pytest.mark.limit(60)
def test_killed_at_random(peer):
    name = f"{peer.host}/team/app:v1"
    make_image(name)
    dice = random.Random(7)
    for command, store in [("image-push", "a"), ("image-pull", "b")]:
        for _ in range(12):
            p = subprocess.Popen([program(command), store, name], stderr=subprocess.DEVNULL,
                                 stdout=subprocess.DEVNULL)
            time.sleep(dice.random() * 0.12)
            p.send_signal(signal.SIGKILL)
            p.wait()
        run(program(command), store, name)
        check_store(store)


def layer_requests(server):
    return [h.get("Range") for path, h in server.requests if path.endswith(server.layer)]


def test_the_next_pull_goes_on(liar):
    """What a pull has got when it fails is not fetched again, also not by another process."""
    server = liar(cuts=10, seed=3)
    name = f"{server.host}/app:v1"
    assert run(program("image-pull"), "b", name, check=False).returncode != 0
    partial = os.stat(f"b/layers/partial/{server.layer}").st_size
    assert partial > 0 and os.listdir("b/layers/tmp") == []
    server.requests.clear()
    server.cuts = 0
    run(program("image-pull"), "b", name)
    assert layer_requests(server) == [f"bytes={partial}-"]
    check_store("b")
    assert os.listdir("b/layers/partial") == []


def test_a_damaged_remainder_is_fetched_anew(liar):
    server = liar()
    os.makedirs("b/layers/partial")
    with open(f"b/layers/partial/{server.layer}", "wb") as f:
        f.write(bytes(100000))
    run(program("image-pull"), "b", f"{server.host}/app:v1")
    assert layer_requests(server) == ["bytes=100000-", None]
    check_store("b")


def test_pulls_of_one_layer_share_the_work(liar):
    server = liar()
    server.delay = 0.3
    pulls = [subprocess.Popen([program("image-pull"), "b", f"{server.host}/app:v{i}"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
             for i in range(4)]
    assert [p.wait() for p in pulls] == [0] * 4
    assert layer_requests(server) == [None]
    with open("b/index.json") as f:
        assert len(json.load(f)["manifests"]) == 4
    check_store("b")


def test_mirrors(liar, world):
    """docker.io by way of mirrors: the first fails or lies, the second serves; credentials go to neither."""
    bad, good = liar(fault="wrong bytes"), liar()
    login("https://index.docker.io/v1/", "user", "secret")
    for first in ("http://127.0.0.1:9", f"http://{bad.host}"):
        run(program("image-pull"), "b", "library/app:v1", env={"MIRROR": first, "MIRROR2": f"http://{good.host}"})
        with open("b/index.json") as f:
            assert "docker.io/library/app:v1" in f.read()
        check_store("b")
        subprocess.run(["rm", "-rf", "b"], check=True)
    assert good.requests and bad.requests
    assert not any("Authorization" in h for s in (good, bad) for _, h in s.requests)


@pytest.mark.parametrize("size", ["2m", "4m", "6m"])
def test_a_full_disk(liar, size):
    """At whatever step it fills: a clear error, nothing half, and with room the same pull works."""
    server = liar()
    os.mkdir("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", "small"], check=True)
    r = run(program("image-pull"), "small/b", f"{server.host}/app:v1", check=False)
    if r.returncode:
        assert "No space left" in r.stderr and os.listdir("small/b/layers/tmp") == []
        assert os.listdir("small/b/blobs/sha256") == []
    else:
        check_store("small/b")
    subprocess.run(["mount", "-o", "remount,size=30m", "small"], check=True)
    run(program("image-pull"), "small/b", f"{server.host}/app:v1")
    check_store("small/b")
    subprocess.run(["umount", "small"], check=True)


def test_pulls_race_collection(liar):
    """Collection never takes what a pull brings, and takes all that is left when nobody needs it."""
    server = liar()
    for round in range(6):
        pulls = [subprocess.Popen([program("image-pull"), "b", f"{server.host}/app:{round}-{i}"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for i in range(2)]
        while any(p.poll() is None for p in pulls):
            run(program("image-json"), "b", "prune", check=False)
        assert [p.wait() for p in pulls] == [0, 0]
        check_store("b")
        run(program("image-json"), "b", "prune", '{"dangling":["false"]}')
        assert os.listdir("b/blobs/sha256") == [] and os.listdir("b/layers/sha256") == []


def test_cancelled_while_nothing_comes(liar):
    server = liar()
    server.delay = 5
    p = subprocess.Popen([program("image-pull"), "b", f"{server.host}/app:v1"], stderr=subprocess.PIPE,
                         env={**os.environ, "CANCEL": "1"})
    assert p.wait(3) != 0 and b"cancelled" in p.stderr.read()
    assert os.listdir("b/layers/tmp") == []
