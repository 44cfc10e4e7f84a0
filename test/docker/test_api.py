# SPDX-License-Identifier: Apache-2.0
"""The same raw requests to wharfd and to dockerd: status, error text, and every member of dockerd's answers."""
import http.client
import json
import os
import re
import socket
import urllib.parse

import pytest

from compare import missing, shape
from lib import bundle

IMAGE = {"Image": "busybox", "HostConfig": {"NetworkMode": "none"}}


def filters(**names):
    return "filters=" + urllib.parse.quote(json.dumps({name.replace("_", "-"): values for name, values in names.items()}))


# method, path, body: each is asked of both; {c} is a running container, {x} one that has ended
REQUESTS = [
    ("GET", "/_ping"), ("HEAD", "/_ping"), ("GET", "/version"), ("GET", "/info"), ("GET", "/system/df"),
    ("GET", "/nosuch"), ("GET", "/v1.99/version"), ("GET", "/v1.10/version"), ("PATCH", "/containers/json"),
    ("GET", "/containers/json"), ("GET", "/containers/json?all=1&size=1"), ("GET", "/containers/json?limit=1"),
    ("GET", "/containers/json?" + filters(status=["exited"])), ("GET", "/containers/json?" + filters(status=["odd"])),
    ("GET", "/containers/json?" + filters(nosuch=["x"])), ("GET", "/containers/json?filters=junk"),
    ("GET", "/containers/json?all=1&" + filters(exited=["4"])), ("GET", "/containers/json?" + filters(exited=["x"])),
    ("GET", "/containers/json?all=1&" + filters(name=["cc"])), ("GET", "/containers/json?" + filters(label=["a=b"])),
    ("GET", "/containers/json?all=1&" + filters(ancestor=["busybox"])),
    ("GET", "/containers/json?all=1&" + filters(before=["nosuch"])), ("GET", "/containers/json?" + filters(health=["none"])),
    ("GET", "/containers/json?" + filters(network=["none"])), ("GET", "/containers/json?" + filters(volume=["/data"])),
    ("GET", "/containers/{c}/json"), ("GET", "/containers/{c}/json?size=1"), ("GET", "/containers/{x}/json"),
    ("GET", "/containers/nosuch/json"), ("GET", "/containers/{c}/top"), ("GET", "/containers/{c}/top?ps_args=aux"),
    ("GET", "/containers/{x}/top"), ("GET", "/containers/{c}/stats?stream=0"), ("GET", "/containers/{x}/stats?stream=0"),
    ("GET", "/containers/{c}/changes"), ("GET", "/containers/{c}/logs"), ("GET", "/containers/{x}/logs?stdout=1"),
    ("GET", "/containers/{x}/logs?stdout=1&tail=junk"), ("GET", "/containers/{x}/logs?stdout=1&since=junk"),
    ("POST", "/containers/create", {}), ("POST", "/containers/create", {"Cmd": ["x"]}),
    ("POST", "/containers/create", {"Image": "nosuch"}), ("POST", "/containers/create?name=cc", IMAGE),
    ("POST", "/containers/create?name=-bad", IMAGE), ("POST", "/containers/create", {**IMAGE, "WorkingDir": "rel"}),
    ("POST", "/containers/create", {**IMAGE, "ExposedPorts": {"x": {}}}),
    ("POST", "/containers/create", {**IMAGE, "Env": ["=x"]}), ("POST", "/containers/create", {**IMAGE, "StopSignal": "SIGODD"}),
    ("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Memory": 1}}),
    ("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"NetworkMode": "nosuch"}}),
    ("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"Binds": ["rel:/x:odd"]}}),
    ("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"RestartPolicy": {"Name": "odd"}}}),
    ("POST", "/containers/create", {"Image": "busybox", "HostConfig": {"CpusetCpus": "999"}}),
    ("POST", "/containers/{c}/start"), ("POST", "/containers/nosuch/start"), ("POST", "/containers/{x}/stop"),
    ("POST", "/containers/nosuch/stop"), ("POST", "/containers/{x}/kill"), ("POST", "/containers/{c}/kill?signal=ODD"),
    ("POST", "/containers/{x}/pause"), ("POST", "/containers/{c}/unpause"), ("POST", "/containers/{c}/rename?name=xx"),
    ("POST", "/containers/{c}/rename?name="), ("POST", "/containers/{x}/wait"), ("POST", "/containers/{x}/wait?condition=odd"),
    ("POST", "/containers/{c}/resize?h=x&w=1"), ("POST", "/containers/{x}/resize?h=1&w=1"),
    ("POST", "/containers/{c}/update", {"Memory": 67108864, "MemorySwap": -1}), ("POST", "/containers/{c}/update", {"Memory": 1}),
    ("POST", "/containers/{c}/exec", {"Cmd": []}), ("POST", "/containers/{x}/exec", {"Cmd": ["true"]}),
    ("POST", "/containers/{c}/exec", {"Cmd": ["true"]}), ("GET", "/exec/nosuch/json"), ("POST", "/exec/nosuch/start", {}),
    ("DELETE", "/containers/nosuch"), ("GET", "/containers/{c}/archive?path=/etc/nosuch"), ("HEAD", "/containers/{c}/archive?path=/etc"),
    ("PUT", "/containers/{c}/archive?path=/nosuch", ""), ("GET", "/containers/{c}/archive"),
    ("GET", "/images/json"), ("GET", "/images/json?all=1&digests=1"), ("GET", "/images/busybox/json"), ("GET", "/images/nosuch/json"),
    ("GET", "/images/busybox/history"), ("GET", "/images/json?" + filters(reference=["busy*"])),
    ("GET", "/images/json?" + filters(odd=["x"])), ("POST", "/images/busybox/tag?repo=Odd:x"), ("POST", "/images/nosuch/tag?repo=x"),
    ("DELETE", "/images/busybox"), ("DELETE", "/images/nosuch"), ("POST", "/images/prune"), ("POST", "/images/prune?" + filters(odd=["x"])),
    ("GET", "/networks"), ("GET", "/networks/bridge"), ("GET", "/networks/nosuch"), ("GET", "/networks?" + filters(name=["brid"])),
    ("POST", "/networks/create", {}), ("POST", "/networks/create", {"Name": "bridge", "CheckDuplicate": True}),
    ("POST", "/networks/create", {"Name": "n1", "Driver": "odd"}), ("POST", "/networks/create", {"Name": "n1", "CheckDuplicate": True}),
    ("GET", "/networks/n1"), ("POST", "/networks/n1/connect", {"Container": "nosuch"}), ("POST", "/networks/nosuch/connect", {"Container": "{c}"}),
    ("POST", "/networks/n1/disconnect", {"Container": "{x}"}), ("DELETE", "/networks/n1"), ("DELETE", "/networks/n1"),
    ("DELETE", "/networks/bridge"), ("POST", "/networks/prune"),
    ("GET", "/volumes"), ("POST", "/volumes/create", {"Name": "vol", "Labels": {"a": "b"}}), ("POST", "/volumes/create", {"Name": "a/b"}),
    ("POST", "/volumes/create", {"Name": "vol2", "Driver": "odd"}), ("GET", "/volumes/vol"), ("GET", "/volumes/nosuch"), ("GET", "/volumes"),
    ("DELETE", "/volumes/vol"), ("DELETE", "/volumes/vol"), ("POST", "/volumes/prune"), ("GET", "/volumes?" + filters(odd=["x"])),
    ("GET", "/events?since=1&until=2"), ("GET", "/events?until=junk"), ("GET", "/plugins"), ("GET", "/swarm"), ("GET", "/nodes"),
    ("POST", "/auth", "junk"), ("POST", "/containers/create", "{junk"), ("POST", "/containers/prune?" + filters(odd=["x"])),
    ("POST", "/build/prune"), ("GET", "/distribution/nosuch/json"),
]

# what differs (a pattern of what is found) -> why, as docs/docker-compatibility.md says it
SHAPE = "answers have the shape of API 1.51, whatever older version is asked for"
CLEAR = "what a client got wrong is a 4xx that says what and where"
DIFFERENT = [
    (r"KernelMemory|VirtualSize|percpu_usage|io\.containerd|Commit\.Expected|BridgeNfIp6tables|AllowNondistributable", SHAPE),
    (r"GET /images/busybox/json: \.(Container|ContainerConfig|Config\.\w+): absent", SHAPE),
    (r"Maximum supported API version|/v1\.10/version|/logs.*content type|stats\?stream=0: \.blkio_stats", SHAPE),
    (r"GET /images/busybox/json: \.GraphDriver\.Data\.(Merged|Work)Dir: absent", "an image is not a mounted root"),
    (r"[Ii]nvalid filter|status=odd|strconv|invalid character|status 4\d\d for (500|201)|invalid restart policy", CLEAR),
    (r"condition=odd|bad parameter: path|[Nn]o such image: nosuch|status 503 for 500|status 403 for 404", CLEAR),
    (r"RepoDigests: \['str'\] for NoneType", "images that were never in a registry have a digest too"),
    (r"Volumes\[\]\.Labels", "anonymous volumes have a label that says so, as with today's dockerd"),
]


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def ask(daemon, method, path, body=None):
    """(status, content type, document or text)"""
    connection = Connection(daemon.socket[len("unix://"):])
    data = body if isinstance(body, str) or body is None else json.dumps(body)
    if not path.startswith("/v1."):
        path = "/v1.41" + path
    connection.request(method, path, data, {"Content-Type": "application/json"} if data is not None else {})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    try:
        return answer.status, answer.headers["Content-Type"], json.loads(text)
    except ValueError:
        return answer.status, answer.headers["Content-Type"], text.decode(errors="replace")


def prepared(daemon):
    daemon.cli("create", "--name", "cc", "--network", "none", "-v", "/data", "--label", "a=b", "busybox", "sleep", "1000")
    daemon.cli("start", "cc")
    daemon.cli("run", "--name", "xx", "--network", "none", "busybox", "sh", "-c", "echo out; exit 4", code=4)


def plain(text):
    return re.sub(r"\b[0-9a-f]{64}\b|\b[0-9a-f]{12}\b", "ID", text)


def differences(ours, theirs):
    if ours[0] != theirs[0]:
        yield f"status {ours[0]} for {theirs[0]}: {ours[2]} for {theirs[2]}"
    elif theirs[0] >= 400 and isinstance(theirs[2], dict) and isinstance(ours[2], dict):
        if plain(ours[2].get("message", "")) != plain(theirs[2]["message"]):
            yield f"message {ours[2].get('message')!r} for {theirs[2]['message']!r}"
    elif isinstance(theirs[2], (dict, list)):
        yield from missing(shape(ours[2]), shape(theirs[2]))
    if ours[1] != theirs[1]:
        yield f"content type {ours[1]} for {theirs[1]}"


@pytest.mark.slow
@pytest.mark.limit(150)
def test_same_answers(wharfd, dockerd):
    for daemon in wharfd, dockerd:
        prepared(daemon)
    found = []
    for method, path, *rest in REQUESTS:
        body = rest[0] if rest else None
        if isinstance(body, dict):
            body = json.loads(json.dumps(body).replace("{c}", "cc").replace("{x}", "xx"))
        path = path.replace("{c}", "cc").replace("{x}", "xx")
        ours, theirs = ask(wharfd, method, path, body), ask(dockerd, method, path, body)
        key = f"{method} {urllib.parse.unquote(path)}" + (f" {json.dumps(body)}" if rest else "")
        found += [f"{key}: {d}" for d in differences(ours, theirs)]
    found = [f for f in found if not any(re.search(pattern, f) for pattern, _ in DIFFERENT)]
    assert not found, "\n".join(["", *found])


def test_differences_are_told():
    page = re.sub(r"\s+", " ", open(os.path.join(bundle.TOP, "docs/docker-compatibility.md")).read())
    assert [reason for _, reason in DIFFERENT if reason not in page] == []
