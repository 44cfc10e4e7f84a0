# SPDX-License-Identifier: Apache-2.0
"""config.json as a whole, the rest of `linux`, and the features document."""
import json
import os
import subprocess

import pytest

from lib.bundle import DELETE
from lib.oci_case import accepted, refused, seen_cases
from lib.seen import one_of

PER_LINUX32 = 0x0008
MPOL = {"MPOL_DEFAULT": 0, "MPOL_PREFERRED": 1, "MPOL_BIND": 2, "MPOL_INTERLEAVE": 3, "MPOL_LOCAL": 4,
        "MPOL_PREFERRED_MANY": 5, "MPOL_WEIGHTED_INTERLEAVE": 6}
MPOL_F_STATIC_NODES, MPOL_F_RELATIVE_NODES = 1 << 15, 1 << 14
NODELESS = ("MPOL_DEFAULT", "MPOL_LOCAL")

test_seen = seen_cases(
    ("config-linux.md#personality", "LINUX32", {"linux.personality": {"domain": "LINUX32"}},
     {"personality": PER_LINUX32, "machine": one_of("i686", "armv8l")}),
    ("config-linux.md#personality", "LINUX", {"linux.personality": {"domain": "LINUX"}}, {"personality": 0}),
    *(("config-linux.md#memory-policy", mode,
       {"linux.memoryPolicy": {"mode": mode, "nodes": "" if mode in NODELESS else "0"}},
       {"mempolicy": {"mode": number, "nodes": 0 if mode in NODELESS else 1}}) for mode, number in MPOL.items()),
    ("config-linux.md#memory-policy", "MPOL_F_STATIC_NODES",
     {"linux.memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}},
     {"mempolicy": {"mode": 2 | MPOL_F_STATIC_NODES}}),
    ("config-linux.md#memory-policy", "MPOL_F_RELATIVE_NODES",
     {"linux.memoryPolicy": {"mode": "MPOL_INTERLEAVE", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}},
     {"mempolicy": {"mode": 3 | MPOL_F_RELATIVE_NODES}}),
)

test_accepted = accepted(
    ("config.md#extensibility", "unknown properties are passed over", {"some.unknown": 1, "linux.unknown": {"x": []},
                                                                      "process.unknown": "y"}),
    ("config.md#annotations", "unknown annotations", {"annotations": {"org.example.key": "value", "x": ""}}),
    *(("config.md#specification-version", version, {"ociVersion": version})
      for version in ("1.0.0", "1.0.2", "1.0.2-dev", "1.1.0", "1.2.0", "1.3.0")),
)

test_refused = refused(
    ("config.md#specification-version", "no ociVersion", {"ociVersion": DELETE}),
    ("config.md#specification-version", "a version that is none", {"ociVersion": "one"}),
    ("config.md#specification-version", "another major version", {"ociVersion": "2.0.0"}),
    ("config.md#specification-version", "a version of the wrong type", {"ociVersion": 1}),
    ("config.md#annotations", "a value that is no string", {"annotations": {"a": 1}}),
    ("config-linux.md#personality", "an unknown domain", {"linux.personality": {"domain": "NONE"}}),
    ("config-linux.md#memory-policy", "an unknown mode", {"linux.memoryPolicy": {"mode": "MPOL_NONE", "nodes": "0"}}, "MPOL_NONE"),
    ("config-linux.md#memory-policy", "an unknown flag",
     {"linux.memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_NONE"]}}, "MPOL_F_NONE"),
    ("config-linux.md#memory-policy", "nodes that are none", {"linux.memoryPolicy": {"mode": "MPOL_BIND", "nodes": "x"}}),
    ("config-linux.md#memory-policy", "nodes that are missing", {"linux.memoryPolicy": {"mode": "MPOL_BIND", "nodes": ""}}),
    ("config-linux.md#memory-policy", "a node that does not exist", {"linux.memoryPolicy": {"mode": "MPOL_BIND", "nodes": "900"}}),
    ("config.md#platform", "a configuration for Windows alone",
     {"linux": DELETE, "root": DELETE, "windows": {"layerFolders": ["C:\\x"]}}),
)

BROKEN = {
    "empty": "", "not JSON": "{", "a list": "[]", "a number": "7", "text behind": "{} {}", "null": "null",
    "bytes that are no UTF-8": b'{"ociVersion": "\xff\xfe"}'.decode("latin-1"), "deep": "[" * 100000 + "]" * 100000,
    "a NUL byte": '{"ociVersion": "1.0.2\\u0000", "process": null}',
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name, marks=pytest.mark.spec("config.md"))
                                  for name, text in BROKEN.items()])
