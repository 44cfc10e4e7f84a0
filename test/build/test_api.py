# SPDX-License-Identifier: Apache-2.0
"""POST /build: parameters, forms of the context, the stream, and what a client or a daemon that goes away leaves."""
import base64
import bz2
import gzip
import hashlib
import http.server
import json
import lzma
import os
import signal
import subprocess
import threading
import time
import urllib.parse

import pytest

from daemons import Connection
from lib.engines import wait_for
from table import context, tree


def config(api, name="t"):
    return api.json(f"/images/{name}/json")["Config"]


def built(api, dockerfile, files=None, headers=None, **query):
    answer = api.build(context({"Dockerfile": dockerfile, **(files or {})}), headers, **{"t": "t", **query})
    assert answer.error is None, answer.error
    return answer


def files_of(api, name="t"):
    return tree(api.save(name), 1)[0]


def said(api, command, **query):
    """What a command of a RUN wrote."""
    answer = built(api, f"FROM busybox\nRUN {command}", nocache="1", **query)
    return answer.text.split("Running in")[1].split("Removing")[0].split("\n", 1)[1]


def test_stream(wharfd):
    answer = built(wharfd, "FROM busybox\nENV A=1\nRUN echo out; echo err >&2\nCOPY a /a", t=["one:1", "two"])
    lines = [line["stream"] for line in answer.lines if "stream" in line]
    assert lines[:2] == ["Step 1/4 : FROM busybox", "\n"] and "\x1b[91merr\n\x1b[0m" in lines
    assert answer.text.count(" ---> Running in ") == answer.text.count("Removing intermediate container ") == 2
    number = answer.id[0].removeprefix("sha256:")[:12]
    assert answer.text.endswith(f"Successfully built {number}\nSuccessfully tagged one:1\nSuccessfully tagged two:latest\n")
    assert answer.body.endswith(b"\r\n")
    again = built(wharfd, "FROM busybox\nENV A=1\nRUN echo out; echo err >&2\nCOPY a /a")
    assert again.id == answer.id and again.text.count(" ---> Using cache\n") == 3


def test_quiet(wharfd):
    answer = built(wharfd, "FROM busybox\nRUN echo out", q="1")
    assert [line.keys() for line in answer.lines] == [{"stream"}] and answer.text.startswith("sha256:")
    failed = wharfd.build(context({"Dockerfile": "FROM busybox\nRUN echo out; exit 4"}), q="1")
    assert "out\n" in failed.text and failed.lines[-1]["errorDetail"]["code"] == 4


def test_errors_before_the_stream(wharfd):
    def refused(status=400, dockerfile="FROM tiny\nENV A=1", **query):
        answer = wharfd.build(context({"Dockerfile": dockerfile}), **query)
        assert answer.status == status, answer.body
        return answer.error

    assert "DOCKER_BUILDKIT=0" in refused(version="2") and "DOCKER_BUILDKIT=0" in refused(remote="client-session")
    assert "squash" in refused(squash="1") and "isolation" in refused(isolation="hyperv")
    assert "error reading build args" in refused(buildargs="{") and "error reading labels" in refused(labels='["a"]')
    assert "invalid reference format" in refused(t="A B") and "digest" in refused(t="a@sha256:" + 64 * "0")
    assert "memory limit" in refused(memory="100") and "ulimit" in refused(ulimits='[{"Name":"x","Soft":1,"Hard":1}]')
    assert "unknown instruction: FOO" in refused(dockerfile="FROM tiny\nFOO")
    gone = wharfd.build(context({}), dockerfile="nosuch.df")
    assert gone.status == 404 and gone.error == "Cannot locate specified Dockerfile: nosuch.df"
    # a command longer than an error's text is told whole
    long = wharfd.build(context({"Dockerfile": f"FROM busybox\nRUN {'x' * 2000}; exit 9"}))
    assert long.error.endswith("returned a non-zero code: 9") and "x" * 2000 in long.error


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, lambda data: data],
                         ids=["gzip", "bzip2", "xz", "plain"])
def test_context_forms(wharfd, pack):
    answer = wharfd.build(pack(context({"Dockerfile": "FROM tiny\nCOPY a /a"})), t="t")
    assert answer.error is None and files_of(wharfd)["/a"]["content"] == b"1"


