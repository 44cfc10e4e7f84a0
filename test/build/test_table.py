# SPDX-License-Identifier: Apache-2.0
"""Every Dockerfile of data/dockerfiles.txt, built through the API; and the same by dockerd, compared."""
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import pytest

from table import hold, rows, tree

ROWS = rows()
LIKE_DOCKER = [row for row in ROWS if not row.flags & {"new", "differs"}]
CONTENT = re.compile(r"(file|dir|multi):[0-9a-f]{64}\b")
IDS = re.compile(r"\b[0-9a-f]{12}\b")
# what the cache knows already is another thing for each of them
PLACES = re.compile(r" ---> (Using cache|Running in \w+)\n|Removing intermediate container \w+\n")
AT_ONCE = 4
CONFIG = ("User", "ExposedPorts", "Env", "Cmd", "Volumes", "WorkingDir", "Entrypoint", "OnBuild", "Labels", "StopSignal",
          "Shell", "Healthcheck")


def built_by(api, row):
    built = api.build(row.context(), **row.query())
    return built, None if built.error else api.save(f"row-{row.name}")


@pytest.mark.limit(120)
def test_table(wharfd):
    assert len(ROWS) >= 200 and len({row.name for row in ROWS}) == len(ROWS)
    wrong = [fault for row in ROWS for fault in hold(row, *built_by(wharfd, row))]
    assert not wrong, "\n".join(wrong)


def seen(row, built, saved):
    """What of a build must be equal, whoever builds."""
    if built.error:
        return {"error": built.error}
    files, config = tree(saved, 0 if "FROM scratch" in row.text else 1)
    for path in files:
        if "/.wh." in path:
            files[path]["mode"] = None
    made = config.get("config") or {}
    return {"config": {key: made.get(key) or None for key in CONFIG},
            "author": config.get("author"),
            "history": [(CONTENT.sub(r"\1:SUM", entry.get("created_by", "")), bool(entry.get("empty_layer")))
                        for entry in config["history"]],
            "files": files,
            "text": IDS.sub("ID", PLACES.sub("", built.text))}


def differences(row, ours, theirs):
    for key in sorted(ours.keys() | theirs.keys()):
        if ours.get(key) != theirs.get(key):
            yield f"{row.name}: {key}:\n  ours   {ours.get(key)!r}\n  theirs {theirs.get(key)!r}"


@pytest.mark.limit(120)
def test_like_dockerd(wharfd, dockerd):
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ours, theirs = ([seen(row, *answer) for row, answer in
                         zip(LIKE_DOCKER, pool.map(built_by, repeat(api), LIKE_DOCKER))] for api in (wharfd, dockerd))
    wrong = [fault for pair in zip(LIKE_DOCKER, ours, theirs) for fault in differences(*pair)]
    assert not wrong, "\n".join(wrong)
