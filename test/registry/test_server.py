# SPDX-License-Identifier: Apache-2.0
"""Our registry, end by end: each test names the endpoints of distribution-spec 1.1 that it walks."""
import hashlib
import http.client
import json
import os
import random
import re
import signal
import subprocess
import time

import archives
import pytest
from peers import program, run, wait_for

PORT = 15050
HOST = f"127.0.0.1:{PORT}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
EMPTY = {"mediaType": "application/vnd.oci.empty.v1+json", "size": 2,
         "digest": "sha256:" + hashlib.sha256(b"{}").hexdigest()}


class Server:
    def __init__(self):
        self.start()

    def start(self):
        self.process = subprocess.Popen([program("registry-serve"), "served", str(PORT)])
        wait_for(PORT)

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait()

    @staticmethod
    def ask(method, path, body=None, **headers):
        c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=10)
        c.request(method, path, body, {k.replace("_", "-"): v for k, v in headers.items()})
        r = c.getresponse()
        r.body = r.read()
        c.close()
        return r

    def blob(self, name, data, algorithm="sha256"):
        digest = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
        r = self.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", data)
        assert r.status == 201, r.body
        assert r.headers["Docker-Content-Digest"] == digest
        return digest

    def manifest(self, name, ref, document, type=MANIFEST, status=201):
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        r = self.ask("PUT", f"/v2/{name}/manifests/{ref}", data, Content_Type=type)
        assert r.status == status, (r.status, r.body)
        r.digest = archives.digest(data)
        return r


@pytest.fixture
def server(world):
    s = Server()
    yield s
    assert s.stop() == 0


def image(server, name, data=b"layer", **more):
    server.blob(name, b"{}")
    layer = server.blob(name, data)
    return {"schemaVersion": 2, "mediaType": MANIFEST, "config": EMPTY, **more,
            "layers": [{"mediaType": "x/y", "size": len(data), "digest": layer}]}


def code(r):
    return json.loads(r.body)["errors"][0]["code"]


def test_end_1(server):
    r = server.ask("GET", "/v2/")
    assert r.status == 200 and r.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
    assert server.ask("GET", "/").status == 404 and server.ask("POST", "/v2/").status == 405


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
@pytest.mark.parametrize("size", [0, 11, 3000000])
def test_end_2_and_4b(server, algorithm, size):
    data = bytes(size)
    digest = server.blob("a/b", data, algorithm)
    for method in ("GET", "HEAD"):
        r = server.ask(method, f"/v2/a/b/blobs/{digest}")
        assert r.status == 200 and int(r.headers["Content-Length"]) == len(data)
        assert r.headers["Docker-Content-Digest"] == digest
        assert r.body == (data if method == "GET" else b"")
    assert server.ask("GET", f"/v2/other/blobs/{digest}").status == 404


@pytest.mark.parametrize("text, status, want", [
    ("bytes=0-0", 206, b"0"), ("bytes=3-5", 206, b"345"), ("bytes=7-", 206, b"789"),
    ("bytes=-2", 206, b"89"), ("bytes=-99", 206, b"0123456789"), ("bytes=8-99", 206, b"89"),
    ("bytes=10-", 416, None), ("bytes=-0", 416, None), ("bytes=5-3", 200, b"0123456789"),
    ("bytes=x", 200, b"0123456789"), ("bytes=1-2,4-5", 200, b"0123456789"),
    ("lines=1-2", 200, b"0123456789"), ("bytes=99999999999999999999-", 200, b"0123456789"),
])
def test_ranges(server, text, status, want):
    digest = server.blob("a", b"0123456789")
    r = server.ask("GET", f"/v2/a/blobs/{digest}", Range=text)
    assert r.status == status and (want is None or r.body == want)
    if status == 416:
        assert r.headers["Content-Range"] == "bytes */10"


