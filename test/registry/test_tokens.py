# SPDX-License-Identifier: Apache-2.0
"""Bearer tokens from end to end: Debian's docker-registry, a token server, and what each side sees."""
import base64
import json
import os

import pytest

from peers import Peer, program, run
from test_client import check_store, login, make_image
from tokens import TokenServer


@pytest.fixture(params=["RS256", "ES256"])
def tokens(world, request):
    server = TokenServer(15050, request.param)
    server.peer = Peer(15001, tokens=server)
    yield server
    server.peer.stop()
    server.stop()


es256 = pytest.mark.parametrize("tokens", ["ES256"], indirect=True)


def scopes(tokens):
    return {s for _, _, q in tokens.requests for s in " ".join(q.get("scope", [])).split()}


def test_push_and_pull(tokens):
    name = f"{tokens.peer.host}/team/app:v1"
    identity = make_image(name)
    login(tokens.peer.host)
    run(program("image-push"), "a", name)
    assert scopes(tokens) == {"repository:team/app:pull,push"}
    assert len(tokens.requests) == 1  # one token for the whole push, workers and all
    assert run(program("image-pull"), "b", name).stdout.split()[0] == identity
    check_store("b")


@es256
def test_anonymous(tokens):
    public, private = (f"{tokens.peer.host}/{n}/app:v1" for n in ("public", "private"))
    make_image(public, private)
    login(tokens.peer.host)
    run(program("image-push"), "a", public)
    run(program("image-push"), "a", private)
    os.unlink("docker/config.json")
    run(program("image-pull"), "b", public)
    r = run(program("image-pull"), "c", private, check=False)
    assert r.returncode != 0 and "pull access denied for" in r.stderr and "log in" in r.stderr
    r = run(program("image-push"), "a", public.replace(":v1", ":v2"), check=False)
    assert r.returncode != 0
    tokens.requests.clear()
    r = run(program("image-push"), "a", private, check=False)
    assert r.returncode != 0 and tokens.peer.host in r.stderr
    assert all(h is None for _, h, _ in tokens.requests)


@es256
def test_a_wrong_password(tokens):
    name = f"{tokens.peer.host}/public/app:v1"
    make_image(name)
    login(tokens.peer.host, password="wrong")
    r = run(program("image-pull"), "b", name, check=False)
    assert r.returncode != 0 and "log in" in r.stderr


@es256
def test_a_mount_asks_for_the_other_repository(tokens):
    first, second = (f"{tokens.peer.host}/{n}/app:v1" for n in ("one", "two"))
    make_image(first, second)
    login(tokens.peer.host)
    run(program("image-push"), "a", first)
    tokens.requests.clear()
    out = run(program("image-push"), "a", second).stderr
    assert "3010560" not in out  # nothing large travelled
    assert {"repository:two/app:pull,push", "repository:one/app:pull"} <= scopes(tokens)


@es256
def test_an_identity_token_is_traded(tokens):
    name = f"{tokens.peer.host}/team/app:v1"
    make_image(name)
    os.makedirs("docker")
    with open("docker/config.json", "w") as f:
        auth = base64.b64encode(b"<token>:").decode()
        json.dump({"auths": {tokens.peer.host: {"auth": auth, "identitytoken": "again"}}}, f)
    run(program("image-push"), "a", name)
    assert [(m, q["grant_type"]) for m, _, q in tokens.requests] == [("POST", ["refresh_token"])]


@es256
def test_registry_auth_header(tokens):
    """What a client sends as X-Registry-Auth beats what the machine knows."""
    name = f"{tokens.peer.host}/team/app:v1"
    make_image(name)
    login(tokens.peer.host, password="wrong")
    for auth, good in [({"username": "u", "password": "p"}, True), ({"identitytoken": "again"}, True),
                       ({"registrytoken": tokens.token(["repository:team/app:pull,push"], True)}, True),
                       ({}, False), ({"username": "u", "password": "no"}, False)]:
        header = base64.urlsafe_b64encode(json.dumps(auth).encode()).decode()
        r = run(program("image-push"), "a", name, env={"REGISTRY_AUTH": header}, check=False)
        assert (r.returncode == 0) == good, (auth, r.stderr)


@es256
def test_skopeo_agrees(tokens):
    """The server is a real one: another client pulls by the same login what we pushed."""
    name = f"{tokens.peer.host}/team/app:v1"
    make_image(name)
    login(tokens.peer.host)
    run(program("image-push"), "a", name)
    out = run("skopeo", "inspect", "--tls-verify=false", "--creds", "u:p", f"docker://{name}").stdout
    with open("a/index.json") as f:
        assert json.loads(out)["Digest"] == json.load(f)["manifests"][0]["digest"]
