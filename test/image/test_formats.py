# SPDX-License-Identifier: Apache-2.0
"""What an image may look like: several platforms, sha512, attributes, sparse files."""
import hashlib
import json
import os
import platform
import subprocess
import tarfile

import pytest

from image.archives import config_of, descriptor, digest, entry, tar
from image.store import write

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
HERE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
OTHER = "s390x"


def image_blobs(layer, architecture):
    """(manifest, its blobs) of an image of one plain layer."""
    config = json.dumps({**json.loads(config_of([layer])), "architecture": architecture}).encode()
    text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                       "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
                       "layers": [descriptor(layer, "application/vnd.oci.image.layer.v1.tar")]}).encode()
    return text, [layer, config, text]


def layout(top, blobs, name):
    """An archive of a layout whose index.json names the descriptor `top`."""
    index = {"schemaVersion": 2, "manifests": [{**top, "annotations": {"org.opencontainers.image.ref.name": name}}]}
    return tar(entry("oci-layout", data=b'{"imageLayoutVersion":"1.0.0"}'),
               entry("index.json", data=json.dumps(index).encode()),
               *(entry("blobs/" + d.replace(":", "/"), data=b) for d, b in blobs.items()))


def multi_platform(*architectures):
    """An index with one image an architecture, whose layer has a file of that name."""
    entries, blobs = [], {}
    for architecture in architectures:
        text, own = image_blobs(tar(entry(architecture, data=b"x")), architecture)
        entries.append(descriptor(text, MANIFEST, platform={"os": "linux", "architecture": architecture}))
        blobs.update({digest(b): b for b in own})
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode()
    blobs[digest(index)] = index
    return layout(descriptor(index, INDEX), blobs, "many:1")


@pytest.mark.parametrize("order", [(OTHER, HERE), (HERE, OTHER)])
def test_of_several_platforms_this_one_is_taken(store, tmp_path, order):
    store.load(write(tmp_path / "i.tar", multi_platform(*order)))
    assert os.listdir(store.tree()) == [HERE]


def test_none_of_the_platforms_fits(store, tmp_path):
    store.refuses(write(tmp_path / "i.tar", multi_platform(OTHER, "riscv64")), "linux/" + HERE)
    assert store.leftovers() == []


def sha512(data):
    return "sha512:" + hashlib.sha512(data).hexdigest()


def test_sha512_blobs(store, tmp_path):
    layer = tar(entry("file", data=b"x"))
    config = config_of([layer])
    text = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST,
                       "config": {**descriptor(config, "application/vnd.oci.image.config.v1+json"), "digest": sha512(config)},
                       "layers": [{**descriptor(layer, "application/vnd.oci.image.layer.v1.tar"), "digest": sha512(layer)}]}).encode()
    top = {**descriptor(text, MANIFEST), "digest": sha512(text)}
    blobs = {sha512(b): b for b in (layer, config, text)}
    store.load(write(tmp_path / "i.tar", layout(top, blobs, "wide:1")))
    assert os.listdir(store.tree()) == ["file"]
    assert len(os.listdir(store.path + "/blobs/sha512")) == 3
    blobs[sha512(layer)] = layer[:-1] + b"\1"
    store.run("image-list", "remove", "wide:1")
    store.refuses(write(tmp_path / "i.tar", layout(top, blobs, "wide:1")), "sha512:")


def test_extended_attributes(store, tmp_path):
    headers = {"SCHILY.xattr.user.note": "kept", "SCHILY.xattr.trusted.overlay.opaque": "y"}
    layer = tar(entry("file", data=b"x", pax_headers=headers), format=tarfile.PAX_FORMAT)
    store.load("-i", "x", write(tmp_path / "x.tar", layer))
    path = store.tree() + "/file"
    assert os.getxattr(path, "user.note") == b"kept"
    assert "trusted.overlay.opaque" not in os.listxattr(path)


@pytest.mark.parametrize("form", ["gnu", "pax --sparse-version=0.0", "pax --sparse-version=0.1", "pax --sparse-version=1.0"])
def test_sparse_files_keep_their_holes(store, tmp_path, form):
    tree = tmp_path / "tree"
    tree.mkdir()
    with open(tree / "holes", "wb") as f:
        for at in (0, 1 << 20, 5 << 20):
            f.seek(at)
            f.write(b"data at %d" % at)
        f.truncate(8 << 20)
    subprocess.run(["tar", "-S", "-C", tree, *("--format=" + form).split(), "-cf", tmp_path / "x.tar", "."], check=True)
    store.load("-i", "x", tmp_path / "x.tar")
    path = store.tree() + "/holes"
    with open(path, "rb") as got, open(tree / "holes", "rb") as wanted:
        assert got.read() == wanted.read()
    assert os.stat(path).st_blocks * 512 < 1 << 20
