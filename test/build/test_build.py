# SPDX-License-Identifier: Apache-2.0
"""Dockerfiles: each row is a file, its context, and what a command in the image prints."""
import json
import os
import re

import pytest

F = "FROM busybox\n"

ROWS = [
    ("run", F + "RUN echo hi > /x", {}, "cat /x", "hi\n"),
    ("run-json", F + 'RUN ["/bin/sh", "-c", "echo $0", "a b"]\nRUN ["touch", "/a b"]', {}, "ls /a*", "/a b\n"),
    ("continuation", F + "RUN echo a \\\n# no\n  b \\\n\n c > /x", {}, "cat /x", "a b c\n"),
    ("env", F + 'ENV A=b C="d e" E=$A\nRUN echo $A-$C-$E > /x', {}, "cat /x; echo $C", "b-d e-\nd e\n"),
    ("env-old", F + "ENV A b c  d", {}, "echo \"$A\"", "b c  d\n"),
    ("arg", F + "ARG V=1\nRUN echo $V > /x", {}, "cat /x; echo _$V", "1\n_\n"),
    ("global-arg", "ARG B=busybox\nFROM $B\nARG B\nRUN echo $B > /x", {}, "cat /x", "busybox\n"),
    ("platform-arg", F + "ARG TARGETOS\nRUN echo $TARGETOS > /x", {}, "cat /x", "linux\n"),
    ("workdir", F + "WORKDIR /a\nWORKDIR b\nRUN pwd > /x", {}, "cat /x; pwd", "/a/b\n/a/b\n"),
    ("user", F + "RUN chmod 1777 /tmp\nUSER web\nRUN id -u > /tmp/x", {}, "cat /tmp/x; id -u", "33\n33\n"),
    ("copy-file", F + "COPY f /d", {"f": "1"}, "cat /d", "1"),
    ("copy-into", F + "COPY f /d/", {"f": "1"}, "cat /d/f", "1"),
    ("copy-existing-dir", F + "COPY f /tmp", {"f": "1"}, "cat /tmp/f", "1"),
    ("copy-dir", F + "COPY d /e", {"d/a": "1", "d/s/b": "2"}, "cd /e && find . -type f | sort", "./a\n./s/b\n"),
    ("copy-many", F + "COPY a b /e/", {"a": "1", "b": "2"}, "cat /e/a /e/b", "12"),
    ("copy-glob", F + "COPY *.t /e/", {"a.t": "1", "b.t": "2", "c": "3"}, "ls /e", "a.t\nb.t\n"),
    ("copy-json", F + 'COPY ["a b", "/c d"]', {"a b": "1"}, "cat '/c d'", "1"),
    ("copy-relative", F + "WORKDIR /w\nCOPY f .", {"f": "1"}, "cat /w/f", "1"),
    ("copy-dot", F + "COPY . /c/", {"a": "1", "d/b": "2"}, "cd /c && find . -type f | sort",
     "./Dockerfile\n./a\n./d/b\n"),
    ("copy-link-kept", F + "COPY d /e", {"d/l": ("a",), "d/a": "1"}, "readlink /e/l", "a\n"),
    ("copy-link-followed", F + "COPY l /e", {"l": ("a",), "a": "1"}, "cat /e", "1"),
    ("copy-through-link", F + "RUN mkdir /real && ln -s /real /to\nCOPY f /to/", {"f": "1"}, "cat /real/f", "1"),
    ("copy-link-outside", F + "RUN ln -s ../../../../esc /to\nCOPY f /to/", {"f": "1"}, "cat /esc/f", "1"),
    ("copy-chown", F + "COPY --chown=web:staff f /n/f", {"f": "1"}, "stat -c %u:%g /n /n/f", "33:50\n33:50\n"),
    ("copy-chown-number", F + "COPY --chown=7 f /f", {"f": "1"}, "stat -c %u:%g /f", "7:7\n"),
    ("copy-chmod", F + "COPY --chmod=0711 f /f", {"f": "1"}, "stat -c %a /f", "711\n"),
    ("copy-chmod-words", F + "COPY --chmod=u=rwx,go=r f /f", {"f": "1"}, "stat -c %a /f", "744\n"),
    ("copy-parents", F + "COPY --parents a/b/c /d/", {"a/b/c": "1"}, "cat /d/a/b/c", "1"),
    ("copy-exclude", F + "COPY --exclude=*.o d /d", {"d/a.o": "1", "d/b.c": "2"}, "ls /d", "b.c\n"),
    ("copy-link-flag", F + "COPY --link f /q/f", {"f": "1"}, "cat /q/f", "1"),
    ("copy-heredoc", F + "ENV A=b\nCOPY <<E /x\n$A \"q\"\nE", {}, "cat /x", 'b "q"\n'),
    ("copy-heredoc-raw", F + "ENV A=b\nCOPY <<'E' <<F /x/\n$A\nE\n2\nF", {}, "cat /x/E /x/F", "$A\n2\n"),
    ("run-heredoc", F + "RUN <<E\necho a > /x\necho b >> /x\nE", {}, "cat /x", "a\nb\n"),
    ("run-heredoc-shebang", F + "RUN <<E\n#!/bin/sh\necho $0 > /x\nE", {}, "cat /x", "/dev/pipes/E\n"),
    ("run-heredoc-pipe", F + "RUN cat <<E > /x\n1\nE", {}, "cat /x", "1\n"),
    ("ignore", F + "COPY . /c", {".dockerignore": "*\n!keep\n", "keep/a": "1", "b": "2"},
     "cd /c && find . -type f", "./keep/a\n"),
    ("stages", F + "RUN echo 1 > /a\n" + F + "COPY --from=0 /a /b", {}, "cat /b", "1\n"),
    ("stage-name", "FROM busybox AS one\nRUN echo 1 > /a\nFROM one\nRUN echo 2 >> /a", {}, "cat /a", "1\n2\n"),
    ("stage-unused", "FROM busybox AS bad\nRUN false\nFROM busybox\nRUN echo 1 > /a", {}, "cat /a", "1\n"),
    ("from-image", "FROM busybox\nCOPY --from=busybox /etc/group /g", {}, "head -c 4 /g", "root"),
    ("scratch", "FROM busybox AS b\nFROM scratch\nCOPY --from=b / /\nRUN echo 1 > /x", {}, "cat /x", "1\n"),
    ("delete", F + "RUN echo 1 > /etc/a; echo 1 > /etc/b\nRUN rm /etc/a", {}, "ls /etc/a 2>&1; ls /etc/b",
     "ls: /etc/a: No such file or directory\n/etc/b\n"),
    ("opaque", F + "RUN mkdir /d && touch /d/a\nRUN rm -r /d && mkdir /d && touch /d/b", {}, "ls /d", "b\n"),
    ("hardlink", F + "RUN echo 1 > /a && ln /a /b", {}, "stat -c %h /a", "2\n"),
    ("no-stubs", F + "RUN true", {}, "true", ""),
    ("shell", F + 'SHELL ["/bin/sh", "-ec"]\nRUN echo a > /x', {}, "cat /x", "a\n"),
    ("mount-tmpfs", F + "RUN --mount=type=tmpfs,target=/t touch /t/a && mount | grep -c ' /t ' > /x", {},
     "cat /x; ls -d /t 2>/dev/null || true", "1\n"),
    ("mount-bind", F + "RUN --mount=target=/m cat /m/f > /x", {"f": "1"}, "cat /x", "1"),
    ("mount-bind-file", F + "RUN --mount=target=/m,source=f cat /m > /x", {"f": "1"}, "cat /x", "1"),
    ("mount-bind-rw", F + "RUN --mount=target=/m,rw echo 2 > /m/f && cat /m/f > /x", {"f": "1"}, "cat /x", "2\n"),
    ("mount-bind-from", "FROM busybox AS a\nRUN echo 1 > /a\nFROM busybox\n"
     "RUN --mount=from=a,target=/m cat /m/a > /x", {}, "cat /x", "1\n"),
    ("mount-cache", F + "RUN --mount=type=cache,target=/k echo 1 > /k/a\n"
     "RUN --mount=type=cache,target=/k cat /k/a > /x", {}, "cat /x", "1\n"),
    ("network-none", F + "RUN --network=none ls /sys/class/net > /x", {}, "cat /x", "lo\n"),
    ("modifier", F + "ENV A=x.tar.gz\nENV B=${A%.*} C=${A%%.*} D=${N:-no}", {}, "echo $B $C $D", "x.tar x no\n"),
    ("escape", "# escape=`\nFROM busybox\nRUN echo a `\n b > /x", {}, "cat /x", "a b\n"),
    ("onbuild", "FROM busybox AS a\nONBUILD RUN echo 1 > /x\nFROM a", {}, "cat /x", "1\n"),
]


