# SPDX-License-Identifier: Apache-2.0
"""The docker CLI says the same in front of wharfd as in front of dockerd: exit code, output, and error text.

A step is a command line. Where the two differ for a reason, the step's tuple names it, and
docs/docker-compatibility.md has to tell of it (test_differences_are_told)."""
import os
import re

import pytest

from compare import play
from lib import bundle

RUN = "run --rm --network none"

SCENARIOS = {
    "output": [
        f"{RUN} busybox echo hello",
        f"{RUN} busybox sh -c 'echo out; echo err >&2'",
        f"{RUN} busybox sh -c 'exit 7'",
        f"{RUN} busybox /no/such/program",
        f"{RUN} busybox /etc/passwd",
        (f"{RUN} -i busybox cat", "through stdin\n"),
        (f"{RUN} -i busybox wc -c", "x" * 100000),
        f"{RUN} -e A=b -e 'C=d e' busybox sh -c 'echo $A $C'",
        f"{RUN} -w /tmp -u 33:44 busybox sh -c 'pwd; id -u; id -g'",
        f"{RUN} --hostname inside busybox hostname",
        f"{RUN} --read-only --tmpfs /run busybox sh -c 'touch /x; touch /run/x && echo ok'",
        f"{RUN} --entrypoint /bin/echo busybox from entrypoint",
        f"{RUN} -t busybox tty",
        f"{RUN} --init busybox true",
        f"{RUN} --cap-drop ALL busybox sh -c 'grep CapEff /proc/self/status'",
        f"{RUN} --ulimit nofile=100:200 busybox sh -c 'ulimit -n; ulimit -Hn'",
        f"{RUN} --label a=b --name labelled busybox true",
    ],
    "life": [
        "create --network none --name c1 busybox sh -c 'trap \"exit 3\" TERM; echo up; while :; do sleep 0.05; done'",
        "ps -a --format '{{.Names}} {{.Image}} {{.Command}} {{.Status}}'",
        "start c1",
        "start c1",
        "inspect -f '{{.State.Status}} {{.State.Running}} {{.Name}} {{.Path}} {{.Args}}' c1",
        "exec c1 sh -c 'exit 9'",
        "exec c1 /no/such",
        ("exec -i c1 cat", "exec stdin"),
        "exec -u 33:44 -w /tmp -e A=b c1 sh -c 'id -u; id -g; pwd; echo $A'",
        "pause c1",
        "pause c1",
        "exec c1 true",
        "ps --format '{{.Names}}'",
        "unpause c1",
        "rename c1 c2",
        "rename c2 c2",
        "kill -s USR1 nosuch",
        "rm c2",
        "stop -t 5 c2",
        "stop c2",
        "inspect -f '{{.State.ExitCode}} {{.State.Status}}' c2",
        "wait c2",
        "logs c2",
        "kill c2",
        "exec c2 true",
        "restart -t 1 c2",
        "kill c2",
        "wait c2",
        "rm c2",
        "rm c2",
        "inspect c2",
    ],
    "refusals": [
        "run --network none nosuch:1 true",
        "run --rm --restart always --network none busybox true",
        "create --name 'a b' busybox",
        "create -m 1m busybox",
        "create --name twice --network none busybox",
        "create --name twice --network none busybox",
        "rm twice",
        "start nosuch",
        "stop nosuch",
        "logs nosuch",
        "attach nosuch",
        "top nosuch",
        "wait nosuch",
        "port nosuch",
        "cp nosuch:/x /tmp/w/x",
        "rmi nosuch",
        "tag nosuch x",
        "history nosuch",
        "volume inspect nosuch",
        "volume rm nosuch",
        "network rm nosuch",
        "network rm bridge",
        "network inspect nosuch",
        "node ls",
        "service ls",
        "swarm leave",
    ],
    "images": [
        "images --format '{{.Repository}}:{{.Tag}}'",
        "tag busybox other:1",
        "tag busybox other:2",
        "images -q other | wc",
        "inspect -f '{{json .Config.Cmd}} {{.Architecture}} {{.Os}} {{.RepoTags}}' busybox",
        "history --format '{{.CreatedBy}} {{.Comment}}' busybox",
        "rmi other:1",
        "rmi other:2",
        "create --name user --network none busybox",
        "rmi busybox",
        "rm user",
        "images -q --filter dangling=true",
    ],
    "volumes": [
        "volume create v1",
        "volume create v1",
        "volume ls --format '{{.Driver}} {{.Name}}'",
        "volume inspect -f '{{.Name}} {{.Driver}} {{.Scope}}' v1",
        f"{RUN} -v v1:/data busybox sh -c 'echo kept > /data/f'",
        f"{RUN} -v v1:/data:ro busybox sh -c 'cat /data/f; touch /data/g'",
        "create --name holder --network none -v v1:/data busybox",
        "volume rm v1",
        "rm holder",
        "volume rm v1",
        "volume ls -q",
    ],
    "networks": [
        "network ls --format '{{.Name}} {{.Driver}} {{.Scope}}'",
        "network create n1",
        "network create n1",
        "network inspect -f '{{.Name}} {{.Driver}} {{.Internal}}' n1",
        "run -d --name server --network n1 busybox sh -c 'while :; do echo hi | nc -l -p 80; done'",
        "run --rm --network n1 busybox sh -c 'nc server 80 </dev/null'",
        "network rm n1",
        "network disconnect n1 server",
        "network disconnect n1 server",
        "rm -f server",
        "network rm n1",
    ],
    "files": [
        "create --name f --network none busybox",
        "cp f:/etc/passwd -",
        "cp f:/nosuch -",
        "diff f",
        "start f",
        "wait f",
        "rm f",
    ],
}

# step -> why the two differ, as docs/docker-compatibility.md says it; None: they do not
NO_RUNTIME = "errors of a start are told without the names of programs that wharf does not have"
DIFFERENT = {
    f"{RUN} busybox /no/such/program": NO_RUNTIME,
    f"{RUN} busybox /etc/passwd": NO_RUNTIME,
    "exec c1 /no/such": NO_RUNTIME,
    "rm c2": "removing a running container is refused in the words of today's dockerd",
    "run --network none nosuch:1 true": "a registry that cannot be reached is told with the way to mend it",
}


@pytest.mark.limit(120)
@pytest.mark.slow
@pytest.mark.parametrize("name", SCENARIOS)
def test_same_answers(wharfd, dockerd, name):
    ours, theirs = list(play(wharfd, SCENARIOS[name])), list(play(dockerd, SCENARIOS[name]))
    differences = [f"{line}\n    wharfd:  {a}\n    dockerd: {b}"
                   for (line, a), (_, b) in zip(ours, theirs) if a != b and not DIFFERENT.get(line)]
    assert not differences, "\n".join(["", *differences])


def test_differences_are_told():
    page = open(os.path.join(bundle.TOP, "docs/docker-compatibility.md")).read()
    for line, reason in DIFFERENT.items():
        assert not reason or reason in re.sub(r"\s+", " ", page), line
