# SPDX-License-Identifier: Apache-2.0
"""Clients that start, use, kill and remove containers while the daemon and random shims are killed.

    script/soak [SECONDS [CLIENTS]]      600 and 8: in namespaces of its own, ends with a table of what was left

Each client owns containers and knows what must be true of them: the exit code it asked for, that none that was
created is lost and none that was removed comes back. A call that a killed daemon cut off may have happened or
not; whoever made it looks. At the end nothing may be left: processes, mounts, cgroups, interfaces, packet filter
entries, addresses, files; and the daemon's memory and descriptors are what they were after the warm-up.
"""
import collections
import contextlib
import http.client
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "test"))

from lib.rootfs import busybox_tar  # noqa: E402

WORK = "/tmp/soak"
SCRIPT = "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"


class Cut(Exception):
    """The daemon went away in the middle: what was asked for may have happened."""


class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(f"{WORK}/d.sock")


def api(method, path, body=None, raw=False):
    """(status, answer)"""
    connection = Connection("docker")
    try:
        data = json.dumps(body) if body is not None and not raw else body
        connection.request(method, "/v1.43" + path, data, {"Content-Type": "application/json"} if data else {})
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text[:1] in (b"{", b"[") else text
    except (OSError, http.client.HTTPException) as e:
        raise Cut(f"{method} {path}: {e!r}") from None
    finally:
        connection.close()