@pytest.mark.parametrize("dockerfile,files,command,output", [r[1:] for r in ROWS], ids=[r[0] for r in ROWS])
def test_row(builder, dockerfile, files, command, output):
    code, err = builder.build(dockerfile, files)
    assert code == 0, err
    assert builder.look(command) == output


FAULTS = [
    ("unknown", F + "FOO x", {}, r"Dockerfile:2\n(.*\n)+.*dockerfile parse error line 2: unknown instruction: FOO"),
    ("run-fails", F + "RUN exit 3", {}, r">>> RUN exit 3\n(.*\n)+.*The command '/bin/sh -c exit 3' returned a "
     r"non-zero code: 3"),
    ("missing", F + "COPY nosuch /x", {}, r"COPY failed: file not found in build context or excluded by "
     r".dockerignore: stat nosuch: file does not exist"),
    ("outside", F + "COPY ../x /x", {}, r"COPY failed: forbidden path outside the build context"),
    ("no-match", F + "COPY *.q /x", {}, r"COPY failed: no source files were specified"),
    ("many", F + "COPY a b /x", {"a": "", "b": ""}, r"the destination must be a directory and end with a /"),
    ("target", F, {}, r"failed to reach build target x in Dockerfile"),
    ("user", F + "COPY --chown=nobodyhere f /x", {"f": ""}, r"no such user: nobodyhere"),
    ("empty", "", {}, r"the Dockerfile \(Dockerfile\) cannot be empty|file with no instructions"),
]


