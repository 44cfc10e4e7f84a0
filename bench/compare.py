# SPDX-License-Identifier: Apache-2.0
"""compare - the frame of every benchmark: interleaved runs, medians, a table, and build/bench/AREA.json

    from compare import Bench, measure

    bench = Bench("oci")
    bench.case("run cycle", {"wharf": lambda: measure([OCI, "run", "x"]),
                             "crun": lambda: measure(["crun", "run", "x"])}, runs=20)
    bench.finish()

A subject is `wharf`, `floor` (the least that the kernel asks for) or the name of a peer. Each run of a
subject returns {unit: value}: several quantities may be taken from one run. The subjects take turns
within a round, and each round starts with another one, so that a busy machine is busy for all of them;
the first round is thrown away. What is reported is the median; ratios are against the first peer.
"""
import json
import os
import statistics
import subprocess
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def measure(command, **popen):
    """Runs a command to its end: {"wall ms", "cpu ms"} of it and its waited-for children.

    Not its memory: ru_maxrss of a child begins at the size of the process that forked it, Python's.
    """
    begin = time.monotonic()
    process = subprocess.Popen(command, **popen)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit status {process.returncode}: {' '.join(command)}")
    return {"wall ms": wall * 1e3, "cpu ms": (usage.ru_utime + usage.ru_stime) * 1e3}


class Bench:
    def __init__(self, area):
        self.area = area
        self.rows = []

    def case(self, name, subjects, runs=20):
        """Adds a case: `runs` interleaved rounds of {subject: function -> {unit: value}}."""
        taken = {subject: [] for subject in subjects}
        order = list(subjects)
        for number in range(runs + 1):
            for subject in order[number % len(order):] + order[:number % len(order)]:
                values = subjects[subject]()
                if number:
                    taken[subject].append(values)
        units = list(next(iter(taken.values()))[0])
        rows = [{"case": name, "subject": subject, "unit": unit, "runs": runs,
                 "median": statistics.median(values[unit] for values in taken[subject])}
                for unit in units for subject in subjects]
        self.add(*rows)

    def add(self, *rows):
        """Adds rows that were measured elsewhere, by a C program that does its own interleaving."""
        self.rows += rows
        for row in rows:
            peer = next((r for r in self.rows if r["subject"] not in ("wharf", "floor") and
                         (r["case"], r["unit"]) == (row["case"], row["unit"])), None)
            ratio = f"{row['median'] / peer['median']:8.2f} x {peer['subject']}" \
                if peer and peer is not row and peer["median"] else ""
            print(f"{row['case']:32} {row['subject']:10} {row['median']:12.2f} {row['unit']:10} "
                  f"{ratio}", flush=True)

    def finish(self):
        folder = os.path.join(TOP, "build", "bench")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, self.area + ".json")
        with open(path + ".new", "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(row) for row in self.rows) + "\n]\n")
        os.rename(path + ".new", path)
        print(f"\n{path}")
