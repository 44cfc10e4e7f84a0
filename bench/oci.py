# SPDX-License-Identifier: Apache-2.0
"""The OCI runtime: wharf-oci beside crun, runc and the floor, in the v1 and the v2 view of this host.

Debian's crun 1.8 lives in a pure v1 view only, so ratios against it are taken there. A subject that
cannot run in a view is left out of it, by name.

    script/bench oci [RUNS]
"""
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TOP, "bench"), os.path.join(TOP, "test")]

import compare  # noqa: E402
from lib import bundle as bundles, cgroups  # noqa: E402

PARALLEL, BATCH = 4, 40
IN_PROCESS = 40


def quiet(command, **options):
    return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL, **options)


def measured(*commands):
    """The sum of several commands, each to its end."""
    total = {}
    for command in commands:
        taken = compare.measure(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)
        for unit, value in taken.items():
            total[unit] = total.get(unit, 0) + value
    return total


class Subject:
    def __init__(self, name, path, folder):
        self.name = name
        self.base = [path, "--root", os.path.join(folder, "state-" + name)]

    def command(self, *arguments):
        return [*self.base, *arguments]

    def works(self, bundle):
        return quiet(self.command("run", "--bundle", bundle, "works")).returncode == 0


def system_calls(command):
    """How many system calls a command and what it starts make, up to the container's own program."""
    with tempfile.NamedTemporaryFile("r") as log:
        quiet(["strace", "-f", "-c", "-U", "calls,name", "-o", log.name, *command])
        total = re.search(r"^\s*(\d+)\s+total", log.read(), re.M)
        return {"calls": int(total.group(1))} if total else {"calls": 0}


