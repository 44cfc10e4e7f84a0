# SPDX-License-Identifier: Apache-2.0
"""data/dockerfiles.txt: its rows, the context that all of them have, and how an image is held against a row."""
import functools
import io
import json
import os
import re
import tarfile

TABLE = os.path.join(os.path.dirname(__file__), "data", "dockerfiles.txt")
MEMBER = re.compile(r"([A-Z]\w+)(?:\[(.+?)\])? (.*)")


class Row:
    def __init__(self, head, body):
        self.name, *flags = head.split()
        self.flags = {f for f in flags if ":" not in f}
        self.parameters = [f.split(":", 1) for f in flags if ":" in f]
        self.expect = [line[3:] for line in body if line.startswith("-- ")]
        lines = [line for line in body if not line.startswith("-- ")]
        if "whole" not in self.flags:
            lines.insert(0, "FROM busybox" if "busybox" in self.flags else "FROM tiny")
        self.text = "".join(line + ("\r\n" if "crlf" in self.flags else "\n") for line in lines)
        self.file = dict(self.parameters).get("file", "Dockerfile")

    def query(self):
        """The parameters of POST /build."""
        query = {"t": f"row-{self.name}", "forcerm": "1", "dockerfile": self.file}
        for kind, value in self.parameters:
            if kind in ("arg", "label"):
                key, _, text = value.partition("=")
                query[{"arg": "buildargs", "label": "labels"}[kind]] = json.dumps({key: text})
            elif kind == "target":
                query["target"] = value
        return query

    def context(self):
        return context({self.file: self.text})

    def wants_error(self):
        return [line[6:] for line in self.expect if line.startswith("error ")]


def rows():
    blocks = re.split(r"^== ", open(TABLE).read(), flags=re.M)[1:]
    return [Row(*(lambda lines: (lines[0], lines[1:]))(block.rstrip("\n").split("\n"))) for block in blocks]


@functools.cache  # gzip writes the time into it
def archive(form):
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{form}") as tar:
        add(tar, "in/f", "8")
    return data.getvalue()


def add(tar, name, content=None, **attributes):
    entry = tarfile.TarInfo(name)
    entry.mtime = 1700000000
    entry.mode = 0o755 if content is None and "linkname" not in attributes else 0o644
    for key, value in attributes.items():
        setattr(entry, key, value)
    if content is None:
        entry.type = tarfile.SYMTYPE if entry.linkname else tarfile.DIRTYPE
        tar.addfile(entry)
    else:
        data = content if isinstance(content, bytes) else content.encode()
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))


def context(files):
    """The context of every row, with `files` beside."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in {"a": "1", "b": "22", "p.txt": "5", "q.txt": "6", "sp ace": "7", "not.tar": "nope",
                              **{f"t.{end}": archive(form) for end, form in
                                 (("tar", ""), ("tgz", "gz"), ("txz", "xz"), ("tbz", "bz2"))},
                              "tar-by-content": archive("gz")}.items():
            add(tar, name, content)
        add(tar, "run.sh", "#!/bin/sh\n", mode=0o755)
        add(tar, "d")
        add(tar, "d/x", "3")
        add(tar, "d/s", mode=0o750)
        add(tar, "d/s/y", "4", uid=1000, gid=1000)
        add(tar, "e")
        add(tar, "link", linkname="a")
        add(tar, "links")
        add(tar, "links/l", linkname="../a")
        for name, text in files.items():
            add(tar, name, text)
    return data.getvalue()


def tiny():
    """A root file system without programs."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        add(tar, "etc")
        add(tar, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:web:/tmp:/bin/sh\n")
        add(tar, "etc/group", "root:x:0:\nweb:x:44:\nstaff:x:50:web\n")
    return data.getvalue()


def tree(saved, base):
    """{path: entry} of the layers above the first `base`, the uppermost entry of each path; and the config."""
    with tarfile.open(fileobj=io.BytesIO(saved)) as outer:
        manifest = json.load(outer.extractfile("manifest.json"))[0]
        config = json.load(outer.extractfile(manifest["Config"]))
        found = {}
        for name in manifest["Layers"][base:]:
            with tarfile.open(fileobj=io.BytesIO(outer.extractfile(name).read())) as layer:
                for entry in layer:
                    content = layer.extractfile(entry).read() if entry.isreg() else b""
                    path = "/" + entry.name.removeprefix("./").strip("/")
                    found[path] = {"type": "file" if entry.isreg() or entry.islnk() else
                                   "dir" if entry.isdir() else "link" if entry.issym() else entry.type,
                                   "mode": entry.mode & 0o7777, "owner": f"{entry.uid}:{entry.gid}",
                                   "link": entry.linkname, "content": content}
    return found, config


def hold_member(expected, config):
    member, key, text = MEMBER.fullmatch(expected).groups()
    value = config.get("config", {}).get(member)
    if key:
        if member == "Env":
            value = dict(item.split("=", 1) for item in value)
        value = (value or {}).get(key)
        return value == text, value
    return value == text if isinstance(value, str) else (value or None) == json.loads(text), value


def hold_file(word, rest, files):
    """One expectation on the tree: (whether it holds, what is there)."""
    path, _, value = rest.partition(" ") if word not in ("dir", "absent") else (rest, "", "")
    if word == "file" and path not in files:  # a path with a blank
        path, _, value = rest.rpartition(" ")
    there = files.get(path)
    if word == "absent":
        return there is None, there
    if word == "gone":
        where, name = os.path.split(path)
        return os.path.join(where, ".wh." + name) in files, sorted(files)
    if not there:
        return False, sorted(files)
    return {"file": lambda: value == "*" or there["content"].decode() == value.replace("\\n", "\n"),
            "dir": lambda: there["type"] == "dir", "link": lambda: there["link"] == value,
            "mode": lambda: there["mode"] == int(value, 8), "owner": lambda: there["owner"] == value}[word](), there


def hold(row, built, saved):
    """What does not hold of a row. `built`: a Built; `saved`: the image as docker save gives it, or None."""
    if row.wants_error():
        pattern = row.wants_error()[0]
        if not built.error or not re.search(pattern, built.error):
            yield f"{row.name}: error {pattern!r}: {built.error!r}"
        return
    if built.error:
        yield f"{row.name}: {built.error}"
        return
    files, config = tree(saved, 0 if "FROM scratch" in row.text else 1)
    for expected in row.expect:
        word, _, rest = expected.partition(" ")
        if word == "say":
            good, there = rest in built.text, built.text
        elif word == "history":
            there = config["history"][-1]["created_by"]
            good = there.startswith(rest)
        elif word[0].isupper():
            good, there = hold_member(expected, config)
        else:
            good, there = hold_file(word, rest, files)
        if not good:
            yield f"{row.name}: {expected!r}: {there!r}"