@pytest.mark.parametrize("path, status, name", [
    ("/v2/a/blobs/sha256:zz", 400, "DIGEST_INVALID"), ("/v2/a/blobs/sha1:00", 400, "DIGEST_INVALID"),
    ("/v2/a/blobs/sha256:" + "0" * 64, 404, "BLOB_UNKNOWN"),
    ("/v2/a/manifests/none", 404, "MANIFEST_UNKNOWN"), ("/v2/a/manifests/-x", 400, "MANIFEST_INVALID"),
    ("/v2/a/manifests/sha256:" + "0" * 64, 404, "MANIFEST_UNKNOWN"),
    ("/v2/A/manifests/x", 400, "NAME_INVALID"), ("/v2/a/../b/manifests/x", 400, "NAME_INVALID"),
    ("/v2/a%2f..%2fb/manifests/x", 400, "NAME_INVALID"), ("/v2/_blobs/manifests/x", 400, "NAME_INVALID"),
    ("/v2/a/tags/list", 404, "NAME_UNKNOWN"), ("/v2/a/blobs/uploads/00", 404, "BLOB_UPLOAD_UNKNOWN"),
    ("/v2/a/blobs/uploads/..", 404, "BLOB_UPLOAD_UNKNOWN"), ("/v2/a/nothing", 404, "UNSUPPORTED"),
    ("/v2/a/referrers/x", 400, "DIGEST_INVALID"), ("/v2/%zz", 404, "UNSUPPORTED"),
])
def test_errors(server, path, status, name):
    r = server.ask("GET", path)
    assert (r.status, code(r)) == (status, name)
    assert r.headers["Content-Type"] == "application/json"


def test_chunks_end_4a_5_6_13(server):
    r = server.ask("POST", "/v2/a/blobs/uploads/", b"")
    place = r.headers["Location"]
    assert r.status == 202 and int(r.headers["OCI-Chunk-Min-Length"]) >= 1
    r = server.ask("PATCH", place, b"0123", Content_Range="0-3")
    assert r.status == 202 and r.headers["Range"] == "0-3"
    for wrong in ("5-8", "0-3", "3-6", "x-y", "4-5"):
        r = server.ask("PATCH", place, b"abcd", Content_Range=wrong)
        assert r.status == 416 and r.headers["Range"] == "0-3", wrong
    r = server.ask("GET", place)
    assert r.status == 204 and r.headers["Range"] == "0-3" and r.headers["Location"] == place
    assert server.ask("PATCH", place, b"4567").headers["Range"] == "0-7"
    digest = archives.digest(b"0123456789")
    assert server.ask("PUT", f"{place}", b"89").status == 400
    assert server.ask("PUT", f"{place}?digest={archives.digest(b'x')}", b"89").status == 400
    assert server.ask("PUT", f"{place}?digest={digest}", b"89", Content_Range="9-10").status == 416
    r = server.ask("PUT", f"{place}?digest={digest}", b"89", Content_Range="8-9")
    assert r.status == 201 and r.headers["Location"] == f"/v2/a/blobs/{digest}"
    assert server.ask("GET", r.headers["Location"]).body == b"0123456789"
    assert server.ask("GET", place).status == 404


def test_streamed_chunk(server):
    place = server.ask("POST", "/v2/a/blobs/uploads/", b"").headers["Location"]
    r = server.ask("PATCH", place, (b"x" * 1000 for _ in range(50)))
    assert r.status == 202 and r.headers["Range"] == "0-49999"
    digest = "sha512:" + hashlib.sha512(b"x" * 50000).hexdigest()
    assert server.ask("PUT", f"{place}?digest={digest}").status == 201


def test_wrong_digest_and_cancel_end_14(server):
    bad = archives.digest(b"other")
    r = server.ask("POST", f"/v2/a/blobs/uploads/?digest={bad}", b"this")
    assert r.status == 400 and code(r) == "DIGEST_INVALID"
    assert server.ask("GET", f"/v2/a/blobs/{bad}").status == 404
    assert server.ask("POST", "/v2/a/blobs/uploads/?digest=sha256:x", b"").status == 400
    assert server.ask("POST", "/v2/a/blobs/uploads/?digest-algorithm=sha512", b"").status == 202
    place = server.ask("POST", "/v2/a/blobs/uploads/", b"").headers["Location"]
    assert server.ask("DELETE", place).status == 204
    assert server.ask("PATCH", place, b"x").status == 404


def test_mount_end_11(server):
    digest = server.blob("from/a", b"data")
    r = server.ask("POST", f"/v2/to/b/blobs/uploads/?mount={digest}&from=from/a", b"")
    assert r.status == 201 and r.headers["Location"] == f"/v2/to/b/blobs/{digest}"
    assert server.ask("GET", r.headers["Location"]).body == b"data"
    for query in (f"mount={digest}&from=none", "mount=x&from=from/a", f"mount={archives.digest(b'no')}"):
        assert server.ask("POST", f"/v2/c/blobs/uploads/?{query}", b"").status == 202
    assert server.ask("POST", f"/v2/d/blobs/uploads/?mount={digest}", b"").status == 201
    assert server.ask("GET", f"/v2/d/blobs/{digest}").body == b"data"
    assert server.ask("DELETE", f"/v2/from/a/blobs/{digest}").status == 202
    assert server.ask("GET", f"/v2/to/b/blobs/{digest}").body == b"data"


