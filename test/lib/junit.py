# SPDX-License-Identifier: Apache-2.0
"""pytest's report, read: one case per test, although a failing teardown makes a second entry of it."""
import xml.etree.ElementTree as ET
from dataclasses import dataclass

WORST = ("failed", "skipped", "passed")


@dataclass
class Result:
    where: str  # the module: oci/test_mounts
    name: str
    result: str  # passed, failed or skipped
    seconds: float
    why: str
    section: str  # of the specification, for test/oci


def results(path):
    found = {}
    for element in ET.parse(path).iter("testcase"):
        bad = [e for e in element if e.tag in ("failure", "error")]
        skip = element.find("skipped")
        outcome = "failed" if bad else "skipped" if skip is not None else "passed"
        why = "\n".join([bad[0].get("message") or "", bad[0].text or ""]) if bad else \
            skip.get("message") or "" if skip is not None else ""
        section = next((p.get("value") for p in element.iter("property") if p.get("name") == "spec"), "")
        entry = Result(element.get("classname", "").replace(".", "/"), element.get("name"), outcome,
                       float(element.get("time") or 0), why.strip(), section)
        other = found.setdefault((entry.where, entry.name), entry)
        if other is not entry:
            other.seconds += entry.seconds
            if WORST.index(outcome) < WORST.index(other.result):
                other.result, other.why = outcome, entry.why
    return list(found.values())
