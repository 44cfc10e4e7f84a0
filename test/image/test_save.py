# SPDX-License-Identifier: Apache-2.0
"""What image_save writes: the archive itself, and what others read in it."""
import json
import subprocess
import tarfile

import pytest

from image import archives
from image.archives import config_of, docker_save, entry, oci_archive, tar
from image.store import BIN, Store, write

LAYERS = [tar(entry("base", data=b"b" * 3000)), tar(entry("top", data=b"t"))]


def save(store, *references, check=True):
    with open("saved.tar", "wb") as f:
        return subprocess.run([BIN + "image-save", store.path, *references], stdout=f, check=check,
                              stderr=subprocess.PIPE, text=True, timeout=60)


def read(name):
    with tarfile.open("saved.tar") as t:
        return json.load(t.extractfile(name))


@pytest.fixture
def filled(store, tmp_path):
    store.load(write(tmp_path / "a.tar", docker_save(LAYERS, tags=("one:1", "one:2"))))
    store.load(write(tmp_path / "b.tar", oci_archive(LAYERS[0])))
    return store


def test_members(filled):
    save(filled, "one", "test:oci")
    with tarfile.open("saved.tar") as t:
        members = t.getmembers()
    assert [m.name for m in members[:4]] == ["oci-layout", "index.json", "manifest.json", "repositories"]
    assert all((m.uid, m.gid, m.mtime) == (0, 0, 0) for m in members)
    one, oci = read("manifest.json")
    assert one["RepoTags"] == ["one:1", "one:2"] and oci["RepoTags"] == ["test:oci"]
    assert one["Layers"] == ["blobs/sha256/" + archives.digest(x)[7:] for x in LAYERS]
    assert read("repositories")["one"].keys() == {"1", "2"}
    names = [m["annotations"]["io.containerd.image.name"] for m in read("index.json")["manifests"]]
    assert names == [f"docker.io/library/{n}" for n in ("one:1", "one:2", "test:oci")]


def test_equal_input_equal_bytes(filled):
    save(filled, "one", "test:oci")
    with open("saved.tar", "rb") as f:
        first = f.read()
    save(filled, "one", "test:oci")
    with open("saved.tar", "rb") as f:
        assert f.read() == first


def test_round_trip_keeps_everything(filled, tmp_path):
    save(filled, "one", "test:oci")
    other = Store(tmp_path / "other")
    other.load("saved.tar")
    assert sorted(other.images()) == sorted(filled.images())


def test_by_id_without_a_name(filled, tmp_path):
    identity = archives.digest(config_of(LAYERS))
    save(filled, identity[7:19])
    assert read("manifest.json")[0]["RepoTags"] == []
    other = Store(tmp_path / "other")
    assert other.load("saved.tar").stdout.split()[0] == identity


def test_an_absent_image(filled):
    assert "No such image: nosuch:latest" in save(filled, "nosuch", check=False).stderr


def test_through_a_pipe_and_a_full_disk(filled):
    p = subprocess.run(f"{BIN}image-save {filled.path} one | tar -t | wc -l", shell=True,
                       capture_output=True, text=True, timeout=60)
    assert int(p.stdout) == 6 + 4
    r = subprocess.run(f"{BIN}image-save {filled.path} one > /dev/full", shell=True, text=True,
                       capture_output=True, timeout=60)
    assert r.returncode != 0 and "No space left" in r.stderr


@pytest.mark.parametrize("form", ["docker-archive:saved.tar:one:1", "oci-archive:saved.tar:docker.io/library/one:1"])
def test_skopeo_reads_it(filled, tmp_path, form):
    save(filled, "one:1")
    subprocess.run(["skopeo", "copy", "-q", form, "dir:out"], check=True, capture_output=True, timeout=60)
    with open("out/manifest.json") as f:
        assert json.load(f)["config"]["digest"] == archives.digest(config_of(LAYERS))


def test_umoci_reads_it(filled):
    save(filled, "one:1")
    subprocess.run(["sh", "-c", "mkdir l && tar -C l -xf saved.tar"], check=True)
    subprocess.run(["umoci", "raw", "unpack", "--image", "l:docker.io/library/one:1", "out"], check=True,
                   capture_output=True, timeout=60)
    with open("out/base", "rb") as f:
        assert f.read() == b"b" * 3000
