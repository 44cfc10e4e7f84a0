# SPDX-License-Identifier: Apache-2.0
"""network - bytes through a published port, beside the host's own loopback and docker-proxy; starts with and without

    script/bench network    as root; docker-proxy where Debian's docker.io left it

It makes a network namespace of its own, in which wharf runs one container on a fresh root, and removes both.
"""
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

from compare import TOP, Bench, measure

sys.path.insert(0, os.path.join(TOP, "test"))
from lib import kernel                  # noqa: E402
from lib.rootfs import busybox_tar      # noqa: E402
from lib.world import loopback_up       # noqa: E402

BYTES, CHUNK = 1 << 30, 1 << 20
WHARF = os.environ.get("WHARF", os.path.join(TOP, "build/cmd/wharf/wharf"))
PROXY = next(filter(os.path.exists, ("/usr/sbin/docker-proxy", "/usr/libexec/docker/docker-proxy")), None)


def sink(port, namespace=None):
    """Takes in whatever comes to a port of a namespace, and says a byte at the end."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    if namespace:
        there = os.open(namespace, os.O_RDONLY)
        kernel.setns(there, kernel.CLONE_NEWNET)
        os.close(there)
    listener = socket.create_server(("", port))
    kernel.setns(home, kernel.CLONE_NEWNET)
    os.close(home)

    def run():
        buffer = bytearray(CHUNK)
        while True:
            connection, _ = listener.accept()
            with connection:
                while connection.recv_into(buffer):
                    pass
                connection.sendall(b".")
    threading.Thread(target=run, daemon=True).start()


def send(port):
    block = memoryview(bytearray(CHUNK))
    with socket.create_connection(("127.0.0.1", port)) as s:
        begin = time.monotonic()
        for _ in range(BYTES // CHUNK):
            s.sendall(block)
        s.shutdown(socket.SHUT_WR)
        s.recv(1)
        return {"Gb/s": BYTES * 8e-9 / (time.monotonic() - begin)}


def main():
    kernel.unshare(kernel.CLONE_NEWNET)
    loopback_up()
    root = tempfile.mkdtemp(prefix="wharf-bench-")
    wharf = [WHARF, "--root", root]
    quiet = {"stdout": subprocess.DEVNULL}
    busybox_tar(f"{root}/bb.tar")
    subprocess.run([*wharf, "import", f"{root}/bb.tar", "busybox"], check=True, **quiet)
    subprocess.run([*wharf, "run", "-d", "--name", "sink", "-p", "8080:80", "busybox", "sleep", "3600"], check=True,
                   **quiet)
    inspect = subprocess.run([*wharf, "inspect", "sink"], check=True, capture_output=True, text=True).stdout
    pid = re.search(r'"Pid": (\d+)', inspect)[1]
    address = re.search(r'"IPAddress": "([\d.]+)"', inspect)[1]
    sink(80, f"/proc/{pid}/ns/net")
    sink(8081)
    subjects = {"wharf": lambda: send(8080), "floor": lambda: send(8081)}
    proxy = None
    if PROXY:
        # it tells by descriptor 3 that it is ready
        proxy = subprocess.Popen(["sh", "-c", 'exec "$@" 3>/dev/null', "sh", PROXY, "-proto", "tcp", "-host-ip",
                                  "127.0.0.1", "-host-port", "8082", "-container-ip", address,
                                  "-container-port", "80"])
        time.sleep(0.5)
        subjects["docker-proxy"] = lambda: send(8082)
    bench = Bench("network")
    try:
        bench.case("1 GiB through a published port", subjects, runs=5)
        for name, flags in ("none", ["--network", "none"]), ("bridge", []), ("bridge, a port", ["-p", "8090:80"]):
            command = [*wharf, "run", "--rm", *flags, "busybox", "true"]
            bench.case(f"run --rm, {name}", {"wharf": lambda c=command: measure(c)}, runs=10)
    finally:
        if proxy:
            proxy.kill()
        subprocess.run([*wharf, "rm", "-f", "sink"], **quiet)
        shutil.rmtree(root)
    bench.finish()


if __name__ == "__main__":
    main()
