# SPDX-License-Identifier: Apache-2.0
"""Images: pull, push, save and load of a seven-layer image (96 MB packed, 214 MB unpacked), from and to Debian's
docker-registry on the loopback, beside dockerd, podman and skopeo; and what the machine itself asks for: hashing,
inflating and writing the same bytes.

    script/bench image [RUNS] [--alone] [--in DIRECTORY]

--alone leaves the peers out. Everything is written below DIRECTORY (/var/tmp). The trap there: ext4 does not give
out an inode again within minutes of its deletion, and searches past all of those, so that on a disk each run is
slower than the one before, for everybody; on a tmpfs (--in /dev/shm) runs are alike, and the disk costs nothing.
"""
import argparse
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tarfile
import tempfile
import time

from compare import Bench, TOP, measure

WHARF = f"{TOP}/build/cmd/wharf/wharf"
# (files, bytes of one): two large layers of small files as distributions have them, some large files
LAYERS = [(5000, 14000), (2500, 14000), (8, 4000000), (400, 60000), (3, 7000000), (1, 20000000), (200, 300)]


def layer(seed, count, size):
    """A tar whose bytes compress as those of programs do, to 45 %."""
    dice, out = random.Random(seed), io.BytesIO()
    text = "".join(dice.choice("etaoin shrdlu\n") for _ in range(4096)).encode()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as t:
        for i in range(count):
            data = b"".join(dice.randbytes(1024) + (text * 2)[(at := dice.randrange(3000)):at + 1800]
                            for _ in range(size // 2824 + 1))[:size]
            info = tarfile.TarInfo(f"usr/{seed}/{i // 64}/file-{i}")
            info.size, info.mtime, info.mode = len(data), 1600000000, 0o644
            t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_image(path):
    """An OCI archive, the same bytes every time; made once and kept."""
    if os.path.exists(path):
        return

    def digest(data):
        return "sha256:" + hashlib.sha256(data).hexdigest()

    def describe(data, kind):
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": digest(data), "size": len(data)}
    plain = [layer(i, *shape) for i, shape in enumerate(LAYERS)]
    packed = [gzip.compress(p, 6, mtime=0) for p in plain]
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
                         "rootfs": {"type": "layers", "diff_ids": [digest(p) for p in plain]}}).encode()
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                           "config": describe(config, "config.v1+json"),
                           "layers": [describe(p, "layer.v1.tar+gzip") for p in packed]}).encode()
    index = {"schemaVersion": 2, "manifests": [
        {**describe(manifest, "manifest.v1+json"),
         "annotations": {"org.opencontainers.image.ref.name": "docker.io/library/seven:1"}}]}
    members = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
    members.update({"blobs/sha256/" + digest(b)[7:]: b for b in [config, manifest, *packed]})
    with tarfile.open(path + ".new", "w") as t:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            t.addfile(info, io.BytesIO(data))
    os.rename(path + ".new", path)