def test_dockerignore(wharfd):
    built(wharfd, "FROM tiny\nCOPY . /x/", {".dockerignore": "*\n!a\n!d\nd/s\n"})
    assert {path for path in files_of(wharfd)} == {"/x", "/x/a", "/x/d", "/x/d/x"}


def test_parameters(wharfd):
    built(wharfd, "FROM tiny\nARG A\nARG B=2\nLABEL a=$A b=$B", buildargs='{"A":"1","B":null}', labels='{"c":"3"}')
    assert config(wharfd)["Labels"] == {"a": "1", "b": "2", "c": "3"}
    assert said(wharfd, "ulimit -n", ulimits='[{"Name":"nofile","Soft":77,"Hard":77}]') == "77\n"
    assert "1.2.3.4\tmill" in said(wharfd, "cat /etc/hosts", extrahosts="mill:1.2.3.4")
    assert said(wharfd, "df -k /dev/shm | tail -1 | awk '{print $2}'", shmsize=str(8 << 20)) == "8192\n"
    assert said(wharfd, "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max",
                memory=str(64 << 20), memswap=str(64 << 20)) == f"{64 << 20}\n"
    with_cgroups = said(wharfd, "grep Cpus_allowed_list /proc/self/status", cpusetcpus="0", cpushares="512")
    assert with_cgroups.split() == ["Cpus_allowed_list:", "0"]


def test_networks(wharfd):
    assert said(wharfd, "ls /sys/class/net", networkmode="none") == "lo\n"
    assert said(wharfd, "ls /sys/class/net").split() == ["eth0", "lo"]
    assert "eth0" not in said(wharfd, "ls /sys/class/net", networkmode="host")
    status, body = wharfd.call("POST", "/networks/create", json.dumps({"Name": "front"}),
                               {"Content-Type": "application/json"})
    assert status == 201, body
    assert "127.0.0.11" in said(wharfd, "cat /etc/resolv.conf", networkmode="front")
    assert "no such" in wharfd.build(context({"Dockerfile": "FROM busybox\nRUN true"}), networkmode="container:x",
                                     nocache="1").error.lower()
    assert wharfd.call("DELETE", "/networks/front")[0] == 204
    assert not places(wharfd)


# ---- sources from elsewhere --------------------------------------------------------------------------------------


class Files(http.server.BaseHTTPRequestHandler):
    content = {}

    def do_GET(self):
        data = self.content.get(self.path.split("?")[0])
        self.send_response(200 if data is not None else 404)
        self.send_header("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT")
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, *_):
        pass


@pytest.fixture
def web(world):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
    threading.Thread(target=server.serve_forever).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_urls(wharfd, web):
    digest = hashlib.sha256(b"from afar").hexdigest()
    Files.content = {"/f.txt": b"from afar", "/ctx.tar.gz": gzip.compress(context({"Dockerfile": "FROM tiny\nCOPY a /r"})),
                     "/Dockerfile": b"FROM tiny\nENV FAR=1"}
    built(wharfd, f"FROM tiny\nADD {web}/f.txt /x\nADD {web}/f.txt?q=1 /d/\n"
                  f"ADD --checksum=sha256:{digest} {web}/f.txt /y")
    made = files_of(wharfd)
    assert made["/x"]["content"] == made["/d/f.txt"]["content"] == made["/y"]["content"] == b"from afar"
    assert made["/x"]["mode"] == 0o600
    wrong = wharfd.build(context({"Dockerfile": f"FROM tiny\nADD --checksum=sha256:{'0' * 64} {web}/f.txt /y"}))
    assert "digest mismatch" in wrong.error and digest in wrong.error
    assert "404" in wharfd.build(context({"Dockerfile": f"FROM tiny\nADD {web}/none /y"})).error
    # the context itself from there: an archive, a Dockerfile alone
    assert wharfd.build(b"", remote=f"{web}/ctx.tar.gz", t="t").error is None
    assert files_of(wharfd)["/r"]["content"] == b"1"
    assert wharfd.build(b"", remote=f"{web}/Dockerfile", t="t").error is None
    assert "FAR=1" in config(wharfd)["Env"]


