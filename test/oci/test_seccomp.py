# SPDX-License-Identifier: Apache-2.0
"""`linux.seccomp`: actions, operators, flags, architectures, and the listener."""
import array
import fcntl
import json
import os
import signal
import socket
import struct
import time

import pytest

from lib.oci_case import accepted, refused, seen_cases
from lib.seen import fails, works

FILTER = 2  # PR_GET_SECCOMP
EPERM, EXDEV = 1, 18
SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND = 0xc0502100, 0xc0182101
SYNC = {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": EXDEV}


def rule(action="SCMP_ACT_ERRNO", *names, args=None, **fields):
    entry = {"names": list(names or ("sync",)), "action": action, **fields}
    if args:
        entry["args"] = args
    return {"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [entry]}}


def compare(op, value, other=None, index=0):
    entry = {"index": index, "value": value, "op": op}
    if other is not None:
        entry["valueTwo"] = other
    return rule("SCMP_ACT_ERRNO", "alarm", args=[entry], errnoRet=EXDEV)


def seccomp(**fields):
    return {"linux.seccomp": {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [SYNC], **fields}}


def operator(op, value, denied, allowed, other=None):
    """alarm(N) is denied for some N and allowed for others."""
    expect = {f"call:alarm,{n}": fails("EXDEV") for n in denied}
    return ("config-linux.md#seccomp", op, compare(op, value, other),
            {**expect, **{f"call:alarm,{n}": works for n in allowed}})


test_seen = seen_cases(
    ("config-linux.md#seccomp", "no filter unless asked", {}, {"seccomp": 0}),
    ("config-linux.md#seccomp", "SCMP_ACT_ERRNO is EPERM by default", rule(),
     {"call:sync": fails("EPERM"), "seccomp": FILTER}),
    ("config-linux.md#seccomp", "errnoRet", rule(errnoRet=EXDEV), {"call:sync": fails("EXDEV")}),
    ("config-linux.md#seccomp", "errnoRet of zero", rule("SCMP_ACT_ERRNO", "getpgid", errnoRet=0), {"call:getpgid": {"value": 0}}),
    ("config-linux.md#seccomp", "SCMP_ACT_ALLOW", rule("SCMP_ACT_ALLOW"), {"call:sync": works}),
    ("config-linux.md#seccomp", "SCMP_ACT_LOG", rule("SCMP_ACT_LOG"), {"call:sync": works, "seccomp": FILTER}),
    ("config-linux.md#seccomp", "SCMP_ACT_TRACE without a tracer", rule("SCMP_ACT_TRACE"),
     {"call:sync": fails("ENOSYS")}),
    ("config-linux.md#seccomp", "several names", rule("SCMP_ACT_ERRNO", "sync", "setuid", "chroot"),
     {"call:sync": fails("EPERM"), "call:setuid": fails("EPERM"), "call:chroot": fails("EPERM")}),
    ("config-linux.md#seccomp", "several rules",
     seccomp(syscalls=[SYNC, {"names": ["chroot"], "action": "SCMP_ACT_ERRNO"}]),
     {"call:sync": fails("EXDEV"), "call:chroot": fails("EPERM")}),
    ("config-linux.md#seccomp", "unknown names are passed over",
     rule("SCMP_ACT_ERRNO", "no_such_call", "sync"), {"call:sync": fails("EPERM")}),
    operator("SCMP_CMP_NE", 3, [0, 4], [3]),
    operator("SCMP_CMP_LT", 3, [0, 2], [3, 4]),
    operator("SCMP_CMP_LE", 3, [2, 3], [4]),
    operator("SCMP_CMP_EQ", 3, [3], [0, 2, 4]),
    operator("SCMP_CMP_GE", 3, [3, 4], [2]),
    operator("SCMP_CMP_GT", 3, [4, 5], [3]),
    operator("SCMP_CMP_MASKED_EQ", 6, [4, 5], [2, 6], other=4),
    ("config-linux.md#seccomp", "two arguments must both fit",
     rule("SCMP_ACT_ERRNO", "getpriority", args=[{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"},
                                                 {"index": 1, "value": 1, "op": "SCMP_CMP_EQ"}]),
     {"call:getpriority,0,1": fails("EPERM"), "call:getpriority,0,0": works, "call:getpriority,1,0": works}),
    ("config-linux.md#seccomp", "a rule twice for one call, either is enough",
     seccomp(syscalls=[compare("SCMP_CMP_EQ", 1)["linux.seccomp"]["syscalls"][0],
                       compare("SCMP_CMP_EQ", 2)["linux.seccomp"]["syscalls"][0]]),
     {"call:alarm,1": fails("EXDEV"), "call:alarm,2": fails("EXDEV"), "call:alarm,3": works}),
    ("config-linux.md#seccomp", "architectures",
     seccomp(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]),
     {"call:sync": fails("EXDEV")}),
    ("config-linux.md#seccomp", "beside privileges that are not given up",
     {**rule(), "process.noNewPrivileges": False}, {"call:sync": fails("EPERM"), "no_new_privs": 0}),
    ("config-linux.md#seccomp", "for a user without capabilities",
     {**rule(), "process.user": {"uid": 1000, "gid": 1000}, "process.capabilities": {}},
     {"call:sync": fails("EPERM")}),
    ("config-linux.md#seccomp", "in a user namespace",
     {**rule(), "linux.namespaces+": [{"type": "user"}],
      "linux.uidMappings": [{"containerID": 0, "hostID": 100000, "size": 10}],
      "linux.gidMappings": [{"containerID": 0, "hostID": 100000, "size": 10}]},
     {"call:sync": fails("EPERM")}),
)

test_accepted = accepted(
    *(("config-linux.md#seccomp", "flag " + flag, seccomp(flags=[flag]))
      for flag in ("SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW")),
    *(("config-linux.md#seccomp", "architecture " + name, seccomp(architectures=["SCMP_ARCH_" + name]))
      for name in "X86 X32 ARM AARCH64 MIPSEL MIPSEL64 MIPSEL64N32 PPC64LE RISCV64".split()),
)

test_refused = refused(
    ("config-linux.md#seccomp", "an unknown action", rule("SCMP_ACT_NONE"), "SCMP_ACT_NONE"),
    ("config-linux.md#seccomp", "an unknown default action", seccomp(defaultAction="SCMP_ACT_NONE"), "SCMP_ACT_NONE"),
    ("config-linux.md#seccomp", "no default action", {"linux.seccomp": {"syscalls": [SYNC]}}),
    ("config-linux.md#seccomp", "errnoRet with an action that returns none", rule("SCMP_ACT_ALLOW", errnoRet=1)),
    ("config-linux.md#seccomp", "defaultErrnoRet with an action that returns none", seccomp(defaultErrnoRet=1)),
    ("config-linux.md#seccomp", "an unknown operator", compare("SCMP_CMP_NONE", 1), "SCMP_CMP_NONE"),
    ("config-linux.md#seccomp", "an unknown architecture", seccomp(architectures=["SCMP_ARCH_NONE"]), "NONE"),
    ("config-linux.md#seccomp", "an unknown flag", seccomp(flags=["SECCOMP_FILTER_FLAG_NONE"]),
     "SECCOMP_FILTER_FLAG_NONE"),
    ("config-linux.md#seccomp", "an argument beyond the sixth", compare("SCMP_CMP_EQ", 1, index=6)),
    ("config-linux.md#seccomp", "no names", seccomp(syscalls=[{"names": [], "action": "SCMP_ACT_ERRNO"}])),
    ("config-linux.md#seccomp", "SCMP_ACT_NOTIFY without a listener", rule("SCMP_ACT_NOTIFY")),
    ("config-linux.md#seccomp", "SCMP_ACT_NOTIFY with a listener that is missing",
     {"linux.seccomp": {**rule("SCMP_ACT_NOTIFY")["linux.seccomp"], "listenerPath": "/none/such"}}),
    ("config-linux.md#seccomp", "SCMP_ACT_NOTIFY by default", seccomp(defaultAction="SCMP_ACT_NOTIFY")),
    ("security: seccomp", "SCMP_ACT_NOTIFY for write, which would lock the runtime",
     {"linux.seccomp": {**rule("SCMP_ACT_NOTIFY", "write")["linux.seccomp"], "listenerPath": "/tmp/w/listener"}}),
)


@pytest.mark.parametrize("action, number", [
    pytest.param(action, signal.SIGSYS, id=action, marks=pytest.mark.spec("config-linux.md#seccomp"))
    for action in ("SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP")])
def test_deadly_action(oci, action, number):
    done = oci.run({**rule(action), "process.args": ["sh", "-c", "/probe call:sync; echo $?"]})
    assert done.out.splitlines()[-1] == str(128 + number)


@pytest.mark.spec("config-linux.md#seccomp")
@pytest.mark.parametrize("errno, name", [(None, "EPERM"), (EXDEV, "EXDEV")])
def test_default_errno(oci, errno, name):
    """A filter that denies by default, and allows (here by LOG) what is named."""
    allowed = """access arch_prctl brk capget capset chdir clone clone3 close close_range dup dup2 dup3 epoll_create1
    epoll_ctl epoll_pwait execve execveat exit exit_group faccessat faccessat2 fchdir fchown fcntl fstat fstatfs
    futex getcwd getdents64 getegid geteuid getgid getgroups getpgid getpid getppid getpriority getrandom
    getresgid getresuid getrlimit getsid getsockopt gettid getuid ioctl ioprio_get keyctl lseek madvise mmap
    mprotect mremap munmap nanosleep newfstatat open openat openat2 personality pipe2 poll ppoll prctl pread64
    prlimit64 read readlink readlinkat recvmsg restart_syscall rseq rt_sigaction rt_sigprocmask rt_sigreturn
    sched_getaffinity sched_getattr sched_yield select sendmsg set_robust_list set_tid_address setgid setgroups
    setns setpgid setresgid setresuid setsid setuid sigaltstack socketpair stat statfs tgkill umask uname wait4
    waitid write writev get_mempolicy seccomp sendto recvfrom socket connect lstat statx unlink mount umount2
    epoll_wait eventfd2 mincore timer_create timer_settime""".split()
    patch = {"linux.seccomp": {"defaultAction": "SCMP_ACT_ERRNO",
                               "syscalls": [{"names": allowed, "action": "SCMP_ACT_ALLOW"}]}}
    if errno:
        patch["linux.seccomp"]["defaultErrnoRet"] = errno
    assert oci.see(patch, "call:sync")["did"]["call:sync"] == {"errno": name}


@pytest.mark.spec("config-linux.md#seccomp")
def test_exec_has_the_filter(oci):
    with oci.running(rule()) as name:
        assert oci.exec_see(name, "call:sync")["did"]["call:sync"] == {"errno": "EPERM"}


def receive(listener):
    """The message of a runtime to a seccomp agent: (state, descriptors)."""
    listener.settimeout(5)
    peer, _ = listener.accept()
    with peer:
        peer.settimeout(5)
        data, ancillary, _, _ = peer.recvmsg(65536, socket.CMSG_SPACE(16 * 4))
        fds = array.array("i")
        for level, kind, payload in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(payload[:len(payload) - len(payload) % 4])
        return json.loads(data), list(fds)


@pytest.mark.spec("config-linux.md#the-container-process-state")
def test_listener(oci):
    """The agent gets the state and the descriptor, and answers a call with a value of its own."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("/tmp/w/listener")
        listener.listen()
        patch = rule("SCMP_ACT_NOTIFY")
        patch["linux.seccomp"].update(listenerPath="/tmp/w/listener", listenerMetadata="some data")
        patch["process.args"] = ["sh", "-c", "/probe call:sync >/result; exec sleep 1000"]
        bundle = oci.bundle(patch)
        fds = []
        try:
            with oci.created(bundle=bundle) as name:
                # the filter may be loaded by `create` or by `start`
                oci.runtime.call("start", name)
                message, fds = receive(listener)
                assert message["metadata"] == "some data" and message["fds"] == ["seccompFd"]
                assert message["state"]["id"] == name and message["pid"] > 0
                assert message["ociVersion"] and message["state"]["status"] in ("creating", "created", "running")
                request = bytearray(80)
                fcntl.ioctl(fds[0], SECCOMP_IOCTL_NOTIF_RECV, request)
                identity = struct.unpack_from("Q", request)[0]
                fcntl.ioctl(fds[0], SECCOMP_IOCTL_NOTIF_SEND, struct.pack("QqiI", identity, 4242, 0, 0))
                for _ in range(100):
                    with open(os.path.join(bundle.root, "result")) as f:
                        text = f.read()
                    if text:
                        break
                    time.sleep(0.02)
                assert json.loads(text)["did"]["call:sync"] == {"value": 4242}
        finally:
            for fd in fds:
                os.close(fd)
        os.unlink("/tmp/w/listener")
