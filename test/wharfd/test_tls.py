# SPDX-License-Identifier: Apache-2.0
"""The API over TLS: who is let in, and that every byte comes through."""
import json
import os
import subprocess

import pytest

HOST = "tcp://127.0.0.1:2399"


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, stderr=subprocess.DEVNULL)


def make_key(name, *words):
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}-key.pem",
            "-subj", f"/CN={name}", *words)


@pytest.fixture
def certificates(world):
    """ca.pem, and what it signed for `server` and `alice`; `other` signed itself."""
    os.mkdir("tls")
    os.chdir("tls")
    for name in "ca", "other":
        make_key(name, "-x509", "-days", "2", "-out", f"{name}.pem")
    with open("extensions", "w") as f:
        f.write("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    for name in "server", "alice":
        make_key(name, "-out", "request.pem")
        openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial",
                "-out", f"{name}.pem", "-days", "2", "-extfile", "extensions")
    os.chdir("/tmp/w")
    yield "/tmp/w/tls"
    subprocess.run(["rm", "-rf", "/tmp/w/tls"], check=True)


def as_client(name, *words, text=None):
    flags = ["--tlsverify", "--tlscacert", "tls/ca.pem", "--tlscert", f"tls/{name}.pem", "--tlskey",
             f"tls/{name}-key.pem"] if name else []
    done = subprocess.run(["docker", "-H", HOST, *flags, *words], capture_output=True, input=text, timeout=30,
                          env={**os.environ, "DOCKER_CONFIG": "/tmp/w/config"})
    return done.returncode, done.stdout, done.stderr.decode()


def test_clients(daemon, certificates):
    d = daemon("--tlsverify", "--tlscacert", "tls/ca.pem", "--tlscert", "tls/server.pem", "--tlskey",
               "tls/server-key.pem", "--audit-log", "/tmp/w/audit", hosts=("-H", "unix:///tmp/w/wharfd.sock", "-H", HOST))
    assert as_client("alice", "ps", "-q") == (0, b"", "")
    code, _, error = as_client("other", "ps")
    assert code == 1 and "error during connect" in error  # the alert, or the hang-up behind it
    for name in ("", None):
        assert as_client(name, "ps")[0] == 1
    # through a hijacked connection, both ways, more than any buffer on the way
    data = os.urandom(1 << 20)
    code, out, error = as_client("alice", "run", "-i", "--rm", "--network", "none", "busybox", "cat", text=data)
    assert (code, out == data, error) == (0, True, "")
    code, out, _ = as_client("alice", "run", "--rm", "--network", "none", "busybox", "sh", "-c", "echo a; exit 5")
    assert (code, out) == (5, b"a\n")
    who = {json.loads(line)["principal"] for line in open("audit")}
    assert "certificate:CN=alice" in who and not any("other" in x for x in who)
    assert d.answers()
    os.unlink("audit")


def test_without_a_check_of_clients(daemon, certificates):
    flags = ("--tls", "--tlscert", "tls/server.pem", "--tlskey", "tls/server-key.pem")
    with pytest.raises(AssertionError, match="will not serve .* to whoever connects"):
        daemon(*flags, hosts=("-H", "unix:///tmp/w/wharfd.sock", "-H", HOST), image=False)
    daemon(*flags, "--tlsverify=false", hosts=("-H", "unix:///tmp/w/wharfd.sock", "-H", HOST))
    assert "without client verification" in open("wharfd.log").read()
    assert as_client("other", "ps", "-q")[0] == 0
