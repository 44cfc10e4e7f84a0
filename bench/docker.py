# SPDX-License-Identifier: Apache-2.0
"""The Docker API: wharfd beside Debian's dockerd, each in a network namespace of its own.

    script/bench docker [RUNS]

CPU is that of the daemon and all that it starts but the containers themselves (cpuacct of a group that the
daemon is born in). Each subject answers the same requests over its unix socket; no client program is in
the figures.
"""
import glob
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, "bench"), os.path.join(TOP, "test")]

import compare  # noqa: E402
from lib.rootfs import busybox_tar  # noqa: E402

CPUACCT = "/sys/fs/cgroup/cpuacct"
LIST, SLEEPERS = 200, 20
LOG_MB = int(os.environ.get("LOG_MB", "100"))


class Connection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("docker", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self.path)


class Daemon:
    def __init__(self, name, work, command):
        self.name, self.socket = name, f"{work}/{name}.sock"
        self.group = f"{CPUACCT}/wharf-bench-{os.getpid()}-{name}"
        os.makedirs(self.group)
        script = (f"echo $$ > {self.group}/cgroup.procs; mount --make-rprivate /; ip link set lo up; "
                  f"umount /sys/fs/cgroup/unified 2>/dev/null; exec {command}")
        self.log = open(f"{work}/{name}.log", "w")
        self.process = subprocess.Popen(["unshare", "-m", "-n", "sh", "-c", script], stdin=subprocess.DEVNULL,
                                        stdout=self.log, stderr=self.log)
        self.http = Connection(self.socket)
        for _ in range(300):
            try:
                self.api("GET", "/_ping")
                break
            except OSError:
                self.http.close()
                time.sleep(0.1)
        else:
            raise RuntimeError(open(self.log.name).read())

    def api(self, method, path, body=None, status=range(200, 300)):
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self.http.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = self.http.getresponse()
        data = answer.read()
        if answer.status not in status:
            raise RuntimeError(f"{self.name}: {method} {path}: {answer.status} {data[:300]}")
        return json.loads(data) if data[:1] in (b"{", b"[") else data

    def cpu_ms(self):
        return int(open(f"{self.group}/cpuacct.usage").read()) / 1e6

    def processes(self):
        return [int(pid) for pid in open(f"{self.group}/cgroup.procs").read().split()]

    def import_image(self, archive):
        with open(archive, "rb") as f:
            self.http.request("POST", "/images/create?fromSrc=-&repo=busybox&tag=latest", f,
                              {"Content-Type": "application/x-tar", "Content-Length": str(os.path.getsize(archive))})
            self.http.getresponse().read()

    def create(self, command, network="none", **host):
        return self.api("POST", "/containers/create", {
            "Image": "busybox", "Cmd": command, "HostConfig": {"NetworkMode": network, **host}})["Id"]

    def cycle(self, network):
        cpu, begin = self.cpu_ms(), time.monotonic()
        name = self.create(["true"], network)
        created = time.monotonic()
        self.api("POST", f"/containers/{name}/start")
        started = time.monotonic()
        self.api("POST", f"/containers/{name}/wait")
        self.api("DELETE", f"/containers/{name}")
        end = time.monotonic()
        return {"wall ms": (end - begin) * 1e3, "cpu ms": self.cpu_ms() - cpu,
                "create ms": (created - begin) * 1e3, "start ms": (started - created) * 1e3}

    def exec(self, name):
        cpu, begin = self.cpu_ms(), time.monotonic()
        identity = self.api("POST", f"/containers/{name}/exec", {
            "AttachStdout": True, "AttachStderr": True, "Cmd": ["true"]})["Id"]
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            body = b'{"Detach":false,"Tty":false}'
            s.sendall(f"POST /exec/{identity}/start HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
                      f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            while s.recv(65536):
                pass
        self.api("GET", f"/exec/{identity}/json")
        return {"wall ms": (time.monotonic() - begin) * 1e3, "cpu ms": self.cpu_ms() - cpu}

    def list(self):
        cpu, begin = self.cpu_ms(), time.monotonic()
        for _ in range(10):
            assert len(self.api("GET", "/containers/json?all=1")) >= LIST
        return {"wall ms": (time.monotonic() - begin) * 100, "cpu ms": (self.cpu_ms() - cpu) / 10}

    def ping(self):
        begin = time.monotonic()
        for _ in range(100):
            self.api("GET", "/_ping")
        return {"us": (time.monotonic() - begin) * 1e4}

    def write_log(self):
        lines = LOG_MB * 1000000 // 80
        name = self.create(["sh", "-c", f"yes {'x' * 79} | head -n {lines}"],
                           LogConfig={"Type": "json-file", "Config": {"max-size": "1g"}})
        cpu, begin = self.cpu_ms(), time.monotonic()
        self.api("POST", f"/containers/{name}/start")
        self.api("POST", f"/containers/{name}/wait")
        wall, cpu = time.monotonic() - begin, self.cpu_ms() - cpu
        cpu2, begin = self.cpu_ms(), time.monotonic()
        self.http.request("GET", f"/containers/{name}/logs?stdout=1&stderr=1")
        answer, size = self.http.getresponse(), 0
        while piece := answer.read(1 << 20):
            size += len(piece)
        read = time.monotonic() - begin
        assert size >= lines * 80, f"{self.name}: {size} bytes of {lines * 80}"
        self.api("DELETE", f"/containers/{name}")
        return {"write ms": wall * 1e3, "write cpu ms": cpu, "read ms": read * 1e3,
                "read cpu ms": self.cpu_ms() - cpu2}

    def clean(self):
        for container in self.api("GET", "/containers/json?all=1"):
            self.api("DELETE", f"/containers/{container['Id']}?force=1&v=1")

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
        for _ in range(50):
            if not self.processes():
                break
            time.sleep(0.1)
        try:
            os.rmdir(self.group)
        except OSError as e:
            print(f"{self.group}: {e}", file=sys.stderr)


def memory(pids, kind):
    """KiB of all these processes: "Pss", or "Private" (clean and dirty)."""
    total = 0
    for pid in pids:
        try:
            for line in open(f"/proc/{pid}/smaps_rollup"):
                if line.startswith(kind):
                    total += int(line.split()[1])
        except OSError:
            pass
    return total


def running(bench, daemons):
    """Idle daemons, then SLEEPERS containers: what each costs."""
    for name, d in daemons.items():
        idle = d.processes()
        bench.add({"case": "idle daemon", "subject": name, "unit": "KiB PSS", "runs": 1,
                   "median": memory(idle, "Pss:")})
        ids = [d.create(["sleep", "1000"]) for _ in range(SLEEPERS)]
        for i in ids:
            d.api("POST", f"/containers/{i}/start")
        time.sleep(1)
        shims = set(d.processes()) - set(idle)
        bench.add({"case": "a running container", "subject": name, "unit": "KiB priv", "runs": SLEEPERS,
                   "median": memory(shims, "Private") / SLEEPERS})
        d.clean()


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    work = tempfile.mkdtemp(prefix="wharf-bench-")
    wharfd = next(p for p in (f"{TOP}/build/bin/wharfd", f"{TOP}/build/cmd/wharfd/wharfd") if os.path.exists(p))
    busybox_tar(f"{work}/bb.tar")
    common = "-H unix://{w}/{n}.sock --data-root {w}/{n}-data --exec-root {w}/{n}-exec --pidfile {w}/{n}.pid"
    daemons = {}
    try:
        daemons["wharf"] = Daemon("wharf", work, f"{wharfd} " + common.format(w=work, n="wharf"))
        daemons["dockerd"] = Daemon("dockerd", work, "dockerd --storage-driver overlay2 --bip 172.28.0.1/16 " +
                                    "--exec-opt native.cgroupdriver=cgroupfs " + common.format(w=work, n="dockerd"))
        for d in daemons.values():
            d.import_image(f"{work}/bb.tar")
        bench = compare.Bench("docker")
        # daemons that have no networks yet say so in the first round
        for network in ("none", "host", "bridge"):
            bench.case(f"create-start-wait-rm, {network}",
                       {n: (lambda d=d, k=network: d.cycle(k)) for n, d in daemons.items()}, runs)
        sleepers = {n: d.create(["sleep", "1000"]) for n, d in daemons.items()}
        for n, d in daemons.items():
            d.api("POST", f"/containers/{sleepers[n]}/start")
        bench.case("exec", {n: (lambda d=d, c=sleepers[n]: d.exec(c)) for n, d in daemons.items()}, runs)
        bench.case("ping", {n: d.ping for n, d in daemons.items()}, runs)
        for d in daemons.values():
            for _ in range(LIST):
                d.create(["true"])
        bench.case(f"list of {LIST}", {n: d.list for n, d in daemons.items()}, runs)
        for d in daemons.values():
            d.clean()
        running(bench, daemons)
        bench.case(f"{LOG_MB} MB of output", {n: d.write_log for n, d in daemons.items()}, 2)
        bench.finish()
    finally:
        for d in daemons.values():
            try:
                d.clean()
            except (OSError, RuntimeError, http.client.HTTPException) as e:
                print(f"{d.name}: {e}", file=sys.stderr)
            d.stop()
        for mount in glob.glob("/run/docker/netns/*"):
            subprocess.run(["umount", mount], check=False)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