class Registry:
    """docker-registry on a port, its content in a directory that may be emptied."""

    def __init__(self, folder, port):
        self.folder, self.host = folder, f"127.0.0.1:{port}"
        with open(f"{folder}.yml", "w") as f:
            f.write(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}}}}}\n"
                    f"http: {{addr: '{self.host}'}}\nlog: {{accesslog: {{disabled: true}}, level: error}}\n")
        self.process = subprocess.Popen(["docker-registry", "serve", f"{folder}.yml"], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        time.sleep(0.5)

    def empty(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def quiet(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run(*command, before=None, output=None):
    """A subject: `before` is not measured, nor is what earlier subjects left unwritten."""
    def once():
        if before:
            before()
        os.sync()
        with open(output or os.devnull, "wb") as f:
            return measure(list(command), stdout=f, stderr=subprocess.DEVNULL)
    return once


def peak_memory(command):
    """The largest resident size of a process, MB."""
    process, peak = subprocess.Popen(command, stdout=subprocess.DEVNULL), 0
    while process.poll() is None:
        try:
            with open(f"/proc/{process.pid}/status") as f:
                peak = max([peak] + [int(line.split()[1]) for line in f if line.startswith("VmHWM")])
        except (OSError, ProcessLookupError):
            pass
        time.sleep(0.005)
    return peak / 1024


class Peers:
    """dockerd and podman with everything of theirs below one folder."""

    def __init__(self, folder):
        self.docker = ["docker", "-H", f"unix://{folder}/docker.sock"]
        self.podman = ["podman", "--root", f"{folder}/podman", "--runroot", f"{folder}/podman-run",
                       "--storage-driver", "overlay"]
        self.daemon = subprocess.Popen(
            ["dockerd", "-H", f"unix://{folder}/docker.sock", "--data-root", f"{folder}/docker", "--exec-root",
             f"{folder}/docker-run", "--pidfile", f"{folder}/docker.pid", "--bridge", "none", "--iptables=false",
             "--ip6tables=false", "--storage-driver", "overlay2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while subprocess.run([*self.docker, "version"], capture_output=True).returncode:
            time.sleep(0.2)

    def forget(self, *names):
        def before():
            for name in names:
                subprocess.run([*self.docker, "rmi", "-f", name], capture_output=True)
            subprocess.run([*self.podman, "rmi", "-af"], capture_output=True)
        return before

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("runs", nargs="?", type=int, default=5)
    arguments.add_argument("--alone", action="store_true")
    arguments.add_argument("--in", dest="where", default="/var/tmp")
    given = arguments.parse_args()
    runs, folder = given.runs, tempfile.mkdtemp(prefix="wharf-bench-image-", dir=given.where)
    archive = f"{tempfile.gettempdir()}/wharf-bench-seven.tar"
    make_image(archive)
    bench = Bench("image")
    source, target = Registry(f"{folder}/source", 15071), Registry(f"{folder}/target", 15072)
    peers = None if given.alone else Peers(folder)
    pulled, pushed = f"{source.host}/seven:1", f"{target.host}/seven:1"
    root, other = f"{folder}/wharf", f"{folder}/other"
    try:
        measure_all(bench, runs, folder, archive, source, target, peers, pulled, pushed, root, other)
        bench.finish()
    finally:
        if peers:
            peers.stop()
        for registry in (source, target):
            registry.process.kill()
            registry.process.wait()
        subprocess.run(["umount", f"{folder}/podman/overlay"], capture_output=True)
        shutil.rmtree(folder, ignore_errors=True)


def floors(folder, archive):
    """The same bytes hashed, inflated, and written: each by itself."""
    with tarfile.open(archive) as t:
        blobs = [t.extractfile(m).read() for m in t if m.size > 100000]
    plain = [gzip.decompress(b) for b in blobs]
    begin = time.monotonic()
    for b in blobs + plain:
        hashlib.sha256(b).digest()
    hashed = time.monotonic() - begin
    for i, b in enumerate(blobs):
        with open(f"{folder}/floor-{i}", "wb") as f:
            f.write(b)
    names = [f"{folder}/floor-{i}" for i in range(len(blobs))]
    tool = "igzip" if shutil.which("igzip") else "gzip"
    begin = time.monotonic()
    subprocess.run([tool, "-dc", *names], stdout=subprocess.DEVNULL, check=True)
    inflated = time.monotonic() - begin
    os.sync()
    begin = time.monotonic()
    with open(f"{folder}/floor", "wb") as f:
        for b in blobs + plain:
            f.write(b)
        os.fsync(f.fileno())
    written = time.monotonic() - begin
    return [("hash", hashed), (f"inflate ({tool})", inflated), ("write and sync", written)]


def measure_all(bench, runs, folder, archive, source, target, peers, pulled, pushed, root, other):
    quiet(WHARF, "--root", root, "load", "-i", archive)
    quiet(WHARF, "--root", root, "tag", "seven:1", pulled)
    quiet(WHARF, "--root", root, "tag", "seven:1", pushed)
    quiet(WHARF, "--root", root, "push", pulled)

    def clear():
        shutil.rmtree(other, ignore_errors=True)
    wharf, saved = [WHARF, "--root", other], f"{folder}/saved.tar"
    cases = {"pull": {"wharf": run(*wharf, "pull", pulled, before=clear)},
             "push": {"wharf": run(WHARF, "--root", root, "push", pushed, before=target.empty)},
             "save": {"wharf": run(WHARF, "--root", root, "save", "-o", saved, "seven:1")},
             "load": {"wharf": run(*wharf, "load", "-i", f"{folder}/old.tar", before=clear)}}
    if peers:
        docker, podman, forget = peers.docker, peers.podman, peers.forget
        names = (pulled, pushed, "seven:1")
        quiet(*docker, "pull", pulled)
        quiet(*docker, "tag", pulled, "seven:1")
        quiet(*docker, "save", "-o", f"{folder}/old.tar", "seven:1")
        cases["pull"].update({
            "dockerd": run(*docker, "pull", pulled, before=forget(*names)),
            "podman": run(*podman, "pull", "--tls-verify=false", pulled, before=forget()),
            "skopeo (packed)": run("skopeo", "copy", "--src-tls-verify=false", f"docker://{pulled}",
                                   f"oci:{other}-skopeo:x", before=lambda: shutil.rmtree(f"{other}-skopeo", True))})

        def present(name):
            def before():
                target.empty()
                quiet(*docker, "pull", pulled)
                quiet(*docker, "tag", pulled, name)
                quiet(*podman, "pull", "--tls-verify=false", pulled)
                quiet(*podman, "tag", pulled, name)
            return before
        cases["push"].update({
            "dockerd": run(*docker, "push", pushed, before=present(pushed)),
            "podman": run(*podman, "push", "--tls-verify=false", pushed, before=present(pushed))})
        cases["save"].update({
            "dockerd": run(*docker, "save", "-o", f"{folder}/d.tar", "seven:1", before=present("seven:1")),
            "podman": run(*podman, "save", "-q", "-o", f"{folder}/p.tar", "seven:1",
                          before=lambda: (present("seven:1")(), os.path.exists(f"{folder}/p.tar") and
                                          os.unlink(f"{folder}/p.tar")))})
        cases["load"].update({
            "dockerd": run(*docker, "load", "-i", f"{folder}/old.tar", before=forget(*names)),
            "podman": run(*podman, "load", "-q", "-i", f"{folder}/old.tar", before=forget())})
    else:
        shutil.copy(archive, f"{folder}/old.tar")
    for name, subjects in cases.items():
        bench.case(name, subjects, runs=runs)
    clear()
    bench.add({"case": "pull", "subject": "wharf", "unit": "peak MB", "runs": 1,
               "median": peak_memory([*wharf, "pull", pulled])})
    for what, seconds in floors(folder, archive):
        bench.add({"case": f"limit: {what}", "subject": "floor", "unit": "wall ms", "runs": 1,
                   "median": seconds * 1e3})


main()
