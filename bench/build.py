# SPDX-License-Identifier: Apache-2.0
"""POST /build: wharfd beside Debian's dockerd, five RUN and five COPY on busybox.

    script/bench build [RUNS]

Cold is without the cache (nocache=1) but with the base image there; cached is the same context again.
CPU is that of the daemon and what it starts but the containers, as in bench/docker.py.
"""
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, "bench"), os.path.join(TOP, "test")]

import compare  # noqa: E402
from docker import Daemon  # noqa: E402
from lib.rootfs import busybox_tar  # noqa: E402

FILES, FILE_BYTES = 5, 200000


def context():
    """A Dockerfile and what it copies: text that compresses, as source does."""
    steps = [f"COPY f{n} /src/f{n}\nRUN sort /src/f{n} | uniq > /src/o{n} && ls -l /src > /src/l{n}" for n in range(FILES)]
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, text in [("Dockerfile", "FROM busybox\n" + "\n".join(steps)),
                           *((f"f{n}", "".join(f"line {n * i}\n" for i in range(FILE_BYTES // 12))) for n in range(FILES))]:
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, io.BytesIO(text.encode()))
    return data.getvalue()


def build(daemon, body, query):
    cpu, begin = daemon.cpu_ms(), time.monotonic()
    daemon.http.request("POST", f"/build?t=bench&{query}", body, {"Content-Type": "application/x-tar"})
    answer = daemon.http.getresponse().read()
    wall = time.monotonic() - begin
    if b"Successfully tagged" not in answer:
        raise RuntimeError(f"{daemon.name}: {answer[-300:]}")
    return {"wall ms": wall * 1e3, "cpu ms": daemon.cpu_ms() - cpu}


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    work = tempfile.mkdtemp(prefix="wharf-bench-")
    wharfd = next(p for p in (f"{TOP}/build/bin/wharfd", f"{TOP}/build/cmd/wharfd/wharfd") if os.path.exists(p))
    busybox_tar(f"{work}/bb.tar")
    options = "-H unix://{w}/{n}.sock --data-root {w}/{n}-data --exec-root {w}/{n}-exec --pidfile {w}/{n}.pid"
    daemons, body = {}, context()
    try:
        daemons["wharf"] = Daemon("wharf", work, f"{wharfd} " + options.format(w=work, n="wharf"))
        daemons["dockerd"] = Daemon("dockerd", work, "dockerd --storage-driver overlay2 --bip 172.28.0.1/16 " +
                                    "--exec-opt native.cgroupdriver=cgroupfs " + options.format(w=work, n="dockerd"))
        for d in daemons.values():
            d.import_image(f"{work}/bb.tar")
        bench = compare.Bench("build")
        for case, query in (("cold build, 10 steps", "nocache=1"), ("cached build, 10 steps", "")):
            bench.case(case, {n: (lambda d=d, q=query: build(d, body, q)) for n, d in daemons.items()}, runs)
        bench.finish()
    finally:
        for d in daemons.values():
            d.stop()
        subprocess.run("umount /run/docker/netns/* 2>/dev/null", shell=True, check=False)
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
