# SPDX-License-Identifier: Apache-2.0
"""Docker-like engines as a test drives them, and what any of them must be able to do with a runtime: the
same steps for podman and dockerd."""
import os
import subprocess
import time

from lib.bundle import TOP


class Engine:
    """An engine's command line with its fixed options in front."""

    def __init__(self, *command, env=None):
        self.base, self.env = list(command), {**os.environ, **(env or {})}

    def __call__(self, *arguments, code=0, text=None):
        done = subprocess.run(self.base + list(arguments), input=text, text=True, env=self.env,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
        assert done.returncode == code, f"{arguments}: {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


def wait_for(condition, what, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def life_cycle(engine, flags, world):
    """run -d, exec, stop, rm: with what comes back at each step."""
    name = world.name("life")
    engine("run", "-d", "--name", name, *flags, "img", "sh", "-c",
           "trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done")
    wait_for(lambda: engine("logs", name) == "up", "the first line of output")
    assert engine("exec", name, "cat", "/proc/1/comm") == "sh"
    assert engine("exec", "-i", name, "cat", text="through stdin") == "through stdin"
    assert engine("exec", "-u", "1000:1000", "-w", "/tmp", "-e", "A=b", name, "sh", "-c",
                  "id -u; id -g; pwd; echo $A").split() == ["1000", "1000", "/tmp", "b"]
    engine("exec", name, "sh", "-c", "exit 9", code=9)
    engine("pause", name)
    engine("unpause", name)
    engine("stop", "-t", "5", name)
    assert engine("inspect", "-f", "{{.State.ExitCode}}", name) == "3"
    engine("start", name)
    wait_for(lambda: engine("logs", name).split() == ["up", "up"], "the second start")
    engine("kill", "-s", "KILL", name)
    wait_for(lambda: engine("inspect", "-f", "{{.State.ExitCode}}", name) == "137", "the kill")
    engine("rm", name)


def exit_codes(engine, flags):
    engine("run", "--rm", *flags, "img", "sh", "-c", "exit 7", code=7)
    engine("run", "--rm", *flags, "img", "/no/such/program", code=127)
    engine("run", "--rm", *flags, "img", "/etc/passwd", code=126)


def settings(engine, flags):
    """Options whose effect the container itself can see."""
    out = engine("run", "--rm", *flags, "--hostname", "inside", "--read-only", "--tmpfs", "/run",
                 "-e", "X=y z", "--cap-drop", "ALL", "--cap-add", "KILL", "img", "sh", "-c",
                 "cat /proc/sys/kernel/hostname; echo $X; grep CapEff /proc/self/status; "
                 "touch /etc/x 2>/dev/null || echo read-only; touch /run/x && echo writable")
    assert out.split("\n") == ["inside", "y z", "CapEff:\t0000000000000020", "read-only", "writable"]


def terminal(engine, flags):
    out = engine("run", "--rm", "-t", *flags, "img", "sh", "-c", "tty; stat -c %F /dev/console")
    assert out.split() == ["/dev/pts/0", "character", "special", "file"]


SCENARIOS = {
    "exit codes": lambda engine, flags, world: exit_codes(engine, flags),
    "settings": lambda engine, flags, world: settings(engine, flags),
    "terminal": lambda engine, flags, world: terminal(engine, flags),
    "life cycle": life_cycle,
}


def wharf_loads(archive, name):
    """An archive that an engine saved is an image of that name for wharf, and runs."""
    program = os.environ.get("WHARF", os.path.join(TOP, "build/bin/wharf"))
    wharf = Engine(program if os.path.exists(program) else os.path.join(TOP, "build/cmd/wharf/wharf"),
                   "--root", os.path.abspath("wharf-root"))
    assert wharf("load", "-i", archive) == f"Loaded image: {name}"
    assert wharf("run", "--rm", name, "sh", "-c", "echo loaded") == "loaded"
    subprocess.run(["rm", "-rf", "wharf-root", archive], check=True)


def wharf_saves(archive, name):
    """Takes an archive in and writes it out again, as wharf.tar: the file that another engine shall load."""
    programs = os.path.join(os.environ.get("WHARF_BUILD", os.path.join(TOP, "build")), "libimage")
    subprocess.run([f"{programs}/image-load", "between", archive], check=True, capture_output=True, timeout=60)
    with open("wharf.tar", "wb") as f:
        subprocess.run([f"{programs}/image-save", "between", name], stdout=f, check=True, timeout=60)
    return os.path.abspath("wharf.tar")


def through_our_registry(push, pull, identity):
    """An engine pushes to a wharf registry; wharf pulls it and pushes it under another name; the engine pulls
    that: one image id all the way. `push` and `pull` take a name, `identity` gives the id of one."""
    programs = os.path.join(os.environ.get("WHARF_BUILD", os.path.join(TOP, "build")), "libimage")
    server = subprocess.Popen([f"{programs}/registry-serve", "served", "15066"])
    first, second = "127.0.0.1:15066/a/b:1", "127.0.0.1:15066/c:2"

    def wharf(program, *arguments):
        return subprocess.run([f"{programs}/{program}", "between", *arguments], check=True, text=True,
                              capture_output=True, timeout=60).stdout.split()
    try:
        wait_for(lambda: os.path.isdir("served/registry"), "the registry's directory")
        push(first)
        assert wharf("image-pull", first)[0].split(":")[1] == identity(first).split(":")[-1]
        wharf("image-list", "tag", first, second)
        wharf("image-push", second)
        pull(second)
        assert identity(second) == identity(first)
    finally:
        server.terminate()
        server.wait()