def test_manifests_end_3_7_9(server):
    m = image(server, "a/b")
    put = server.manifest("a/b", "v1", m)
    assert put.headers["Docker-Content-Digest"] == put.digest
    assert put.headers["Location"] == f"/v2/a/b/manifests/{put.digest}"
    for ref in ("v1", put.digest):
        for method in ("GET", "HEAD"):
            r = server.ask(method, f"/v2/a/b/manifests/{ref}")
            assert r.status == 200 and r.headers["Content-Type"] == MANIFEST
            assert r.headers["Docker-Content-Digest"] == put.digest
            assert int(r.headers["Content-Length"]) == len(json.dumps(m))
    server.manifest("a/b", "v2", m)
    assert server.ask("DELETE", "/v2/a/b/manifests/v2").status == 202
    assert server.ask("GET", "/v2/a/b/manifests/v2").status == 404
    assert server.ask("GET", f"/v2/a/b/manifests/{put.digest}").status == 200
    assert server.ask("DELETE", f"/v2/a/b/manifests/{put.digest}").status == 202
    assert server.ask("GET", "/v2/a/b/manifests/v1").status == 404
    assert server.ask("DELETE", f"/v2/a/b/manifests/{put.digest}").status == 404
    assert json.loads(server.ask("GET", "/v2/a/b/tags/list").body) == {"name": "a/b", "tags": []}


def test_manifest_by_sha512_and_tags_end_7b(server):
    data = json.dumps(image(server, "a")).encode()
    digest = "sha512:" + hashlib.sha512(data).hexdigest()
    r = server.ask("PUT", f"/v2/a/manifests/{digest}?tag=x&tag=y", data, Content_Type=MANIFEST)
    assert r.status == 201 and r.headers["OCI-Tag"] == "x, y"
    for ref in (digest, "x", "y"):
        r = server.ask("GET", f"/v2/a/manifests/{ref}")
        assert r.body == data and r.headers["Docker-Content-Digest"] == digest
    many = "&".join(f"tag=t{i}" for i in range(100))
    assert server.ask("PUT", f"/v2/a/manifests/{digest}?{many}", data, Content_Type=MANIFEST).status == 414


def test_manifests_refused(server):
    m = image(server, "a")
    server.manifest("a", "x", b"{", status=400)
    server.manifest("a", "x", b"", status=400)
    server.manifest("a", "x", {**m, "mediaType": INDEX}, status=400)
    server.manifest("a", "x", {**m, "manifests": []}, status=400)
    server.manifest("a", archives.digest(b"z"), m, status=400)
    server.manifest("a", "-x", m, status=400)
    lacking = {**m, "layers": [{"mediaType": "x/y", "size": 1, "digest": archives.digest(b"no")}]}
    assert code(server.manifest("a", "x", lacking, status=404)) == "MANIFEST_BLOB_UNKNOWN"
    server.manifest("a", "x", {**m, "annotations": {"k": "v" * (9 << 20)}}, status=413)
    server.manifest("a", "x", {**m, "annotations": {"k": "v" * (4 << 20)}})
    foreign = {**m, "layers": [{"mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar",
                                "size": 1, "digest": archives.digest(b"no"), "urls": ["https://x/"]}]}
    server.manifest("a", "foreign", foreign)
    server.manifest("a", "index", {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}, INDEX)
    assert server.ask("GET", "/v2/a/manifests/index").headers["Content-Type"] == INDEX


def test_tags_and_catalog_end_8(server):
    m = image(server, "a/b")
    tags = ["B", "a", "b", "c-1", "z"]
    for tag in reversed(tags):
        server.manifest("a/b", tag, m)

    def listed(query):
        r = server.ask("GET", f"/v2/a/b/tags/list{query}")
        return json.loads(r.body)["tags"], r.headers["Link"]
    assert listed("") == (tags, None) and listed("?n=0") == ([], None)
    got, link = listed("?n=2")
    assert got == tags[:2] and link == '</v2/a/b/tags/list?n=2&last=a>; rel="next"'
    assert listed("?n=2&last=a")[0] == tags[2:4] and listed("?n=5") == (tags, None)
    assert listed("?last=b")[0] == tags[3:] and listed("?last=bb")[0] == tags[3:]
    assert listed("?last=zz") == ([], None)
    assert server.ask("GET", "/v2/a/b/tags/list?n=x").status == 400
    server.manifest("c", "t", image(server, "c"))
    assert json.loads(server.ask("GET", "/v2/_catalog").body) == {"repositories": ["a/b", "c"]}
    r = server.ask("GET", "/v2/_catalog?n=1")
    assert json.loads(r.body)["repositories"] == ["a/b"] and "last=a/b" in r.headers["Link"]


