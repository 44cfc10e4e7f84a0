# SPDX-License-Identifier: Apache-2.0
"""libimage against real programs and hostile archives, through the example programs."""
import fcntl
import gzip
import json
import os
import random
import signal
import stat
import struct
import subprocess
import tarfile
import time

import pytest

from image import archives
from image.archives import HOSTILE_LAYERS, docker_save, entry, oci_archive, tar
from image.store import BIN, Store, write

def rootfs(tmp_path):
    return write(tmp_path / "rootfs.tar", tar(
        entry("./", tarfile.DIRTYPE, mode=0o755), entry("./etc/", tarfile.DIRTYPE, mode=0o711),
        entry("./etc/motd", data=b"hello\n", mode=0o640, uid=7, gid=8),
        entry("./bin/sh", data=b"#!" * 50, mode=0o4755), entry("./bin/ls", tarfile.LNKTYPE,
                                                             linkname="./bin/sh"),
        entry("./tmp/", tarfile.DIRTYPE, mode=0o1777), entry("./link", tarfile.SYMTYPE,
                                                           linkname="/etc/motd"),
        entry("./dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        entry("./pipe", tarfile.FIFOTYPE, mode=0o600)))


def test_import_keeps_attributes(store, tmp_path):
    store.load("-i", "base", rootfs(tmp_path))
    root = store.tree()
    motd, shell = os.stat(root + "/etc/motd"), os.stat(root + "/bin/sh")
    assert (stat.S_IMODE(motd.st_mode), motd.st_uid, motd.st_gid) == (0o640, 7, 8)
    assert motd.st_mtime == os.stat(root + "/etc").st_mtime == 1000000000
    assert stat.S_IMODE(shell.st_mode) == 0o4755 and shell.st_nlink == 2
    assert stat.S_IMODE(os.stat(root + "/tmp").st_mode) == 0o1777
    assert stat.S_IMODE(os.stat(root + "/etc").st_mode) == 0o711
    assert stat.S_IMODE(os.stat(root + "/bin").st_mode) == 0o755  # not listed
    assert os.readlink(root + "/link") == "/etc/motd"
    assert os.stat(root + "/dev/null").st_rdev == os.makedev(1, 3)
    assert stat.S_ISFIFO(os.stat(root + "/pipe").st_mode)


@pytest.mark.parametrize("program", ["gzip", "bzip2", "xz", "zstd"])
def test_compressed(store, tmp_path, program):
    plain = rootfs(tmp_path)
    subprocess.run([program, "-k", "-q", plain], check=True)
    packed = next(p for p in tmp_path.iterdir() if p.name.startswith("rootfs.tar."))
    store.load("-i", "base", packed)
    store.load("-i", "plain", plain)
    assert len(os.listdir(store.path + "/layers/sha256")) == 1  # one diff id


def test_gzip_of_several_members(store, tmp_path):
    data = rootfs(tmp_path).read_bytes()
    store.load("-i", "base", write(tmp_path / "m.gz", gzip.compress(data[:700]) +
                                   gzip.compress(b"") + gzip.compress(data[700:])))
    store.tree()


@pytest.mark.parametrize("form", ["docker-archive", "oci-archive", "oci"])
def test_skopeo_both_ways(store, tmp_path, form):
    """What skopeo makes of our store comes back with the same image id."""
    store.load("-i", "base", rootfs(tmp_path))
    out = tmp_path / "out"
    subprocess.run(["skopeo", "copy", "-q", f"oci:{store.path}:docker.io/library/base:latest",
                    f"{form}:{out}:base:copy"], check=True, timeout=60)
    other = Store(tmp_path / "other")
    other.load(out)
    assert other.images() == [[store.images()[0][0], "docker.io/library/base:copy"]]
    assert sorted(os.listdir(other.path + "/layers/sha256")) == \
        sorted(os.listdir(store.path + "/layers/sha256"))


def test_umoci_both_ways(store, tmp_path):
    layout = tmp_path / "layout"
    for command in (["init", "--layout", layout], ["new", "--image", f"{layout}:v1"],
                    ["insert", "--image", f"{layout}:v1", rootfs(tmp_path), "/data"]):
        subprocess.run(["umoci", *command], check=True, timeout=60, capture_output=True)
    store.load(layout)
    assert os.path.exists(store.tree() + "/data")
    listed = subprocess.run(["umoci", "ls", "--layout", store.path], check=True, text=True,
                            capture_output=True, timeout=60).stdout.split()
    assert listed == ["docker.io/library/v1:latest"]


def test_names_move_and_images_go(store, tmp_path):
    one = write(tmp_path / "1.tar", docker_save([tar(entry("a", data=b"1"))]))
    two = write(tmp_path / "2.tar", docker_save([tar(entry("a", data=b"2"))]))
    store.load(one)
    first = store.images()[0][0]
    store.run("image-list", "tag", "test", "keep:1")
    store.load(two)
    assert [first, "docker.io/library/keep:1"] in store.images()
    assert store.run("image-list", "remove", first[7:14]).stdout.count("\n") == 1
    store.run("image-list", "remove", "test")
    assert store.leftovers() == []


@pytest.mark.parametrize("kind", ["overlay", "copy"])
def test_root_with_whiteouts(store, tmp_path, kind):
    """Two layers: hidden files, an opaque directory, attributes of a directory that is not listed."""
    base = tar(entry("etc/", tarfile.DIRTYPE, mode=0o700), entry("etc/a", data=b"a"),
               entry("opq/x", data=b"x"), entry("gone/y", data=b"y"),
               entry("new/lower", data=b"l"))
    top = tar(entry("etc/b", data=b"b"), entry("etc/.wh.a"), entry("opq/.wh..wh..opq"),
              entry("opq/z", data=b"z"), entry(".wh.gone"), entry("new/", tarfile.DIRTYPE),
              entry(".wh.new"), entry("new/upper", data=b"u"),
              entry(".wh..wh.plnk/1.2", data=b"p"))
    store.load(write(tmp_path / "i.tar", docker_save([base, top])))
    work, target = tmp_path / "c1", tmp_path / "mnt"
    work.mkdir()
    target.mkdir()
    store.run("image-root", "test", "c1", work, target, env={"IMAGE_ROOT": kind})
    try:
        found = sorted(os.path.relpath(os.path.join(d, f), target)
                       for d, _, files in os.walk(target) for f in files)
        assert found == ["etc/b", "new/upper", "opq/z"]
        assert stat.S_IMODE(os.stat(target / "etc").st_mode) == 0o700
        (target / "etc/c").write_text("written")
        in_use = store.run("image-list", "remove", "test", check=False)
        assert in_use.returncode == 1 and "container c1 is using" in in_use.stderr
    finally:
        subprocess.run(["umount", target], check=True)
    assert (work / ("copy" if kind == "copy" else "upper") / "etc/c").read_text() == "written"
    store.run("image-root", "-r", "c1")
    store.run("image-list", "remove", "test")
    assert store.leftovers() == []


@pytest.mark.parametrize("name", HOSTILE_LAYERS)
def test_hostile_layer(store, tmp_path, name):
    layer, words = HOSTILE_LAYERS[name]
    store.refuses(write(tmp_path / "i.tar", docker_save([layer])), words)
    assert store.leftovers() == []
    assert not (tmp_path / "evil").exists()


def test_links_are_followed_inside_only(store, tmp_path):
    """Writing through a link lands in the layer, never on the host."""
    outside = tmp_path / "outside"
    outside.mkdir()
    store.load(write(tmp_path / "i.tar", docker_save([tar(
        entry("target/", tarfile.DIRTYPE), entry("in", tarfile.SYMTYPE, linkname="/target"),
        entry("in/file", data=b"x"), entry("up", tarfile.SYMTYPE, linkname="../../../target"),
        entry("up/file2", data=b"x"), entry("/abs", data=b"x"))])))
    assert sorted(os.listdir(store.tree() + "/target")) == ["file", "file2"]
    assert os.path.isfile(store.tree() + "/abs") and not os.path.exists("/abs")
    bad = tar(entry("l", tarfile.SYMTYPE, linkname=str(outside)), entry("l/evil", data=b"x"))
    store.load(write(tmp_path / "j.tar", docker_save([bad])), check=False)
    assert os.listdir(outside) == []


def test_replacing(store, tmp_path):
    """A later entry takes the place of an earlier one of another kind."""
    store.load(write(tmp_path / "i.tar", docker_save([tar(
        entry("a/b", data=b"x"), entry("a", data=b"file"), entry("f", data=b"x"),
        entry("f/", tarfile.DIRTYPE), entry("f/g", data=b"y"),
        entry("l", tarfile.SYMTYPE, linkname="f"), entry("l", data=b"plain"))])))
    root = store.tree()
    assert open(root + "/a").read() == "file" and open(root + "/f/g").read() == "y"
    assert not os.path.islink(root + "/l") and open(root + "/l").read() == "plain"


def change_layer(blobs):
    name = max(blobs, key=lambda n: blobs[n][:2] == b"\x1f\x8b")
    blobs[name] = blobs[name] + b"\0"


@pytest.mark.parametrize("what, archive, words", [
    ("wrong-digest", lambda l: oci_archive(l, blob_edit=change_layer), "has digest"),
    ("wrong-size", lambda l: oci_archive(l, lambda m: m["layers"][0].update(size=7)), "bytes, not"),
    ("both", lambda l: oci_archive(l, lambda m: m.update(manifests=[])), "same time"),
    ("missing", lambda l: oci_archive(l, blob_edit=lambda b: b.pop(next(iter(b)))), "missing"),
    ("no-diff-id", lambda l: docker_save([l], archives.config_of([])), "layers, its config"),
    ("wrong-diff-id", lambda l: docker_save([l], archives.config_of([b"other"])), "diff id"),
    ("twice", lambda l: docker_save([l], b'{"os":"linux","os":"x"}'), "duplicate"),
    ("layer-outside", lambda l: tar(entry("c.json", data=archives.config_of([l])), entry(
        "manifest.json", data=b'[{"Config":"c.json","Layers":["../../l.tar"]}]')), "outside"),
    ("link-out", lambda l: tar(entry("a/l.tar", tarfile.SYMTYPE, linkname="../../x")), "leaves"),
    ("no-image", lambda l: l, "neither index.json"),
    ("empty", lambda l: b"", "cut short"),
    ("not-tar", lambda l: b"hello" * 500, "not a valid tar"),
])
def test_bad_archive(store, tmp_path, what, archive, words):
    store.refuses(write(tmp_path / "i.tar", archive(tar(entry("a", data=b"x")))), words)
    assert store.leftovers() == []


@pytest.mark.parametrize("program", ["gzip", "zstd"])
@pytest.mark.parametrize("how", [["-i", "bomb"], []], ids=["layer", "archive"])
def test_bomb(store, tmp_path, program, how):
    bomb = subprocess.run([program, "-1c"], input=tar(entry("zeros", data=bytes(300 << 20))), check=True,
                          stdout=subprocess.PIPE).stdout
    done = store.load(*how, write(tmp_path / "b", bomb), check=False)
    assert done.returncode == 1 and "limit ratio" in done.stderr
    assert store.leftovers() == []


def test_names_that_differ_in_case_stay_apart(store, tmp_path):
    store.load(write(tmp_path / "i.tar", docker_save([tar(
        entry("A", tarfile.SYMTYPE, linkname="/etc"), entry("a/", tarfile.DIRTYPE), entry("a/passwd", data=b"x"),
        entry(".WH.a", data=b"plain"))])))
    assert sorted(os.listdir(store.tree())) == [".WH.a", "A", "a"]
    assert os.listdir(store.tree() + "/a") == ["passwd"]


@pytest.mark.parametrize("size", ["300k", "500k", "900k", "1500k"])
def test_a_full_disk(tmp_path, size):
    """At whatever step it fills: a clear error, nothing half, and with room the same load works."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", small], check=True)
    try:
        store = Store(small / "s")
        path = write(tmp_path / "i.tar", docker_save([tar(entry("f", data=os.urandom(400000))), tar(entry("g"))]))
        done = store.load(path, check=False)
        if done.returncode:
            assert "No space left" in done.stderr and store.leftovers() == []
        subprocess.run(["mount", "-o", "remount,size=9m", small], check=True)
        store.load(path)
        assert len(store.images()) == 1
    finally:
        subprocess.run(["umount", small], check=True)


def test_kill_while_a_root_is_prepared(store, tmp_path):
    """The root unpacks a layer that is missing. A kill leaves none or a whole one."""
    path = write(tmp_path / "i.tar", tar(*(entry(f"d{i % 9}/f{i}", data=b"x" * 999) for i in range(2000))))
    (tmp_path / "c").mkdir()
    (tmp_path / "m").mkdir()
    store.load("-i", "base", path)
    for _ in range(12):
        for layer in os.listdir(store.path + "/layers/sha256"):
            subprocess.run(["rm", "-r", f"{store.path}/layers/sha256/{layer}"], check=True)
        child = subprocess.Popen([BIN + "image-root", store.path, "base", "c", tmp_path / "c", tmp_path / "m"])
        time.sleep(random.random() * 0.08)
        child.send_signal(signal.SIGKILL)
        child.wait()
        subprocess.run(["umount", tmp_path / "m"], capture_output=True)
        store.run("image-root", "base", "c", tmp_path / "c", tmp_path / "m")
        assert sum(len(f) for _, _, f in os.walk(tmp_path / "m")) == 2000
        subprocess.run(["umount", tmp_path / "m"], check=True)
        assert os.listdir(store.path + "/layers/tmp") == []


@pytest.mark.parametrize("form", ["docker", "oci", "gzip"])
def test_cut_anywhere(store, tmp_path, form):
    """A whole archive loads; cut at any byte it is refused and leaves nothing, except where only
    padding is missing."""
    layer = tar(entry("a", data=b"x" * 700))
    data = oci_archive(layer) if form == "oci" else docker_save([layer])
    end = len(data.rstrip(b"\0")) + 512
    if form == "gzip":
        data = gzip.compress(data)
        end = len(data)
    for cut in random.Random(1).sample(range(end), 60) + [0, 1, end - 513, end - 1]:
        store.refuses(write(tmp_path / "cut.tar", data[:max(cut, 0)]), "")
        assert store.leftovers() == []


def test_kill_at_any_moment(store, tmp_path):
    """After SIGKILL the next load works, and collection leaves nothing of the dead."""
    layers = [tar(*(entry(f"d{i}/f{j}", data=os.urandom(3000)) for j in range(300)))
              for i in range(4)]
    path = write(tmp_path / "i.tar", docker_save(layers))
    start = time.monotonic()
    store.load(path)
    whole = time.monotonic() - start
    store.run("image-list", "remove", "test")
    for _ in range(25):
        child = subprocess.Popen([BIN + "image-load", store.path, path], stdout=subprocess.DEVNULL)
        time.sleep(random.random() * whole)
        child.send_signal(signal.SIGKILL)
        child.wait()
        json.load(open(store.path + "/index.json"))
        store.load(path)
        assert os.listdir(store.path + "/layers/tmp") == []
        store.run("image-list", "remove", "test")
        store.run("image-list", "collect")
        assert store.leftovers() == []


def test_after_a_power_cut(store, tmp_path):
    """What was loaded in an earlier run of the machine is checked: damaged blobs go, layers are unpacked anew."""
    layers = [tar(entry(f"f{i}", data=os.urandom(50000))) for i in range(2)]
    path = write(tmp_path / "i.tar", docker_save(layers))
    store.load(path)
    record = tmp_path / "store/layers/pending"
    lines = record.read_text().splitlines()
    assert lines[0].startswith("run ") and len(lines) == 1 + 4 + 2  # two layers, config, manifest; two trees
    tree = f"{store.path}/layers/sha256/{lines[-1]}/fs/f1"
    (tmp_path / "c").mkdir()
    (tmp_path / "m").mkdir()

    def mount(**more):
        done = store.run("image-root", "test", "c", tmp_path / "c", tmp_path / "m", **more)
        subprocess.run(["umount", tmp_path / "m"], check=done.returncode == 0, capture_output=True)
        return done
    mount()
    os.truncate(tree, 0)
    record.write_text("\n".join(["run of before", "torn \0\0", *lines[1:], ""]))
    mount()
    assert os.stat(tree).st_size == 50000 and record.read_text().startswith(lines[0])

    os.truncate(f"{store.path}/blobs/sha256/{archives.digest(layers[0])[7:]}", 100)
    record.write_text("\n".join(["run of before", *lines[1:], ""]))
    broken = mount(check=False)
    assert broken.returncode and "is not in the store" in broken.stderr and record.read_text() == ""
    store.load(path)
    mount()


def test_the_record_of_what_is_pending_ends(store, tmp_path):
    store.load(write(tmp_path / "i.tar", docker_save([tar(entry("f"))])))
    record = store.path + "/layers/pending"
    store.images()
    assert os.stat(record).st_size > 0
    os.utime(record, (time.time() - 61,) * 2)
    store.images()
    assert os.stat(record).st_size == 0


def test_leftovers_of_replaced_files(store, tmp_path):
    """A temporary of index.json or of a root's record is neither kept nor taken for a root."""
    store.load("-i", "base", rootfs(tmp_path))
    digest = json.load(open(store.path + "/index.json"))["manifests"][0]["digest"]
    for name in "index.json.0123456789abcdef.tmp", "layers/roots/c1.0123456789abcdef.tmp":
        (tmp_path / "store" / name).write_text(digest)
    store.run("image-list", "remove", "base")
    assert store.leftovers() == []


def test_loads_race_with_collection(store, tmp_path):
    paths = [write(tmp_path / f"{i}.tar", docker_save(
        [tar(*(entry(f"f{i}-{j}", data=b"x" * 2000) for j in range(200)))], tags=[f"t:{i}"]))
        for i in range(4)]
    store.load(paths[0])
    loads = [subprocess.Popen([BIN + "image-load", store.path, p], stdout=subprocess.DEVNULL)
             for p in paths for _ in range(2)]
    while any(p.poll() is None for p in loads):
        store.run("image-list", "collect", check=False)
    assert [p.returncode for p in loads] == [0] * len(loads)
    assert len(store.images()) == 4
    for i in range(4):
        (tmp_path / f"c{i}").mkdir()
        (tmp_path / f"m{i}").mkdir()
        store.run("image-root", f"t:{i}", f"c{i}", tmp_path / f"c{i}", tmp_path / f"m{i}")
        try:
            assert len(os.listdir(tmp_path / f"m{i}")) == 200
        finally:
            subprocess.run(["umount", tmp_path / f"m{i}"], check=True)


def test_second_process_waits_for_the_layer(store, tmp_path):
    """Whoever unpacks a layer holds its byte of layers/unpack: a load waits for it, then goes on."""
    layer = tar(entry("f", data=b"x"))
    path = write(tmp_path / "i.tar", docker_save([layer]))
    store.run("image-list")
    with open(store.path + "/layers/unpack", "w+b") as lock:
        flock = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, int(archives.digest(layer)[7:22], 16), 1, 0)
        fcntl.fcntl(lock, fcntl.F_OFD_SETLK, flock)
        load = subprocess.Popen([BIN + "image-load", store.path, path], stdout=subprocess.DEVNULL)
        with pytest.raises(subprocess.TimeoutExpired):
            load.wait(timeout=0.5)
    assert load.wait(timeout=10) == 0
    assert os.listdir(store.tree()) == ["f"]
