# SPDX-License-Identifier: Apache-2.0
"""Runs the same docker commands against two daemons and tells where the answers differ."""
import json
import re

HEX = re.compile(r"\b(?:sha256:)?[0-9a-f]{64}\b|\b[0-9a-f]{12}\b")
TIMES = [(re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "TIME"),
         (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)? [+-]\d{4} \w+"), "TIME"),
         (re.compile(r"\b(About (a|an) (second|minute|hour)|Less than a second|\d+ (second|minute)s?)( ago)?\b"), "AGE"),
         (re.compile(r"/tmp/w/(wharfd|dockerd)\.sock"), "SOCKET"),
         (re.compile(r"\b\d+(\.\d+)?(B|kB|MB|GB)\b"), "SIZE")]


def plain(text):
    """Without what no two runs share: ids, times, sizes; runs of blanks are one."""
    text = HEX.sub("ID", text)
    for pattern, word in TIMES:
        text = pattern.sub(word, text)
    return "\n".join(" ".join(line.split()) for line in text.splitlines())


def shape(value):
    """A JSON value as the types of its members."""
    if isinstance(value, dict):
        return {key: shape(member) for key, member in value.items()}
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def missing(ours, theirs, path=""):
    """Members that theirs has and ours lacks, or has with another type. null and [] or {} are one to clients."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key, member in theirs.items():
            if key not in ours:
                yield f"{path}.{key}: absent"
            else:
                yield from missing(ours[key], member, f"{path}.{key}")
    elif isinstance(theirs, list) and isinstance(ours, list):
        if theirs and ours:
            yield from missing(ours[0], theirs[0], f"{path}[]")
    elif theirs != ours and not {json.dumps(theirs), json.dumps(ours)} <= EMPTY | {json.dumps(theirs)}:
        yield f"{path}: {ours} for {theirs}"


EMPTY = {'"NoneType"', "[]", "{}"}


def play(daemon, steps):
    """Each step is a command line, or a tuple (command line, stdin)."""
    for step in steps:
        line, text = step if isinstance(step, tuple) else (step, None)
        code, out, err = daemon.run(*split(line), text=text)
        yield line, (code, plain(out), plain(err))


def split(line):
    import shlex
    return shlex.split(line)
