# SPDX-License-Identifier: Apache-2.0
"""Archives made by hand: layers with chosen entries, and the images around them."""
import gzip
import hashlib
import io
import json
import tarfile


def entry(name, type=tarfile.REGTYPE, data=b"", **fields):
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = type, len(data), 1000000000
    for key, value in fields.items():
        setattr(info, key, value)
    return info, data


def tar(*entries, format=tarfile.GNU_FORMAT):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        for info, data in entries:
            archive.addfile(info, io.BytesIO(data) if data else None)
    return out.getvalue()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def config_of(layers, **more):
    return json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/sh"]},
                       "rootfs": {"type": "layers", "diff_ids": [digest(x) for x in layers]},
                       **more}).encode()


def docker_save(layers, config=None, tags=("test:latest",)):
    """The old form of `docker save`."""
    config = config or config_of(layers)
    name = hashlib.sha256(config).hexdigest() + ".json"
    files = [entry(name, data=config)]
    paths = []
    for i, layer in enumerate(layers):
        paths.append(f"{i:064x}/layer.tar")
        files.append(entry(paths[-1], data=layer))
    manifest = [{"Config": name, "RepoTags": list(tags), "Layers": paths}]
    return tar(*files, entry("manifest.json", data=json.dumps(manifest).encode()))


def descriptor(data, media_type, **more):
    return {"mediaType": media_type, "digest": digest(data), "size": len(data), **more}


def oci_archive(layer, manifest_edit=lambda m: None, blob_edit=lambda b: None):
    """An archive of an OCI layout of one gzip layer; the edits break it."""
    packed, config = gzip.compress(layer, mtime=0), config_of([layer])
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": descriptor(config, "application/vnd.oci.image.config.v1+json"),
                "layers": [descriptor(packed, "application/vnd.oci.image.layer.v1.tar+gzip")]}
    manifest_edit(manifest)
    text = json.dumps(manifest).encode()
    index = {"schemaVersion": 2, "manifests": [descriptor(
        text, "application/vnd.oci.image.manifest.v1+json",
        annotations={"org.opencontainers.image.ref.name": "test:oci"})]}
    blobs = {digest(b)[7:]: b for b in (packed, config, text)}
    blob_edit(blobs)
    return tar(entry("oci-layout", data=b'{"imageLayoutVersion":"1.0.0"}'),
               entry("index.json", data=json.dumps(index).encode()),
               *(entry("blobs/sha256/" + name, data=b) for name, b in blobs.items()))


# layers that must be refused: {name: (layer, words of the message)}
HOSTILE_LAYERS = {
    "dotdot": (tar(entry("../evil", data=b"x")), "contains '..'"),
    "dotdot-inside": (tar(entry("a/../../evil", data=b"x")), "contains '..'"),
    "hardlink-outside": (tar(entry("l", tarfile.LNKTYPE, linkname="../../etc/passwd")), "'..'"),
    "hardlink-host": (tar(entry("l", tarfile.LNKTYPE, linkname="/etc/hostname")), "lacks"),
    "hardlink-self": (tar(entry("l", tarfile.LNKTYPE, linkname="l")), "itself"),
    "hardlink-through-link": (tar(entry("d", tarfile.SYMTYPE, linkname="/etc"),
                                  entry("l", tarfile.LNKTYPE, linkname="d/passwd")), "lacks"),
    "below-a-file": (tar(entry("a", data=b"x"), entry("a/b", data=b"x")), "not a directory"),
    "link-loop": (tar(entry("a", tarfile.SYMTYPE, linkname="a"), entry("a/b", data=b"x")),
                  "not a directory"),
    "root-is-a-file": (tar(entry("./", tarfile.SYMTYPE, linkname="/etc")), "root itself"),
    "whiteout-of-nothing": (tar(entry("a/.wh.")), "names nothing"),
    "whiteout-of-parent": (tar(entry("a/.wh...")), "names nothing"),
    "below-a-whiteout": (tar(entry(".wh.a/b", data=b"x")), "below a whiteout"),
    "whiteout-device": (tar(entry("a", tarfile.CHRTYPE, devmajor=0, devminor=0)), "refused"),
    "device-bomb": (tar(*(entry(f"d{i}", tarfile.CHRTYPE, devmajor=1, devminor=3)
                          for i in range(4097))), "layer_devices"),
    "long-name": (tar(entry("a/" * 3000 + "b", data=b"x")), "too long"),
}