def peak_memory(command):
    """busybox is small, so its child's maximum is the command's own; it takes ru_maxrss for pages."""
    done = subprocess.run(["busybox", "time", "-v", *command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    pages = int(re.search(r"Maximum resident set size.*: (\d+)", done.stderr).group(1))
    return {"KiB": pages // (resource.getpagesize() // 1024)}


def parallel(command_for):
    """BATCH containers, PARALLEL at a time: ms a container."""
    begin, live = time.monotonic(), []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for number in range(BATCH):
        if len(live) == PARALLEL:
            live.pop(0).wait()
        live.append(subprocess.Popen(command_for(number), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    for process in live:
        process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall ms": (time.monotonic() - begin) * 1e3 / BATCH, "cpu ms": cpu * 1e3 / BATCH}


def per_container(command):
    """A command that runs IN_PROCESS containers: each one's share."""
    return {unit: value / IN_PROCESS for unit, value in measured(command).items()}


def run_cycle(bench, subjects, bundle, view, runs):
    def one(subject):
        return lambda: measured(subject.command("run", "--bundle", bundle, "one"))
    cases = {s.name: one(s) for s in subjects}
    cases["floor"] = lambda: measured([FLOOR, bundle + "/rootfs", "1", "/bin/true"])
    bench.case(f"run cycle, {view}", cases, runs)


def three_steps(bench, subjects, bundle, view, runs):
    def one(subject):
        def steps():
            taken = measured(subject.command("create", "--bundle", bundle, "steps"),
                             subject.command("start", "steps"))
            while '"stopped"' not in subprocess.run(subject.command("state", "steps"), text=True,
                                                    stdout=subprocess.PIPE).stdout:
                time.sleep(0.001)
            deleted = measured(subject.command("delete", "steps"))
            return {unit: taken[unit] + deleted[unit] for unit in taken}
        return steps
    bench.case(f"create, start, delete, {view}", {s.name: one(s) for s in subjects}, runs)


def exec_in_live(bench, subjects, bundle, view, runs):
    def live(subject):
        return "live-" + subject.name  # all are alive at once: each in a cgroup of its own
    def one(subject):
        return lambda: measured(subject.command("exec", live(subject), "/bin/true"))
    for subject in subjects:
        subprocess.run(subject.command("run", "--detach", "--bundle", bundle, live(subject)),
                       check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
    try:
        bench.case(f"exec, {view}", {s.name: one(s) for s in subjects}, runs)
    finally:
        for subject in subjects:
            quiet(subject.command("delete", "--force", live(subject)))


def in_parallel(bench, subjects, bundle, view, runs):
    def one(subject):
        return lambda: parallel(lambda n: subject.command("run", "--bundle", bundle, f"par{n}"))
    bench.case(f"4 at a time, {view}", {s.name: one(s) for s in subjects}, max(2, runs // 8))


def sizes(bench, subjects, bundle, view):
    bench.case(f"system calls of run, {view}",
               {s.name: lambda s=s: system_calls(s.command("run", "--bundle", bundle, "calls"))
                for s in subjects}, 1)
    bench.case(f"peak memory of run, {view}",
               {s.name: lambda s=s: peak_memory(s.command("run", "--bundle", bundle, "peak"))
                for s in subjects}, 3)


def library(bench, folder, bundle, view, runs):
    state = os.path.join(folder, "state-library")
    bench.case(f"library, no cgroup, {view}", {
        "wharf": lambda: per_container([LIBRARY, state, bundle + "-bare", str(IN_PROCESS), "none"]),
        "floor": lambda: per_container([FLOOR, bundle + "/rootfs", str(IN_PROCESS), "/bin/true"]),
    }, max(3, runs // 4))
    bench.case(f"library, with cgroup, {view}", {
        "wharf": lambda: per_container([LIBRARY, state, bundle, str(IN_PROCESS)]),
        "floor": lambda: per_container([FLOOR, bundle + "/rootfs", str(IN_PROCESS), "/bin/true"]),
    }, max(3, runs // 4))


def make_bundles(folder):
    bundle = os.path.join(folder, "b")
    bundles.Bundle(bundle, {"process.args": ["/bin/true"]})
    bundles.Bundle(bundle + "-live", {"process.args": ["/bin/sleep", "1000"]})
    bundles.Bundle(bundle + "-bare", {"process.args": ["/bin/true"], "linux.resources": bundles.DELETE})
    return bundle


def measure_view(view, runs, result):
    """Runs in a private mount namespace that shows this view."""
    cgroups.enter_view(view)
    bench = compare.Bench("oci")
    folder = tempfile.mkdtemp(prefix="wo", dir="/tmp")
    try:
        bundle = make_bundles(folder)
        paths = {"crun": shutil.which("crun"), "runc": shutil.which("runc"), "wharf": WHARF}
        subjects = [Subject(name, path, folder) for name, path in paths.items() if path]
        for subject in [s for s in subjects if not s.works(bundle)]:
            print(f"-- {subject.name} does not run in the {view} view: left out")
            subjects.remove(subject)
        run_cycle(bench, subjects, bundle, view, runs)
        three_steps(bench, subjects, bundle, view, runs // 2)
        exec_in_live(bench, subjects, bundle + "-live", view, runs)
        in_parallel(bench, subjects, bundle, view, runs)
        library(bench, folder, bundle, view, runs)
        sizes(bench, subjects, bundle, view)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with open(result, "w") as f:
            json.dump(bench.rows, f)


WHARF = os.path.join(TOP, "build/bin/wharf-oci")
FLOOR = os.path.join(TOP, "build/bench/oci/floor")
LIBRARY = os.path.join(TOP, "build/bench/oci/library")


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    if len(sys.argv) > 3:
        return measure_view(sys.argv[2], runs, sys.argv[3])
    bench = compare.Bench("oci")
    for view in ("v1", "v2"):
        with tempfile.NamedTemporaryFile("r") as result:
            subprocess.run(["unshare", "-m", "--propagation", "private", sys.executable,
                            os.path.abspath(__file__), str(runs), view, result.name], check=True)
            bench.rows += json.load(result)
    bench.finish()
    return None


if __name__ == "__main__":
    main()