def test_referrers_end_12(server):
    subject = archives.digest(b"not there yet")

    def ask(query=""):
        r = server.ask("GET", f"/v2/a/referrers/{subject}{query}")
        assert r.status == 200 and r.headers["Content-Type"] == INDEX
        return r, json.loads(r.body)["manifests"]
    assert ask()[1] == []
    pointer = {"mediaType": MANIFEST, "digest": subject, "size": 3}
    one = image(server, "a", artifactType="t/one", subject=pointer, annotations={"k": "v"})
    first = server.manifest("a", "one", one)
    assert first.headers["OCI-Subject"] == subject
    second = server.manifest("a", "two", image(server, "a", subject=pointer))
    found = {d["digest"]: d for d in ask()[1]}
    assert found[first.digest] == {"mediaType": MANIFEST, "digest": first.digest,
                                   "size": len(json.dumps(one)), "artifactType": "t/one",
                                   "annotations": {"k": "v"}}
    assert found[second.digest]["artifactType"] == EMPTY["mediaType"]
    r, some = ask("?artifactType=t%2Fone")
    assert [d["digest"] for d in some] == [first.digest]
    assert r.headers["OCI-Filters-Applied"] == "artifactType"
    assert server.ask("DELETE", f"/v2/a/manifests/{first.digest}").status == 202
    assert [d["digest"] for d in ask()[1]] == [second.digest]


def test_referrers_in_pages(server):
    """The filter comes first, then the page; the Link carries both on."""
    subject = archives.digest(b"s")
    pointer = {"mediaType": MANIFEST, "digest": subject, "size": 3}
    for i in range(6):
        kind = "application/x+json" if i % 2 else "other"
        server.manifest("a", f"r{i}", image(server, "a", artifactType=kind, subject=pointer, annotations={"i": f"{i}"}))
    path, seen = f"/v2/a/referrers/{subject}?artifactType=application%2Fx%2Bjson&n=2", []
    while path:
        r = server.ask("GET", path)
        page = json.loads(r.body)["manifests"]
        assert 0 < len(page) <= 2 and r.headers["OCI-Filters-Applied"] == "artifactType"
        seen += [d["annotations"]["i"] for d in page]
        path = r.headers["Link"] and re.match('<([^>]*)>; rel="next"$', r.headers["Link"])[1]
    assert sorted(seen) == ["1", "3", "5"]


def test_referrers_of_sha512_and_by_index(server):
    subject = "sha512:" + hashlib.sha512(b"s").hexdigest()
    pointer = {"mediaType": MANIFEST, "digest": subject, "size": 3}
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [], "subject": pointer}
    put = server.manifest("a", "i", index, INDEX)
    assert put.headers["OCI-Subject"] == subject
    found = json.loads(server.ask("GET", f"/v2/a/referrers/{subject}").body)["manifests"]
    assert found == [{"mediaType": INDEX, "digest": put.digest, "size": len(json.dumps(index))}]


def test_limits_of_names(server):
    digest = archives.digest(b"d")
    longest = "a/" * 126 + "bcd"
    assert len(longest) == 255
    assert server.ask("POST", f"/v2/{longest}/blobs/uploads/?digest={digest}", b"d").status == 201
    for name in (longest + "e", "a" * 256):
        r = server.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", b"d")
        assert (r.status, code(r)) == (400, "NAME_INVALID")
    m = image(server, "a")
    server.manifest("a", "t" * 128, m)
    server.manifest("a", "t" * 129, m, status=400)
    assert server.ask("GET", "/v2/a/tags/list?last=" + "x" * 9000).status == 414


@pytest.mark.parametrize("method, path, status", [
    ("DELETE", "/v2/a/blobs/sha256:zz", 400), ("DELETE", "/v2/a/blobs/sha256:" + "0" * 64, 404),
    ("DELETE", "/v2/a/manifests/none", 404), ("DELETE", "/v2/a/manifests/sha256:" + "0" * 64, 404),
    ("PUT", "/v2/a/blobs/uploads/00?digest=sha256:" + "0" * 64, 404), ("DELETE", "/v2/a/blobs/uploads/00", 404),
    ("HEAD", "/v2/a/blobs/sha256:" + "0" * 64, 404), ("HEAD", "/v2/a/manifests/none", 404),
    ("POST", "/v2/a/tags/list", 405), ("PUT", "/v2/a/referrers/sha256:" + "0" * 64, 405),
    ("POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", 400), ("GET", "/v2", 200), ("GET", "/v3/", 404)])
