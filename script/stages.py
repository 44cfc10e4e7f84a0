# SPDX-License-Identifier: Apache-2.0
"""The stages of script/test: what runs, in which build, and how its cases are counted.

A stage is a function that returns its Cases. Every case that anything below reports (a cmocka test, a
pytest test, a lint check, a build without warnings) counts once; nothing is counted that did not run.
Only failures print more than a line; what a stage said stands in build/test/STAGE.log.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(TOP, "test"))
from lib.junit import results  # noqa: E402

LOGS = os.path.join(TOP, "build", "test")
SLOWEST = 10
LOG_TAIL = 40
GUEST_SECONDS = 420


@dataclass
class Case:
    name: str
    result: str  # passed, failed or skipped
    seconds: float = 0
    why: str = ""  # of a failure or a skip


def logged(stage, command, env=None):
    """Runs a command with its output in the stage's log; returns (exit status, output)."""
    with open(os.path.join(LOGS, stage + ".log"), "a+b") as log:
        log.write(f"+ {' '.join(command)}\n".encode())
        log.flush()
        start = log.tell()
        status = subprocess.run(command, cwd=TOP, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                env={**os.environ, **(env or {})}).returncode
        log.seek(start)
        return status, log.read().decode("utf-8", "replace")


def tail(text):
    return "\n".join(text.rstrip().splitlines()[-LOG_TAIL:])


def lint(options):
    _, output = logged("lint", ["script/lint"])
    cases = []
    for block in re.split(r"^(?=ok   |FAIL )", output, flags=re.M):
        match = re.match(r"(ok  |FAIL) (lint \w+)", block)
        if match:
            cases.append(Case(match[2], "passed" if match[1] == "ok  " else "failed", why=block.strip()))
    return cases or [Case("lint", "failed", why=tail(output))]


def build(stage, folder, compiler, *options):
    """A release build in which a warning is an error: one case."""
    start = time.monotonic()
    status, output = logged(stage, ["script/build", "--dir", os.path.join(TOP, folder),
                                    "-Dwerror=true", *options], env={"CC": compiler})
    return Case(f"{stage}: builds without warnings", "failed" if status else "passed",
                time.monotonic() - start, tail(output))


def meson_case(stage, record):
    """The cases of one meson test: those it reports as TAP, else itself as one."""
    name = f"{stage}: {record['name'].split(' / ')[-1].split(':')[-1]}"
    output = record.get("stdout", "") + record.get("stderr", "")
    cases, said = [], ""
    for line in output.splitlines():
        match = re.match(r"\s*(ok|not ok) \d+ (?:- |(?=# ))(# SKIP )?(\w+)?", line)
        reason = re.match(r"\W*skip(?:ped)?: (.*)", line)
        if reason:
            said = reason[1]
        elif match:
            result = "skipped" if match[2] else "passed" if match[1] == "ok" else "failed"
            why = said if match[2] else tail(output) if result == "failed" else ""
            cases.append(Case(f"{name}: {match[3]}", result, why=why))
    ended = {"OK": "passed", "SKIP": "skipped"}.get(record["result"], "failed")
    if not cases or ended == "failed" and all(c.result != "failed" for c in cases):
        cases.append(Case(f"{name} ({record['result'].lower()})", ended, 0, said or tail(output)))
    cases[0].seconds = record.get("duration", 0)
    return cases


def meson_tests(stage, folder, suites, wrap=None, env=None):
    """The C tests of some suites in one build."""
    known = json.loads(subprocess.run(["meson", "introspect", folder, "--tests"], cwd=TOP, check=True,
                                      capture_output=True).stdout)
    present = {s.split(":")[-1] for test in known for s in test["suite"]}
    suites = [s for s in suites if s in present]
    if not suites:
        return []
    record_file = os.path.join(TOP, folder, "meson-logs", f"testlog-{stage}.json")
    command = ["meson", "test", "-C", folder, "--logbase", f"testlog-{stage}"]
    if wrap:
        record_file = record_file.replace(f"testlog-{stage}", f"testlog-{stage}-{wrap.split()[0]}")
        command += ["--wrapper", wrap]
    for suite in suites:
        command += ["--suite", suite]
    if os.path.exists(record_file):
        os.unlink(record_file)
    status, output = logged(stage, command, {"CMOCKA_MESSAGE_OUTPUT": "TAP", **(env or {})})
    if not os.path.exists(record_file):
        return [Case(f"{stage}: tests", "failed", why=tail(output))]
    with open(record_file) as f:
        return [case for line in f for case in meson_case(stage, json.loads(line))]


def unit(options):
    built = build("unit", "build", "gcc")
    return [built] + (meson_tests("unit", "build", ["unit", "example"])
                      if built.result == "passed" else [])


