# SPDX-License-Identifier: Apache-2.0
"""What the probe (test/oci/probe.c) saw inside a container, made ready to be compared.

`see` results are dictionaries; `differences` compares one with an expectation: {path: value}, where a
path is dotted, a value may be a function that says whether it is right, a dictionary means "at least
these", and a key with a colon is one of the probe's actions.
"""
import json

CAPABILITY_NAMES = """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF
CHECKPOINT_RESTORE""".split()
SETS = {"CapBnd": "bounding", "CapEff": "effective", "CapInh": "inheritable", "CapPrm": "permitted",
        "CapAmb": "ambient"}
MISSING = "(missing)"


def capabilities(status):
    sets = {}
    for line in status.splitlines():
        name, _, value = line.partition(":")
        if name in SETS:
            bits = int(value, 16)
            sets[SETS[name]] = ["CAP_" + c for n, c in enumerate(CAPABILITY_NAMES) if bits >> n & 1]
    return sets


def mounts(mountinfo):
    """{mount point: {"kind", "source", "root", "options", "super", "propagation"}}, the topmost ones."""
    table = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, source, data) = before.split(), (after.split(" ", 2) + ["", ""])[:3]
        table[fields[4]] = {"kind": kind, "source": source, "root": fields[3],
                            "options": fields[5].split(","), "super": data.split(","),
                            "propagation": [f.split(":")[0] for f in fields[6:]]}
    return table


def cgroups(text):
    """{controllers: path}; that of the v2 tree is ""."""
    return {line.split(":", 2)[1]: line.split(":", 2)[2] for line in text.splitlines()}


def id_map(text):
    return [[int(n) for n in line.split()] for line in text.splitlines()]


def seen(output):
    """The probe's answer."""
    world = json.loads(output)
    proc = world["proc"]
    world["capabilities"] = capabilities(proc["status"])
    world["mounts"] = mounts(proc["mountinfo"])
    world["cgroups"] = cgroups(proc["cgroup"])
    world["uid_map"], world["gid_map"] = id_map(proc["uid_map"]), id_map(proc["gid_map"])
    world["oom_score_adj"] = int(proc["oom_score_adj"] or 0)
    world["links"] = sorted(line.split(":")[0].strip() for line in proc["net/dev"].splitlines()[2:])
    world["environment"] = dict(e.split("=", 1) for e in world["env"] if "=" in e)
    return world


def is_action(key):
    return ":" in key


def lookup(world, path):
    """A value of the answer: an action's outcome, or the field at a dotted path ("mounts|/dev.options")."""
    if is_action(path):
        return world["did"].get(path, MISSING)
    node = world
    for name in path.split("|" if "|" in path else "."):
        if isinstance(node, dict) and name in node:
            node = node[name]
        elif isinstance(node, list) and name.isdigit() and int(name) < len(node):
            node = node[int(name)]
        else:
            return MISSING
    return node


def fits(actual, expected):
    if callable(expected):
        return bool(expected(actual))
    if isinstance(expected, dict) and isinstance(actual, dict):
        return all(fits(actual.get(name, MISSING), value) for name, value in expected.items())
    return actual == expected


def differences(world, expect):
    """Lines that say what is not as expected."""
    found = []
    for path, expected in expect.items():
        actual = lookup(world, path)
        try:
            right = fits(actual, expected)
        except (TypeError, AttributeError, KeyError, IndexError):  # a function that got something else
            right = False
        if not right:
            wanted = getattr(expected, "wants", expected)
            found.append(f"{path}: {json.dumps(actual)[:400]}, expected {wanted!r}")
    return found


def wanting(text, function):
    """Names a function for the report."""
    function.wants = text
    return function


def has(*items):
    return wanting(f"containing {items}", lambda actual: all(i in actual for i in items))


def lacks(*items):
    return wanting(f"without {items}", lambda actual: actual != MISSING and
                   not any(i in actual for i in items))


def same_set(*items):
    return wanting(f"exactly {items}", lambda actual: sorted(actual) == sorted(items))


def one_of(*items):
    return wanting(f"one of {items}", lambda actual: actual in items)


def fails(*names):
    """An action that ended with an errno: any, or one of these."""
    return wanting(f"errno {' or '.join(names) or 'of any kind'}",
                   lambda actual: actual["errno"] in names if names else "errno" in actual)


def works(actual):
    return isinstance(actual, dict) and "errno" not in actual


works.wants = "success"
