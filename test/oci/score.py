# SPDX-License-Identifier: Apache-2.0
"""Runs the conformance suite once per runtime, and prints a table: a row per section, then what failed."""
import os
import re
import subprocess
import sys
import tempfile

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "test"))
from lib.junit import results  # noqa: E402

DEFAULT = ["build/bin/wharf-oci", "/usr/bin/crun:v1", "/usr/sbin/runc"]
RESULTS = ("pass", "fail", "skip")


def outcomes(runtime, extra):
    """[(section, test, result, why)] of one runtime."""
    with tempfile.NamedTemporaryFile(suffix=".xml") as report:
        subprocess.run(["/usr/bin/python3", "-m", "pytest", "-q", f"--junitxml={report.name}",
                        "--runtime", runtime, os.path.join(TOP, "test", "oci"), *extra],
                       cwd=TOP, stdout=subprocess.DEVNULL)
        found = []
        for case in results(report.name):
            name = re.sub(r"\[[^-\]]*-?", "[", case.name, count=1).replace("[]", "")
            found.append((case.section, name, case.result[:4], case.why.split("\n")[0]))
        return found


def main(arguments):
    extra = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, extra = arguments[:cut], arguments[cut + 1:]
    runtimes = arguments or DEFAULT
    scores = {}
    for runtime in runtimes:
        name = os.path.basename(runtime.split(":")[0])
        scores[name] = outcomes(runtime, extra)

    sections = sorted({section for score in scores.values() for section, *_ in score})
    print(f"{'section':46}" + "".join(f"{name:>20}" for name in scores))
    print(f"{'':46}" + f"{'pass/fail/skip':>20}" * len(scores))
    for section in [*sections, "all"]:
        cells = []
        for score in scores.values():
            mine = [result for where, _, result, _ in score if section in (where, "all")]
            cells.append("/".join(str(mine.count(result)) for result in RESULTS))
        print(f"{section:46}" + "".join(f"{cell:>20}" for cell in cells))
    for name, score in scores.items():
        print(f"\n{name}:")
        for _, test, result, why in score:
            if result != "pass":
                print(f"  {result}  {test}\n        {why[:200]}")
    return any(result == "fail" for _, _, result, _ in next(iter(scores.values())))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