def test_broken(oci, text):
    bundle = oci.bundle()
    bundle.write(text)
    oci.refuses(bundle=bundle)


@pytest.mark.spec("bundle.md")
def test_no_config(oci):
    bundle = oci.bundle()
    os.unlink(f"{bundle.path}/config.json")
    oci.refuses(bundle=bundle, naming="config.json")


@pytest.mark.spec("bundle.md")
def test_no_bundle(oci):
    bundle = oci.bundle()
    bundle.path = "/none/such"
    oci.refuses(bundle=bundle, naming="such")


@pytest.mark.spec("security: limits")
def test_config_without_end(oci):
    bundle = oci.bundle()
    os.unlink(f"{bundle.path}/config.json")
    os.symlink("/dev/zero", f"{bundle.path}/config.json")
    oci.refuses(bundle=bundle)


@pytest.mark.spec("config-linux.md#intelrdt")
def test_rdt_without_rdt(oci):
    if os.path.isdir("/sys/fs/resctrl/info"):
        pytest.skip("this machine has RDT: this is about its absence")
    oci.refuses({"linux.intelRdt": {"closID": "x", "l3CacheSchema": "L3:0=f"}})


@pytest.mark.spec("config-linux.md#intelrdt")
def test_rdt_group_cannot_lead_out(oci):
    oci.refuses({"linux.intelRdt": {"closID": "../x"}})


# ---- features.md ----

@pytest.fixture
def features(oci):
    done = oci.runtime.call("features")
    if done.code != 0 and "features" in done.out + done.err:
        pytest.fail("there is no command 'features'")
    return json.loads(done.out)


@pytest.mark.spec("features.md#specification-version")
def test_feature_versions(features):
    assert features["ociVersionMin"] == "1.0.0"
    assert tuple(int(n) for n in features["ociVersionMax"].split("-")[0].split(".")) >= (1, 0, 2)


@pytest.mark.spec("features.md#hooks")
def test_feature_hooks(features):
    assert set(features["hooks"]) == {"prestart", "createRuntime", "createContainer", "startContainer",
                                      "poststart", "poststop"}


@pytest.mark.spec("features.md#mount-options")
def test_feature_mount_options(features):
    assert {"bind", "rbind", "ro", "rw", "nosuid", "nodev", "noexec", "rprivate", "rslave", "rshared", "rro", "idmap",
            "ridmap", "tmpcopyup"} <= set(features["mountOptions"])


@pytest.mark.spec("features-linux.md#namespaces")
def test_feature_namespaces(features):
    assert set(features["linux"]["namespaces"]) >= {"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"}


@pytest.mark.spec("features-linux.md#capabilities")
def test_feature_capabilities(features):
    assert {"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE", "CAP_SYS_ADMIN"} <= set(features["linux"]["capabilities"])


@pytest.mark.spec("features-linux.md#cgroup")
def test_feature_cgroup(features):
    assert features["linux"]["cgroup"]["v1"] is True and features["linux"]["cgroup"]["v2"] is True


@pytest.mark.spec("features-linux.md#seccomp")
def test_feature_seccomp(features):
    seccomp = features["linux"]["seccomp"]
    assert seccomp["enabled"] is True
    assert {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_NOTIFY"} <= set(seccomp["actions"])
    assert {"SCMP_CMP_EQ", "SCMP_CMP_MASKED_EQ"} <= set(seccomp["operators"])
    assert {"SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"} <= set(seccomp["archs"])
    assert "SECCOMP_FILTER_FLAG_LOG" in seccomp["knownFlags"]


@pytest.mark.spec("features-linux.md")
@pytest.mark.parametrize("path", ["apparmor.enabled", "selinux.enabled", "intelRdt.enabled", "memoryPolicy.modes",
                                  "mountExtensions.idmap.enabled", "netDevices.enabled"])
def test_feature_is_told(features, path):
    node = features["linux"]
    for name in path.split("."):
        node = node[name]
    assert node is not None


@pytest.mark.spec("features.md")
def test_features_do_not_depend_on_the_host(oci, features):
    """The same in an empty environment, and without the proc file system."""
    done = subprocess.run(["unshare", "-m", "sh", "-c", f"mount -t tmpfs none /proc; exec {oci.runtime.path} features"],
                          capture_output=True, text=True, env={}, timeout=10)
    assert json.loads(done.stdout) == features
