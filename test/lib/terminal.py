# SPDX-License-Identifier: Apache-2.0
"""A program in a terminal of its own: start it, wait for what it writes, see how it ended."""
import os
import pty
import select
import time


def in_terminal(wharf, *args):
    """(process, master): wharf with a terminal of its own as its controlling one."""
    pid, master = pty.fork()
    if pid == 0:
        os.execv(wharf.prefix[0], [*wharf.prefix, *args])
    return pid, master


def read_until(master, text, seconds=5):
    got, deadline = b"", time.monotonic() + seconds
    while text not in got:
        assert time.monotonic() < deadline, f"no {text} in {got}"
        if select.select([master], [], [], 0.1)[0]:
            try:
                got += os.read(master, 4096)
            except OSError:
                break
    return got


def end_of(pid, master):
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.close(master)
    return code
