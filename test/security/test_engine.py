# SPDX-License-Identifier: Apache-2.0
"""The cases that are an engine's: users by an image's passwd, and archives that lead out of the root."""
import io
import os
import subprocess
import tarfile

import pytest

from conftest import HOST
from wharf.conftest import Wharf, busybox_tar


@pytest.fixture
def wharf(world):
    busybox_tar("bb.tar")
    w = Wharf(f"{world.directory}/r")
    yield w
    ids = w.ok("ps", "-aq").split()
    if ids:
        w.ok("rm", "-f", *ids)
    subprocess.run(["rm", "-rf", w.root, "bb.tar"], check=True)


def add(tar, name, text=None, **fields):
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    info.size = len(text or "")
    tar.addfile(info, io.BytesIO(text.encode()) if text else None)


PASSWD = "root:x:0:0::/root:/bin/sh\n1000:x:0:0:root by a number:/root:/bin/sh\n"


@pytest.mark.parametrize("user, identity", [("1000", "1000"), ("1000:1000", "1000"), ("root", "0")])
def test_cve_2016_3697_numeric_name_in_the_images_passwd(wharf, user, identity):
    with tarfile.open("bb.tar", "a") as tar:
        add(tar, "./etc/passwd", PASSWD, mode=0o644)
        add(tar, "./etc/group", "root:x:0:\n1000:x:0:\n", mode=0o644)
    wharf.ok("import", os.path.abspath("bb.tar"), "odd")
    assert wharf.ok("run", "--rm", "-u", user, "odd", "id", "-u").strip() == identity


@pytest.mark.parametrize("user", ["1000x", "-1", "4294967296", "nobody-here", "0x0", "1000:nogroup"])
def test_cve_2026_30892_user_is_strict(wharf, user):
    wharf.ok("import", os.path.abspath("bb.tar"), "box")
    code, out, err = wharf.run("run", "--rm", "-u", user, "box", "id")
    assert code != 0 and err and "uid=" not in out


ENTRIES = {
    "..": [("../../../../../../../../.." + HOST + "/new", {})],
    "absolute": [(HOST + "/new", {})],
    "through a link": [("out", {"type": tarfile.SYMTYPE, "linkname": HOST}), ("out/new", {})],
    "through a relative link": [("out", {"type": tarfile.SYMTYPE, "linkname": "../" * 12 + HOST.lstrip("/")}),
                                ("out/secret", {})],
    "hard link to the host": [("hard", {"type": tarfile.LNKTYPE, "linkname": HOST + "/secret"}), ("hard", {})],
    "hard link through a link": [("out", {"type": tarfile.SYMTYPE, "linkname": HOST}),
                                 ("hard", {"type": tarfile.LNKTYPE, "linkname": "out/secret"}), ("hard", {})],
    "whiteout outside": [("out", {"type": tarfile.SYMTYPE, "linkname": HOST}), ("out/.wh.secret", {})],
    "opaque outside": [("out", {"type": tarfile.SYMTYPE, "linkname": HOST}), ("out/.wh..wh..opq", {})],
}


@pytest.mark.parametrize("entries", ENTRIES.values(), ids=ENTRIES.keys())
def test_cve_2018_15664_2019_14271_archive_leads_out(wharf, entries):
    """The guard of conftest.py finds what such an archive wrote or removed on the host."""
    with tarfile.open("bb.tar", "a") as tar:
        for name, fields in entries:
            add(tar, name, None if fields else "evil", mode=0o644, **fields)
    code, _, err = wharf.run("import", os.path.abspath("bb.tar"), "evil")
    assert code == 0 or err
    if code == 0:
        wharf.run("run", "--rm", "evil", "true")


def test_cve_2024_21626_workdir_of_the_image(wharf):
    wharf.ok("import", os.path.abspath("bb.tar"), "box")
    for number in range(3, 21):
        code, out, _ = wharf.run("run", "--rm", "-w", f"/proc/self/fd/{number}", "box", "ls", ".", "..")
        assert code != 0 or not {"containers", "secret", "host"} & set(out.split())


def test_descriptors_of_a_container(wharf):
    wharf.ok("import", os.path.abspath("bb.tar"), "box")
    listed = wharf.ok("run", "--rm", "box", "ls", "/proc/self/fd").split()
    assert listed == ["0", "1", "2", "3"]  # 3 is the directory that ls reads


def test_cve_2019_5736_entry_is_the_runtimes_image(wharf):
    wharf.ok("import", os.path.abspath("bb.tar"), "box")
    code, out, _ = wharf.run("run", "--rm", "--entrypoint", "/proc/self/exe", "box")
    assert code != 0 and not out