def test_what_is_not_there(server, method, path, status):
    r = server.ask(method, path, b"" if method in ("PUT", "POST") else None)
    assert r.status == status
    if method == "HEAD":
        assert r.body == b""


def test_an_old_upload_is_forgotten(server):
    old, new = (server.ask("POST", "/v2/a/blobs/uploads/", b"").headers["Location"] for _ in "12")
    path = "served/registry/a/_uploads/" + old.rsplit("/", 1)[1]
    os.utime(path, (time.time() - 100000,) * 2)
    server.ask("POST", "/v2/a/blobs/uploads/", b"")
    assert server.ask("GET", old).status == 404 and server.ask("GET", new).status == 204


def test_deleting_spares_a_store_in_the_same_directory(server):
    """The pool is also an image store's: what that refers to is not the registry's to remove."""
    data = archives.docker_save([archives.tar(archives.entry("f", data=b"x"))], tags=("one:1",))
    with open("i.tar", "wb") as f:
        f.write(data)
    run(program("image-load"), "served", "i.tar")
    run(program("image-json"), "served", "inspect", "one:1")
    blob = archives.digest(archives.tar(archives.entry("f", data=b"x")))
    for query in (f"mount={blob}", f"mount={blob}&from=x"):  # nobody pushed it: it is not lent
        assert server.ask("POST", f"/v2/a/blobs/uploads/?{query}", b"").status == 202
    server.blob("a", archives.tar(archives.entry("f", data=b"x")))
    assert server.ask("DELETE", f"/v2/a/blobs/{blob}").status == 202
    run(program("image-save"), "served", "one:1")
    assert os.path.exists("served/blobs/sha256/" + blob[7:])


def test_skopeo_and_ourselves(server):
    layer = archives.tar(archives.entry("f", data=random.Random(1).randbytes(4000000)))
    with open("image.tar", "wb") as f:
        f.write(archives.docker_save([layer], tags=[f"{HOST}/x/y:1"]))
    run(program("image-load"), "a", "image.tar")
    run(program("image-push"), "a", f"{HOST}/x/y:1")
    one = run(program("image-pull"), "b", f"{HOST}/x/y:1").stdout
    run("skopeo", "copy", "--src-tls-verify=false", f"docker://{HOST}/x/y:1", "oci:o:1")
    run("skopeo", "copy", "--dest-tls-verify=false", "oci:o:1", f"docker://{HOST}/z:2")
    run("skopeo", "copy", "--dest-tls-verify=false", "--format=v2s2", "oci:o:1", f"docker://{HOST}/z:3")
    assert run(program("image-pull"), "c", f"{HOST}/z:2").stdout == one
    run(program("image-pull"), "c", f"{HOST}/z:3")
    r = run("skopeo", "delete", "--tls-verify=false", f"docker://{HOST}/z:3")
    assert server.ask("GET", "/v2/z/manifests/3").status == 404


@pytest.mark.limit(60)
def test_killed_while_uploads_run(world):
    server, dice, data = Server(), random.Random(3), random.Random(4).randbytes(8000000)
    digest = archives.digest(data)
    for _ in range(10):
        server.stop(signal.SIGKILL)
        server.start()
        place = server.ask("POST", "/v2/a/blobs/uploads/", b"").headers["Location"]
        server.ask("PATCH", place, data[:1000000])
        c = http.client.HTTPConnection("127.0.0.1", PORT)
        c.putrequest("PATCH", place)
        c.putheader("Content-Length", str(len(data) - 1000000))
        c.endheaders()
        c.send(data[1000000:1000000 + dice.randrange(6000000)])
        time.sleep(dice.random() * 0.02)
        server.stop(signal.SIGKILL)
        c.close()
        server.start()
        assert server.ask("GET", f"/v2/a/blobs/{digest}").status == 404
        at = int(server.ask("GET", place).headers["Range"][2:]) + 1
        assert at >= 1000000
        r = server.ask("PUT", f"{place}?digest={digest}", data[at:],
                       Content_Range=f"{at}-{len(data) - 1}")
        assert r.status == 201, r.body
        assert server.ask("GET", f"/v2/a/blobs/{digest}").body == data
        assert server.ask("DELETE", f"/v2/a/blobs/{digest}").status == 202
        assert os.listdir("served/blobs/sha256") == []
    assert server.stop() == 0