@pytest.fixture
def repository(world):
    """A git daemon with one repository of two commits."""
    env = {**os.environ, "HOME": "/tmp/w", "GIT_CONFIG_NOSYSTEM": "1", "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b",
           "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}

    def git(*words):
        return subprocess.run(["git", "-C", "git/r.git", *words], env=env, check=True, capture_output=True,
                              text=True).stdout.strip()

    os.makedirs("git/r.git/sub")
    git("init", "-q", "-b", "main")
    for name, text in (("Dockerfile", "FROM tiny\nCOPY f /f"), ("f", "one"), ("sub/Dockerfile", "FROM tiny\nCOPY g /g"),
                       ("sub/g", "below")):
        with open(f"git/r.git/{name}", "w") as f:
            f.write(text)
    git("add", "-A")
    git("commit", "-q", "-m", "one")
    git("tag", "v1")
    with open("git/r.git/f", "w") as f:
        f.write("two")
    git("commit", "-q", "-a", "-m", "two")
    daemon = subprocess.Popen(["git", "daemon", "--export-all", "--base-path=/tmp/w/git", "--listen=127.0.0.1",
                               "--port=9419", "--reuseaddr"], env=env, stderr=subprocess.DEVNULL)
    url = "git://127.0.0.1:9419/r.git"
    wait_for(lambda: subprocess.run(["git", "ls-remote", url], capture_output=True, env=env).returncode == 0, "git answers")
    yield url, git("rev-parse", "HEAD")
    daemon.terminate()
    daemon.wait()
    subprocess.run(["rm", "-rf", "git"], check=True)


def test_git(wharfd, repository):
    url, head = repository
    assert wharfd.build(b"", remote=url, t="t").error is None
    assert files_of(wharfd)["/f"]["content"] == b"two"
    assert wharfd.build(b"", remote=f"{url}#v1", t="t").error is None
    assert files_of(wharfd)["/f"]["content"] == b"one"
    assert wharfd.build(b"", remote=f"{url}#main:sub", t="t").error is None
    assert files_of(wharfd)["/g"]["content"] == b"below"
    built(wharfd, f"FROM tiny\nADD {url} /r\nADD --checksum={head} --keep-git-dir=true {url} /k")
    made = files_of(wharfd)
    assert made["/r/f"]["content"] == b"two" and "/r/.git" not in made and made["/k/.git/HEAD"]["type"] == "file"
    assert "digest mismatch" in wharfd.build(context({"Dockerfile": f"FROM tiny\nADD --checksum={'0' * 40} {url} /k"})).error
    assert "nosuch" in wharfd.build(b"", remote=f"{url}#nosuch").error


# ---- what else builders are asked --------------------------------------------------------------------------------


def test_prune(wharfd):
    built(wharfd, "FROM busybox\nRUN head -c 300000 /dev/urandom > /x", t="gone")
    assert wharfd.call("DELETE", "/images/gone")[0] == 200
    assert wharfd.json("/build/prune", "POST", filters='{"until":{"1h":true}}')["CachesDeleted"] == []
    pruned = wharfd.json("/build/prune", "POST")
    assert pruned["CachesDeleted"] and pruned["SpaceReclaimed"] >= 300000
    assert wharfd.json("/build/prune", "POST") == {"CachesDeleted": [], "SpaceReclaimed": 0}


def test_cache_bounds_itself(wharfd):
    """What is beyond the limit goes behind a build, the oldest use first; what an image holds stays."""
    with open("daemon.json", "w") as f:
        json.dump({"builder": {"gc": {"defaultKeepStorage": "2MB"}}}, f)
    wharfd.restart("--config-file", "/tmp/w/daemon.json")
    stamp = f"{wharfd.root}/layers/collected"

    def settle():  # it works behind the answer; from now on it is due again
        wait_for(lambda: os.path.exists(stamp) and os.stat(stamp).st_mtime > 1, "the store is collected")
        time.sleep(0.2)
        os.utime(stamp, (0, 0))

    for name in "abcd":
        built(wharfd, f"FROM busybox\nRUN head -c 600000 /dev/urandom > /{name}\nRUN --mount=type=cache,target=/k "
                      f"head -c 10000 /dev/zero > /k/{name}", t=name)
        if name != "d":
            assert wharfd.call("DELETE", f"/images/{name}")[0] == 200
        settle()
    built(wharfd, "FROM tiny\nENV A=1")
    settle()
    kept = [json.load(open(f"{wharfd.root}/layers/build/{key}")) for key in os.listdir(f"{wharfd.root}/layers/build")]
    blobs = {record["blob"] for record in kept if "blob" in record}
    assert 0 < sum(record.get("size", 0) for record in kept) <= 2 << 20
    for blob in blobs:
        assert os.path.exists(f"{wharfd.root}/blobs/{blob.replace(':', '/')}")
    assert sum(os.path.getsize(f"{wharfd.root}/blobs/sha256/{n}") > 500000 for n in os.listdir(
        f"{wharfd.root}/blobs/sha256")) <= 3  # busybox, d, and what fits beside
    assert files_of(wharfd, "d")["/d"]["type"] == "file"
    os.unlink("daemon.json")


def test_search(wharfd, web):
    found = [{"name": "a/b", "description": "", "star_count": 7, "is_official": False, "is_automated": False}]
    Files.content = {"/v1/search": json.dumps({"results": found}).encode()}
    host = urllib.parse.urlparse(web).netloc
    assert wharfd.json("/images/search", term=f"{host}/b") == found
    assert wharfd.json("/images/search", term=f"{host}/b", filters='{"stars":{"8":true}}') == []
    assert wharfd.call("GET", "/images/search", term="a", limit="101")[0] == 400
    assert wharfd.call("GET", "/images/search")[0] == 400
    status, body = wharfd.call("GET", "/images/search", term="127.0.0.1:1/a")
    assert status >= 500 and b"cannot download" in body


def test_session_is_refused(wharfd):
    status, body = wharfd.call("POST", "/session")
    assert status == 400 and b"DOCKER_BUILDKIT=0" in body


# ---- going away --------------------------------------------------------------------------------------------------


def running():
    """Processes of the steps below: they sleep for a time that nobody else does."""
    found = subprocess.run(["pgrep", "-f", "sleep 4711"], capture_output=True, text=True)
    return found.stdout.split()


def begin(api, dockerfile):
    connection = Connection(api.path, 20)
    connection.request("POST", "/build?nocache=1", context({"Dockerfile": dockerfile}), {"Content-Type": "application/x-tar"})
    wait_for(running, "the step runs")
    return connection


def places(api):
    folder = "/tmp/w/wexec/builds"
    return os.listdir(folder) if os.path.isdir(folder) else []


def test_client_gone_cancels(wharfd):
    begin(wharfd, "FROM busybox\nRUN sleep 4711").close()
    wait_for(lambda: not running() and not places(wharfd), "the step ends")
    built(wharfd, "FROM tiny\nENV A=1")


def test_killed_daemon_leaves_nothing(wharfd):
    built(wharfd, "FROM busybox\nRUN echo before > /x")
    before = set(os.listdir(f"{wharfd.root}/blobs/sha256"))
    mounts = open("/proc/self/mountinfo").read().count("\n")
    connection = begin(wharfd, "FROM busybox\nRUN echo 1 > /half\nRUN --mount=type=tmpfs,target=/m sleep 4711")
    wharfd.process.send_signal(signal.SIGKILL)
    wharfd.process.wait()
    connection.close()
    wait_for(lambda: not running(), "the step dies with its builder")
    assert open("/proc/self/mountinfo").read().count("\n") == mounts
    wharfd.restart()
    built(wharfd, "FROM busybox\nRUN echo before > /x")
    wharfd.json("/images/prune", "POST")
    assert not places(wharfd) and not os.listdir(f"{wharfd.root}/layers/tmp")
    assert set(os.listdir(f"{wharfd.root}/blobs/sha256")) == before


def test_login_for_base_images(wharfd):
    """X-Registry-Config is read, and a broken one refused."""
    good = base64.urlsafe_b64encode(json.dumps({"127.0.0.1:1": {"username": "u", "password": "p"}}).encode()).decode()
    answer = wharfd.build(context({"Dockerfile": "FROM 127.0.0.1:1/x"}), {"X-Registry-Config": good})
    assert "127.0.0.1:1" in answer.error
    assert wharfd.build(context({"Dockerfile": "FROM tiny"}), {"X-Registry-Config": "%%%"}).status == 400