def clang(options):
    built = build("clang", "build-clang", "ccache clang")
    return [built] + (meson_tests("clang", "build-clang", ["unit"])
                      if built.result == "passed" else [])


def sanitized(stage, sanitizer, suites, env, wrap=None):
    """Only what the tests need is built, and built to be read in a report."""
    folder = f"build-{stage}"
    options = [f"-Db_sanitize={sanitizer}", "-Db_lundef=false", "-Dbuildtype=debugoptimized",
               "-Db_ndebug=false"]
    verb = ["configure", folder] if os.path.exists(f"{TOP}/{folder}/build.ninja") else \
        ["setup", folder]
    status, output = logged(stage, ["meson", *verb, *options])
    if status:
        return [Case(f"{stage}: configures", "failed", why=tail(output))]
    return meson_tests(stage, folder, suites, wrap, env)


def asan(options):
    return sanitized("asan", "address,undefined", ["unit", "fuzz"],
                     {"ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_string_checks=1",
                      "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1"})


def tsan(options):
    with open("/proc/sys/vm/mmap_rnd_bits") as f:
        wrap = "setarch -R" if int(f.read()) > 28 else None
    return sanitized("tsan", "thread", ["unit"], {"TSAN_OPTIONS": "halt_on_error=1"}, wrap)


def prepare_guests():
    """The guest's kernel and root, made once per machine, while there is a network: the tests have none."""
    program = os.environ.get("VM_RUN")
    if program and logged("integration", ["timeout", str(GUEST_SECONDS), program, "--prepare"])[0]:
        print("  guests cannot be prepared; see integration.log", flush=True)
        os.environ["VM_RUN"] = ""


def integration(options):
    """test/ against the programs in build/bin."""
    if not options.quick:
        prepare_guests()
    report = os.path.join(LOGS, "integration.xml")
    if os.path.exists(report):
        os.unlink(report)
    command = ["/usr/bin/python3", "-m", "pytest", "-q", f"--junitxml={report}"]
    command += ["-m", "not slow"] if options.quick else []
    status, output = logged("integration", command + (options.pytest or ["test"]))
    if not os.path.exists(report):
        return [Case("integration: starts", "failed", why=tail(output))]
    cases = [Case(f"{r.where}::{r.name}", r.result, r.seconds, tail(r.why)) for r in results(report)]
    if status not in (0, 1) or not cases:  # 0 and 1: every test ran
        cases.append(Case(f"integration: pytest ends with {status}", "failed", why=tail(output)))
    return cases


STAGES = {f.__name__: f for f in (lint, unit, clang, asan, tsan, integration)}
QUICK = ["lint", "unit", "integration"]


def main():
    parser = argparse.ArgumentParser(prog="script/test")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--list", action="store_true")
    arguments, pytest = sys.argv[1:], []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, pytest = arguments[:cut], arguments[cut + 1:]
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    options = parser.parse_args(arguments)
    options.pytest = pytest
    unknown = set(options.stages) - set(STAGES)
    if options.list or unknown:
        print("stages:", *STAGES)
        return 2 if unknown else 0

    os.makedirs(LOGS, exist_ok=True)
    cases, begin = [], time.monotonic()
    for name in options.stages or (QUICK if options.quick else STAGES):
        log = os.path.join(LOGS, name + ".log")
        if os.path.exists(log):
            os.unlink(log)
        start = time.monotonic()
        mine = STAGES[name](options)
        counts = [sum(c.result == r for c in mine) for r in ("passed", "failed", "skipped")]
        print("%-12s %5.0f s   %d passed, %d failed, %d skipped" %
              (name, time.monotonic() - start, *counts), flush=True)
        for case in mine:
            if case.result == "failed":
                print(f"  FAILED {case.name}\n    " + case.why.replace("\n", "\n    "), flush=True)
        cases += mine
    return summary(cases, time.monotonic() - begin)


def summary(cases, seconds):
    skips = {}
    for case in cases:
        if case.result == "skipped":
            skips.setdefault(case.why or "no reason given", []).append(case.name)
    if skips:
        print("\nskipped, because:")
    for why, names in sorted(skips.items()):
        print(f"  {why}\n    {names[0]}" + (f" and {len(names) - 1} more" if names[1:] else ""))
    slowest = sorted(cases, key=lambda c: -c.seconds)[:SLOWEST]
    print("\nslowest:", *(f"{c.seconds:7.1f} s  {c.name}" for c in slowest), sep="\n  ")
    failed = [c for c in cases if c.result == "failed"]
    if failed:
        print("\nfailed:", *(c.name for c in failed), sep="\n  ")
    print(f"\ntook {seconds:.0f} s")
    print(f"{sum(c.result == 'passed' for c in cases)} passed, {len(failed)} failed, "
          f"{sum(c.result == 'skipped' for c in cases)} skipped")
    return 1 if failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main())