class Daemon:
    def __init__(self):
        self.log = open(f"{WORK}/log", "a")
        self.process = None
        self.lock = threading.Lock()

    def start(self):
        self.process = subprocess.Popen(
            [os.environ.get("WHARFD", f"{TOP}/build/bin/wharfd"), "-H", f"unix://{WORK}/d.sock", "--data-root",
             f"{WORK}/root", "--exec-root", f"{WORK}/run", "--pidfile", f"{WORK}/pid"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 20
        while True:
            try:
                api("GET", "/_ping")
                return
            except Cut:
                assert self.process.poll() is None and time.monotonic() < deadline, open(f"{WORK}/log").read()[-2000:]
                time.sleep(0.02)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def size(self):
        """(descriptors, KiB of private memory)"""
        pid = self.process.pid
        private = sum(int(line.split()[1]) for line in open(f"/proc/{pid}/smaps_rollup") if line.startswith("Private"))
        return len(os.listdir(f"/proc/{pid}/fd")), private


class Client:
    def __init__(self, number, stop, shims_killed):
        self.number, self.stop, self.shims_killed = number, stop, shims_killed
        self.random = random.Random(number)
        self.counts, self.faults = collections.Counter(), []

    def fault(self, text):
        self.faults.append(f"client {self.number}: {text}")

    def ask(self, method, path, body=None, tries=200):
        """Again and again where the daemon is away; (status, answer, whether an earlier try was cut off)."""
        cut = False
        for _ in range(tries):
            try:
                self.counts[path.split("?")[0].split("/")[-1] if method != "DELETE" else "remove"] += 1
                return (*api(method, path, body), cut)
            except Cut as e:
                cut = True
                self.counts["cut off"] += 1
                last = e
                time.sleep(0.05)
        raise RuntimeError(f"the daemon stayed away: {last}")

    def expect(self, what, status, wanted, answer):
        if status not in wanted:
            self.fault(f"{what}: {status} {answer}")
        return status in wanted

    def run(self):
        try:
            while not self.stop.is_set():
                self.life(f"s{self.number}-{self.counts['lives']}")
                self.counts["lives"] += 1
        except Exception as e:  # noqa: BLE001
            self.fault(repr(e))

    def life(self, name):
        kind = self.random.choice(["exit", "stop", "kill", "remove"])
        code = self.random.randrange(100) if kind == "exit" else None
        network = self.random.choice(["none", "bridge", "host", "none"])
        command = ["sh", "-c", f"echo up; exit {code}"] if kind == "exit" else ["sh", "-c", SCRIPT]
        body = {"Image": "busybox", "Cmd": command, "HostConfig": {"NetworkMode": network}}
        status, answer, cut = self.ask("POST", f"/containers/create?name={name}", body)
        if not (cut and status == 409) and not self.expect(f"create {name}", status, [201], answer):
            return
        status, answer, cut = self.ask("POST", f"/containers/{name}/start")
        if self.expect(f"start {name}", status, [204, 304], answer):
            self.use(name, kind, code, cut)
        status, answer, cut = self.ask("DELETE", f"/containers/{name}?force=1&v=1")
        self.expect(f"remove {name}", status, [204, 404] if cut else [204], answer)
        status, answer, _ = self.ask("GET", f"/containers/{name}/json")
        self.expect(f"inspect removed {name}", status, [404], answer)

    def use(self, name, kind, code, again):
        """`again`: its start was asked for more than once, so it may have run more than once."""
        if kind == "exit":
            self.ended(name, {code})
            status, answer, _ = self.ask("GET", f"/containers/{name}/logs?stdout=1")
            once = b"\1\0\0\0\0\0\0\3up\n"
            if self.expect(f"logs {name}", status, [200], answer) and not self.was_hit(name) \
                    and answer != once and not (again and answer == 2 * once):
                self.fault(f"logs {name}: {answer}")
            return
        if self.random.random() < 0.6:
            self.exec(name)
        if kind == "stop":
            begin = time.monotonic()
            status, answer, _ = self.ask("POST", f"/containers/{name}/stop?t=5")
            if self.expect(f"stop {name}", status, [204, 304], answer):
                # a first process that has not set its trap yet does not hear SIGTERM
                self.ended(name, {3} if time.monotonic() - begin < 5 else {137})
        elif kind == "kill":
            status, answer, cut = self.ask("POST", f"/containers/{name}/kill")
            if self.expect(f"kill {name}", status, [204, 409] if cut or self.was_hit(name) else [204], answer):
                self.ended(name, {137})

    def was_hit(self, name):
        return name in self.shims_killed

    def exec(self, name):
        status, answer, _ = self.ask("POST", f"/containers/{name}/exec", {"Cmd": ["sh", "-c", "exit 7"],
                                                                         "AttachStdout": True})
        if status == 409 and self.was_hit(name) or not self.expect(f"exec {name}", status, [201], answer):
            return
        identity = answer["Id"]
        status, answer, cut = self.ask("POST", f"/exec/{identity}/start", {"Detach": False})
        if cut or self.was_hit(name) or not self.expect(f"exec start {name}", status, [200], answer):
            return
        status, answer, cut = self.ask("GET", f"/exec/{identity}/json")
        if not self.was_hit(name) and self.expect(f"exec inspect {name}", status, [200], answer):
            if answer["ExitCode"] != 7:
                self.fault(f"exec {name}: ExitCode {answer['ExitCode']}")

    def ended(self, name, codes):
        status, answer, _ = self.ask("POST", f"/containers/{name}/wait")
        if not self.expect(f"wait {name}", status, [200], answer):
            return
        wanted = codes | {137} if self.was_hit(name) else codes
        if answer["StatusCode"] not in wanted:
            self.fault(f"{name} ended with {answer['StatusCode']}, not one of {wanted}")


class Chaos(threading.Thread):
    """Kills the daemon every few seconds and a shim now and then."""

    def __init__(self, daemon, stop, shims_killed):
        super().__init__()
        self.daemon_, self.stop, self.shims_killed = daemon, stop, shims_killed
        self.random, self.counts = random.Random(99), collections.Counter()

    def run(self):
        at = time.monotonic() + 3
        while not self.stop.wait(0.5 + self.random.random()):
            if time.monotonic() > at:
                self.daemon_.kill()
                self.daemon_.start()
                self.counts["daemon killed"] += 1
                at = time.monotonic() + 2 + 4 * self.random.random()
            else:
                self.kill_a_shim()

    def kill_a_shim(self):
        try:
            status, running = api("GET", "/containers/json")
            if status == 200 and running:
                one = self.random.choice(running)
                self.shims_killed.add(one["Names"][0][1:])
                for pid in shims():
                    if one["Id"] in open(f"/proc/{pid}/cmdline").read():
                        os.kill(pid, signal.SIGKILL)
                        self.counts["shim killed"] += 1
        except (Cut, OSError):
            pass


def shims():
    """Of this soak: those in our network namespace."""
    ours = os.stat("/proc/self/ns/net").st_ino
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if open(f"/proc/{pid}/comm").read().strip() == "wharf-shim" and os.stat(f"/proc/{pid}/ns/net").st_ino == ours:
                yield int(pid)
        except OSError:  # it has ended
            pass


def left():
    """What the machine holds of containers now."""
    def lines(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    groups = [d for d, _, _ in os.walk("/sys/fs/cgroup") if "/wharf/" in d or d.endswith("/docker") or "/docker/" in d]
    with contextlib.closing(sqlite3.connect(f"file:{WORK}/root/network.db?mode=ro", uri=True, timeout=10)) as db:
        addresses = db.execute("SELECT count(*) FROM address").fetchone()[0]
    return {
        "shims": len(list(shims())),
        "mounts": sum(1 for line in open("/proc/self/mountinfo") if WORK in line and "/root/" in line),
        "cgroups": len(groups),
        "interfaces": sum(1 for line in open("/proc/net/dev") if line.strip().startswith("v")),
        "packet filter": sum("." in line or "dnat" in line for line in lines("nft", "list", "maps", "inet")),
        "addresses": addresses,
        "folders": len(os.listdir(f"{WORK}/root/containers")),
        "names": len(os.listdir(f"{WORK}/run/names")) if os.path.isdir(f"{WORK}/run/names") else 0,
    }


def soak(seconds, clients):
    os.makedirs(WORK)
    busybox_tar(f"{WORK}/bb.tar")
    daemon = Daemon()
    daemon.start()
    with open(f"{WORK}/bb.tar", "rb") as f:
        assert api("POST", "/images/create?fromSrc=-&repo=busybox&tag=latest", f.read(), raw=True)[0] == 200
    stop, shims_killed = threading.Event(), set()
    warm = Client(0, stop, shims_killed)
    for i in range(8):
        warm.life(f"warm-{i}")
    before = left()
    crowd = [Client(i + 1, stop, shims_killed) for i in range(clients)]
    threads = [threading.Thread(target=c.run) for c in crowd]
    chaos = Chaos(daemon, stop, shims_killed)
    for t in [*threads, chaos]:
        t.start()
    time.sleep(seconds)
    stop.set()
    chaos.join()
    for t in threads:
        t.join(120)
    faults = warm.faults + [f for c in crowd for f in c.faults]
    status, rest = api("GET", "/containers/json?all=1")
    faults += [f"left: {c['Names']} {c['Status']}" for c in rest]
    first = daemon.size()
    for i in range(40):
        warm.life(f"size-{i}")
    faults += warm.faults
    second, deadline = daemon.size(), time.monotonic() + 10
    while (after := left()) != before and time.monotonic() < deadline:
        time.sleep(0.2)
    faults += [f"{what}: {before[what]} before, {n} after" for what, n in after.items() if n > before[what]]
    if second[0] > first[0] + 2 or second[1] > first[1] + 1024:
        faults.append(f"the daemon grew: {first} to {second} (descriptors, KiB) in 40 lives")
    daemon.process.terminate()
    if daemon.process.wait(20) != 0:
        faults.append(f"the daemon ended with {daemon.process.returncode}")
    counts = sum((c.counts for c in crowd), collections.Counter())
    print(f"{seconds} s, {clients} clients:", ", ".join(f"{n} {what}" for what, n in counts.most_common()))
    print(", ".join(f"{n} {what}" for what, n in chaos.counts.items()))
    print(f"daemon: {second[0]} descriptors, {second[1]} KiB private")
    for f in faults[:40]:
        print("FAULT", f)
    print(f"{len(faults)} faults")
    return faults


if __name__ == "__main__":
    sys.exit(1 if soak(float(sys.argv[1]) if len(sys.argv) > 1 else 600, int(sys.argv[2]) if len(sys.argv) > 2 else 8)
             else 0)
