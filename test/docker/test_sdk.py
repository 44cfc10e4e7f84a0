# SPDX-License-Identifier: Apache-2.0
"""Debian's python3-docker drives wharfd through a broad scenario."""
import gc
import io
import tarfile

import pytest


@pytest.fixture
def client(wharfd):
    docker = pytest.importorskip("docker")
    client = docker.DockerClient(base_url="unix:///tmp/w/wharfd.sock", timeout=30)
    yield client
    client.close()
    gc.collect()  # exec_run leaves its socket in a circle


def test_versions(client):
    assert client.ping() is True
    assert client.version()["ApiVersion"] == "1.51"
    assert client.info()["Containers"] == 0


def test_run(client):
    assert client.containers.run("busybox", ["echo", "hello"], network_mode="none", remove=True) == b"hello\n"


def test_life(client):
    c = client.containers.run("busybox", ["sh", "-c", "echo up; exec sleep 1000"], network_mode="none", detach=True,
                              name="life", labels={"a": "b"}, environment={"X": "y"})
    c.reload()
    assert c.status == "running" and c.labels == {"a": "b"}
    assert [x.name for x in client.containers.list(filters={"label": "a=b"})] == ["life"]
    assert client.containers.list(filters={"label": "a=c"}) == []
    code, output = c.exec_run(["sh", "-c", "echo $X; exit 4"])
    assert (code, output) == (4, b"y\n")
    c.pause()
    c.unpause()
    c.rename("other")
    assert c.top()["Processes"]
    assert c.stats(stream=False)["memory_stats"]
    c.stop(timeout=0)
    assert c.wait()["StatusCode"] == 137
    assert c.logs() == b"up\n"
    c.remove()


def test_not_found(client):
    import docker
    with pytest.raises(docker.errors.NotFound, match="No such container: nosuch"):
        client.containers.get("nosuch")
    with pytest.raises(docker.errors.ImageNotFound):
        client.images.get("nosuch")


def test_files(client):
    c = client.containers.create("busybox", ["cat", "/etc/new"], network_mode="none")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        entry = tarfile.TarInfo("new")
        entry.size = 3
        tar.addfile(entry, io.BytesIO(b"abc"))
    assert c.put_archive("/etc", data.getvalue())
    c.start()
    c.wait()
    assert c.logs() == b"abc"
    stream, stat = c.get_archive("/etc/new")
    assert stat["name"] == "new" and stat["size"] == 3
    assert tarfile.open(fileobj=io.BytesIO(b"".join(stream))).extractfile("new").read() == b"abc"
    assert {"Path": "/etc/new", "Kind": 1} in c.diff()
    c.remove()


def test_images(client):
    image = client.images.get("busybox")
    assert image.tag("other", "1")
    assert "other:1" in client.images.get("other:1").tags
    saved = b"".join(image.save(named=True))
    client.images.remove("other:1")
    assert client.images.load(saved)[0].id == image.id
    assert image.history()


def test_volumes(client):
    v = client.volumes.create("vol", labels={"a": "b"})
    assert client.containers.run("busybox", ["sh", "-c", "echo kept > /d/f"], network_mode="none", remove=True,
                                 volumes={"vol": {"bind": "/d", "mode": "rw"}}) == b""
    assert client.containers.run("busybox", ["cat", "/d/f"], network_mode="none", remove=True,
                                 volumes={"vol": {"bind": "/d", "mode": "ro"}}) == b"kept\n"
    assert [x.name for x in client.volumes.list()] == ["vol"]
    v.remove()


def test_events(client):
    stream = client.events(decode=True, filters={"type": "container"})
    c = client.containers.run("busybox", ["true"], network_mode="none", detach=True)
    c.wait()
    c.remove()
    seen = []
    for event in stream:
        seen.append(event["Action"])
        if event["Action"] == "destroy":
            break
    stream.close()
    assert seen == ["create", "start", "die", "destroy"]