@pytest.mark.parametrize("dockerfile,files,message", [r[1:] for r in FAULTS], ids=[r[0] for r in FAULTS])
def test_fault(builder, request, dockerfile, files, message):
    code, err = builder.build(dockerfile, files, *(["--target", "x"] if "target" in request.node.name else []))
    assert code == 1
    assert re.search(message, err), err


def test_archive(builder):
    """ADD takes a local archive apart, COPY does not."""
    import io
    import tarfile
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        entry = tarfile.TarInfo("in/f")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"1"))
    code, err = builder.build(F + "ADD a.tgz /x\nCOPY a.tgz /y", {"a.tgz": data.getvalue()})
    assert code == 0, err
    assert builder.look("cat /x/in/f; wc -c < /y") == f"1{len(data.getvalue())}\n"


def test_cached_build_is_the_same_image(builder):
    text = F + "COPY f /f\nRUN echo 1 > /x\nENV A=b\nLABEL c=d"
    ids = []
    for _ in range(2):
        assert builder.build(text, {"f": "1"}, "--iidfile", "id")[0] == 0
        ids.append(open("id").read())
    code, err = builder.build(text, {"f": "1"})
    assert ids[0] == ids[1] and err.count("CACHED") == 2
    code, err = builder.build(text, {"f": "2"})
    assert code == 0 and err.count("CACHED") == 0
    os.unlink("id")


def test_reproducible(builder):
    text = F + "COPY d /d\nRUN date +%N > /dev/null; mkdir /m; echo 1 > /m/x"
    ids = []
    for _ in range(2):
        flags = ("--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "--iidfile", "id")
        assert builder.build(text, {"d/a": "1"}, *flags)[0] == 0
        ids.append(open("id").read())
    os.unlink("id")
    assert ids[0] == ids[1]


def test_secret(builder):
    with open("s", "w") as f:
        f.write("hush")
    text = F + "RUN --mount=type=secret,id=k stat -c %a /run/secrets/k > /x; wc -c < /run/secrets/k >> /x"
    code, err = builder.build(text, {}, "--secret", "id=k,src=s")
    os.unlink("s")
    assert code == 0, err
    assert builder.look("cat /x; ls /run 2>&1 | wc -l") == "400\n4\n1\n"


def test_arguments_and_config(builder):
    text = F + ("ARG V\nENV W=$V\nEXPOSE 80 90-91/udp\nVOLUME /data\nLABEL a=b\nSTOPSIGNAL SIGINT\nUSER web\n"
                "HEALTHCHECK --interval=3s --retries=2 CMD true\nENTRYPOINT [\"e\"]\nCMD x y\nMAINTAINER me")
    code, err = builder.build(text, {}, "--build-arg", "V=1", "--build-arg", "U=2", "--label", "l=m")
    assert code == 0 and "One or more build-args [U] were not consumed" in err
    config = json.loads(builder.ok("inspect", "t"))[0]["Config"]
    assert "W=1" in config["Env"] and config["User"] == "web" and config["StopSignal"] == "SIGINT"
    assert set(config["ExposedPorts"]) == {"80/tcp", "90/udp", "91/udp"} and config["Volumes"] == {"/data": {}}
    assert config["Labels"] == {"a": "b", "l": "m"} and config["Entrypoint"] == ["e"]
    assert config["Cmd"] == ["/bin/sh", "-c", "x y"]
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Interval": 3000000000, "Retries": 2}
