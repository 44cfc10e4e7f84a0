# SPDX-License-Identifier: Apache-2.0
"""Networks between real namespaces: who reaches whom, by which address and name, and who does not."""
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from lib import kernel
from network.conftest import HOST, HOST6, NEIGHBOUR

UDP = socket.SOCK_DGRAM


def address(wharf, name, network="bridge", member="IPAddress"):
    return wharf.field(name, f"NetworkSettings.Networks.{network}.{member}")


def test_default_bridge(wharf, container, host, neighbour):
    a, b = container("aa"), container("bb")
    b.serve(80, "bb")
    assert address(wharf, "aa") == "172.17.0.2" and address(wharf, "bb") == "172.17.0.3"
    assert a.ask("172.17.0.3", 80) == ("bb", "172.17.0.2")
    assert host.ask("172.17.0.3", 80) == ("bb", "172.17.0.1")
    host.serve(81, "host")
    assert a.ask("172.17.0.1", 81) == ("host", "172.17.0.2")
    neighbour.serve(82, "neighbour")
    assert a.ask(NEIGHBOUR, 82) == ("neighbour", HOST)  # masqueraded
    assert neighbour.ask("172.17.0.3", 80, timeout=0.5) is None  # not published
    assert "172.17.0.2\t" in wharf.ok("exec", "aa", "cat", "/etc/hosts")


def test_subnet_gives_way_to_the_host(wharf, neighbour):
    subprocess.run(["ip", "addr", "add", "172.17.9.1/24", "dev", "up0"], check=True)
    subprocess.run(["rm", "-rf", f"{wharf.root}/network.db", f"{wharf.root}/run/names"], check=True)
    wharf.ok("network", "ls")
    config = json.loads(wharf.ok("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]
    assert config == {"Subnet": "172.18.0.0/16", "Gateway": "172.18.0.1"}


def test_published(wharf, container, host, neighbour):
    c = container("web", "-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", f"{HOST}:8082:80", "-p", "5353:53/udp",
                  "-p", "9000-9002:90-92", "-p", "80")
    c.serve(80, "web")
    c.serve(53, "dns", UDP)
    for port in 90, 91, 92:
        c.serve(port, f"web{port}")
    assert host.ask("127.0.0.1", 8080)[0] == host.ask(HOST, 8080)[0] == host.ask("127.0.0.1", 8081)[0] == "web"
    assert neighbour.ask(HOST, 8080) == ("web", NEIGHBOUR)
    assert neighbour.ask(HOST, 8081) is None and host.ask(HOST, 8081) is None  # of the loopback alone
    assert neighbour.ask(HOST, 8082)[0] == "web" and host.ask("127.0.0.1", 8082) is None
    assert neighbour.ask(HOST, 5353, UDP) == ("dns", NEIGHBOUR) and host.ask("127.0.0.1", 5353, UDP)[0] == "dns"
    assert [host.ask("127.0.0.1", port)[0] for port in (9000, 9001, 9002)] == ["web90", "web91", "web92"]
    chosen = [p["HostPort"] for p in json.loads(wharf.ok("inspect", "web"))[0]["NetworkSettings"]["Ports"]["80/tcp"]]
    assert len(chosen) == 4 and all(host.ask(HOST, int(p)) or host.ask("127.0.0.1", int(p)) for p in chosen)
    assert "0.0.0.0:8080->80/tcp" in wharf.ok("ps")
    other = container("other")
    assert other.ask("172.17.0.1", 8080)[0] == c.ask("172.17.0.1", 8080)[0] == "web"  # hairpins
    code, _, err = wharf.run("run", "--name", "second", "-p", "8080:80", "busybox", "true")
    assert code == 125 and "driver failed programming external connectivity on endpoint second (" in err
    assert "Bind for 0.0.0.0:8080 failed: port is already allocated" in err
    wharf.ok("rm", "-f", "web", "second")
    assert host.ask("127.0.0.1", 8080) is None
    with host.open() as s:
        s.bind(("", 8080))
        s.listen(1)
        assert "port is already allocated" in wharf.run("run", "-p", "8080:80", "busybox", "true")[2]


def test_loopback_stays_closed(wharf, container, host, neighbour):
    """A container and a neighbour cannot reach 127.0.0.1 of the host, whatever they send."""
    c = container("cc", "--privileged", "-p", "127.0.0.1:8080:80")
    c.serve(80, "cc")
    host.serve(81, "secret", address="127.0.0.1")
    assert host.ask("127.0.0.1", 8080)[0] == "cc"
    for where in (f"--net={c.path}", "via", "172.17.0.1"), (f"--net={neighbour.path}", "via", HOST):
        enter = ["nsenter", where[0]]
        subprocess.run([*enter, "ip", "route", "del", "table", "local", "127.0.0.0/8", "dev", "lo"], check=False)
        subprocess.run([*enter, "ip", "route", "del", "table", "local", "127.0.0.1", "dev", "lo"], check=False)
        subprocess.run([*enter, "ip", "route", "add", "127.0.0.0/8", *where[1:]], check=True)
        device = "eth0" if c.path in where[0] else "up0"
        with open(f"/proc/{c.path.split('/')[2] if device == 'eth0' else neighbour.path.split('/')[2]}/ns/net"):
            subprocess.run([*enter, "sysctl", "-qw", f"net.ipv4.conf.{device}.route_localnet=1"], check=True)
    for place in c, neighbour:
        assert place.ask("127.0.0.1", 81, timeout=0.5) is None
        assert place.ask("127.0.0.1", 8080, timeout=0.5) is None


def test_ipv6(wharf, container, host, neighbour):
    wharf.ok("network", "create", "--ipv6", "--subnet", "10.9.0.0/24", "--subnet", "fd09::/64", "six")
    a = container("aa", "--network", "six", "-p", "8080:80", "-p", "[2001:db8::1]:8081:80")
    b = container("bb", "--network", "six", "--ip6", "fd09::77", "--ip", "10.9.0.77")
    a.serve(80, "aa", family=socket.AF_INET6)
    b.serve(80, "bb", family=socket.AF_INET6)
    assert address(wharf, "aa", "six", "GlobalIPv6Address") == "fd09::2"
    assert a.ask("fd09::77", 80, timeout=5) == ("bb", "fd09::2")
    assert neighbour.ask(HOST6, 8080, timeout=5)[0] == "aa" and neighbour.ask(HOST6, 8081)[0] == "aa"
    assert host.ask(HOST6, 8080)[0] == "aa" and host.ask("::1", 8080) is None
    assert wharf.ok("exec", "aa", "nslookup", "-type=aaaa", "bb").count("fd09::77") == 1
    code, _, err = wharf.run("run", "--network", "six", "--ip", "10.9.0.77", "busybox", "true")
    assert code == 125 and "Address already in use" in err


def test_isolation(wharf, container, neighbour):
    for flags in (["--internal", "closed"], ["one"], ["two"], ["-o", "com.docker.network.bridge.enable_icc=false", "mute"]):
        wharf.ok("network", "create", *flags)
    neighbour.serve(80, "neighbour")
    closed, friend = container("c1", "--network", "closed"), container("c2", "--network", "closed")
    friend.serve(80, "friend")
    assert closed.ask(address(wharf, "c2", "closed"), 80)[0] == "friend"
    assert closed.ask(NEIGHBOUR, 80, timeout=0.5) is None
    one, two = container("o1", "--network", "one"), container("o2", "--network", "two", "-p", "8080:80")
    two.serve(80, "two")
    assert one.ask(address(wharf, "o2", "two"), 80, timeout=0.5) is None
    assert closed.ask(address(wharf, "o2", "two"), 80, timeout=0.5) is None
    assert one.ask(HOST, 8080)[0] == "two"  # what is published is everybody's
    m1, m2 = container("m1", "--network", "mute"), container("m2", "--network", "mute", "-p", "8081:80")
    m2.serve(80, "mute")
    assert m1.ask(address(wharf, "m2", "mute"), 80, timeout=0.5) is None
    assert m1.ask(NEIGHBOUR, 80)[0] == "neighbour" and one.ask(HOST, 8081)[0] == "mute"


def name_server(place, answer, port=53):
    """A name server that says `answer` (four bytes) to every question, by UDP and TCP; counts what it was asked."""
    asked = []

    def reply(query):
        asked.append(query)
        end = query.index(b"\0", 12) + 5
        return (query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\5\0\4" + answer)

    def udp(s):
        while True:
            try:
                query, peer = s.recvfrom(4096)
                if not peer:
                    return
                s.sendto(reply(query), peer)
            except OSError:
                return

    def tcp(s):
        while True:
            try:
                connection, _ = s.accept()
            except OSError:
                return
            with connection:
                size = struct.unpack("!H", connection.recv(2))[0]
                data = reply(connection.recv(size))
                connection.sendall(struct.pack("!H", len(data)) + data)

    for kind, run in (UDP, udp), (socket.SOCK_STREAM, tcp):
        s = place.open(kind)
        s.settimeout(None)
        s.bind(("127.0.0.1", port))
        if kind != UDP:
            s.listen(4)
        place.servers.append(s)
        threading.Thread(target=run, args=(s,), daemon=True).start()
    return asked


def lookup(place, name, kind=1, tcp=False):
    """(code, [addresses]) as the container's own name server says."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + labels + b"\0" + struct.pack("!HH", kind, 1)
    with place.open(socket.SOCK_STREAM if tcp else UDP) as s:
        s.connect(("127.0.0.11", 53))
        for _ in range(3):  # as resolvers do: datagrams may be lost
            s.sendall(struct.pack("!H", len(query)) + query if tcp else query)
            with contextlib.suppress(TimeoutError):
                data = s.recv(4096)[2 if tcp else 0:]
                break
    assert data[:2] == b"\x12\x34"
    count, at = struct.unpack("!H", data[6:8])[0], len(query)
    found = []
    for _ in range(count):
        size = struct.unpack("!H", data[at + 10:at + 12])[0]
        found.append(data[at + 12:at + 12 + size])
        at += 12 + size
    return data[3] & 15, sorted(socket.inet_ntop(socket.AF_INET if len(f) == 4 else socket.AF_INET6, f)
                                if len(f) in (4, 16) and kind != 12 else f for f in found)


def test_names(wharf, container, host):
    asked = name_server(host, socket.inet_aton("192.0.2.53"))
    wharf.ok("network", "create", "front")
    dns = ["--network", "front", "--dns", "127.0.0.1"]
    a, b = container("aa", *dns), container("bb", *dns, "--network-alias", "www", "--hostname", "bbhost")
    container("cc", *dns, "--network-alias", "www", "--link", "bb:store")
    ip = {n: address(wharf, n, "front") for n in ("aa", "bb", "cc")}
    assert lookup(a, "bb") == lookup(a, "BB.front") == lookup(a, "bbhost") == (0, [ip["bb"]])
    assert lookup(a, "www") == lookup(a, "www", tcp=True) == (0, sorted([ip["bb"], ip["cc"]]))
    assert lookup(a, wharf.field("bb", "Id")[:12]) == (0, [ip["bb"]])
    assert lookup(a, "bb", kind=28) == (0, [])
    code, names = lookup(a, ".".join(reversed(ip["bb"].split("."))) + ".in-addr.arpa", kind=12)
    assert code == 0 and names == [b"\2bb\5front\0"]
    assert not asked
    assert lookup(a, "example.org") == lookup(a, "example.org", tcp=True) == (0, ["192.0.2.53"]) and len(asked) == 2
    assert "nameserver 127.0.0.11" in wharf.ok("exec", "aa", "cat", "/etc/resolv.conf")
    assert ip["bb"] in wharf.ok("exec", "cc", "nslookup", "store")
    wharf.ok("rename", "bb", "dd")
    assert lookup(a, "dd") == (0, [ip["bb"]])
    wharf.ok("rm", "-f", "dd")
    assert lookup(a, "www") == (0, [ip["cc"]]) and lookup(a, "dd") == (0, ["192.0.2.53"])


def test_name_server_that_is_silent(wharf, container):
    wharf.ok("network", "create", "front")
    a = container("aa", "--network", "front", "--dns", "127.0.0.1")
    assert lookup(a, "example.org")[0] == 2  # refused there: SERVFAIL at once
    with a.open(UDP) as s:  # more than it remembers: the rest is told at once, nothing breaks
        for i in range(300):
            s.sendto(struct.pack("!H", i) + b"\1\0\0\1\0\0\0\0\0\0\1x\0\0\1\0\1", ("127.0.0.11", 53))
        s.sendto(os.urandom(40), ("127.0.0.11", 53))
    assert lookup(a, "aa")[1] == [address(wharf, "aa", "front")]


def test_links_on_the_default_bridge(wharf, container):
    container("db")
    container("app", "--link", "db:database")
    assert f"{address(wharf, 'db')}\tdatabase " in wharf.ok("exec", "app", "cat", "/etc/hosts")


def test_connect_disconnect(wharf, container, host):
    for name in "one", "two":
        wharf.ok("network", "create", name)
    a, b = container("aa", "--network", "one"), container("bb", "--network", "two")
    b.serve(80, "bb")
    assert a.ask(address(wharf, "bb", "two"), 80, timeout=0.5) is None
    wharf.ok("network", "connect", "--alias", "extra", "two", "aa")
    assert a.ask(address(wharf, "bb", "two"), 80)[0] == "bb"
    assert lookup(a, "bb") == (0, [address(wharf, "bb", "two")])
    assert lookup(b, "extra") == (0, [address(wharf, "aa", "two")])
    assert wharf.ok("exec", "aa", "ls", "/sys/class/net").split() == ["eth0", "eth1", "lo"]
    code, _, err = wharf.run("network", "connect", "two", "aa")
    assert code == 1 and "endpoint with name aa already exists in network two" in err
    wharf.ok("network", "disconnect", "one", "aa")
    assert wharf.ok("exec", "aa", "ls", "/sys/class/net").split() == ["eth1", "lo"]
    assert "default via" in wharf.ok("exec", "aa", "ip", "route")
    code, _, err = wharf.run("network", "disconnect", "one", "aa")
    assert code == 1 and "is not connected to network one" in err
    code, _, err = wharf.run("network", "rm", "two")
    assert code == 1 and "has active endpoints" in err
    wharf.ok("stop", "-t", "0", "aa")
    wharf.ok("network", "connect", "one", "aa")
    wharf.ok("start", "aa")
    assert sorted(json.loads(wharf.ok("inspect", "aa"))[0]["NetworkSettings"]["Networks"]) == ["one", "two"]


def test_shared_network(wharf, container, host):
    c = container("aa", "-p", "8080:80")
    c.serve(80, "aa")
    wharf.ok("run", "-d", "--name", "bb", "--network", "container:aa", "busybox", "sleep", "1000")
    assert wharf.ok("exec", "bb", "hostname") == wharf.ok("exec", "aa", "hostname")
    assert wharf.ok("exec", "bb", "ip", "-4", "addr", "show", "eth0") == \
        wharf.ok("exec", "aa", "ip", "-4", "addr", "show", "eth0")


def elements():
    """What the packet filter holds of containers and networks."""
    rules = json.loads(subprocess.run(["nft", "-j", "list", "table", "inet", "wharf"], check=True,
                                      capture_output=True, text=True).stdout)["nftables"]
    found = {}
    for entry in rules:
        for kind in "set", "map":
            if kind in entry:
                found[entry[kind]["name"]] = len(entry[kind].get("elem", []))
    return found


def pairs():
    return [name for name in kernel.links() if name.startswith("veth")]


def test_killed_shim(wharf, container, host):
    """Nobody was left to withdraw the port: whoever looks next does."""
    container("aa", "-p", "8080:80")
    shim = int(wharf.field("aa", "State.Pid"))
    with open(f"/proc/{shim}/status") as f:
        parent = int(next(line for line in f if line.startswith("PPid:")).split()[1])
    os.kill(parent, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while wharf.field("aa", "State.Status") == "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert wharf.field("aa", "State.Status") == "exited"
    assert elements()["anywhere4"] == 0
    wharf.ok("run", "--rm", "-p", "8080:80", "busybox", "true")
    assert elements()["anywhere4"] == 0 and address(wharf, "aa") == ""


def test_killed_starts(wharf, host):
    wharf.ok("network", "create", "front")
    wharf.ok("create", "--name", "aa", "--network", "front", "-p", "8080:80", "busybox", "sleep", "1000")
    for n in range(24):
        start = wharf.start("start", "aa")
        time.sleep(0.001 * n)
        start.kill()
        start.communicate()
    if wharf.field("aa", "State.Status") != "running":
        wharf.ok("start", "aa")
    assert len(pairs()) == 1 and elements()["anywhere4"] == 1
    assert address(wharf, "aa", "front") == "172.18.0.2"
    wharf.ok("rm", "-f", "aa")
    deadline = time.monotonic() + 5
    while pairs() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pairs() == [] and elements()["anywhere4"] == 0
    wharf.ok("network", "rm", "front")


def test_flushed_rules(wharf, container, host):
    c = container("aa", "-p", "8080:80")
    c.serve(80, "aa")
    subprocess.run(["nft", "flush", "ruleset"], check=True)
    assert host.ask("127.0.0.1", 8080) is None
    container("bb")
    assert host.ask("127.0.0.1", 8080)[0] == "aa"


def test_others_rules_stay(wharf, container, host):
    rules = """add table ip filter
        add chain ip filter FORWARD { type filter hook forward priority 0; policy accept; }
        add rule ip filter FORWARD counter
        add table inet wharfish
        add set inet wharfish bridges { type ifname; elements = { "wharf0" }; }
        """
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)

    def theirs():
        tables = "ip filter", "inet wharfish"
        return [subprocess.run(["nft", "-s", "list", "table", *t.split()], check=True, capture_output=True).stdout
                for t in tables]
    before = theirs()
    wharf.ok("network", "create", "front")
    container("aa", "-p", "8080:80", "--network", "front")
    wharf.ok("rm", "-f", "aa")
    wharf.ok("network", "rm", "front")
    assert theirs() == before


def test_commands(wharf):
    out = wharf.ok("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}").split("\n")
    assert out == ["bridge bridge local", "host host local", "none null local", ""]
    made = wharf.ok("network", "create", "--label", "a=b", "--subnet", "10.8.0.0/24", "--ip-range", "10.8.0.128/25",
                    "--gateway", "10.8.0.9", "--aux-address", "x=10.8.0.128", "n1").strip()
    assert len(made) == 64 and wharf.ok("network", "ls", "-q", "-f", "label=a=b") == made[:12] + "\n"
    assert wharf.ok("run", "--rm", "--network", "n1", "busybox", "ip", "route").startswith("default via 10.8.0.9")
    wharf.ok("run", "-d", "--name", "c1", "--network", made[:8], "busybox", "sleep", "1000")
    assert address(wharf, "c1", "n1") == "10.8.0.129"
    for command, text in {
            ("create", "n1"): "network with name n1 already exists",
            ("create", "--subnet", "10.8.0.0/16", "n2"): "Pool overlaps with other one on this address space",
            ("create", "-d", "nodrv", "n2"): 'plugin "nodrv" not found',
            ("create", "host"): "operation is not permitted on predefined host network ",
            ("rm", "bridge"): "bridge is a pre-defined network and cannot be removed",
            ("rm", "nosuch"): "network nosuch not found",
            ("connect", "nosuch", "c1"): "network nosuch not found",
            ("connect", "n1", "nosuch"): "No such container: nosuch"}.items():
        code, _, err = wharf.run("network", *command)
        assert code == 1 and text in err, command
    wharf.ok("rm", "-f", "c1")
    assert wharf.ok("network", "prune", "-f") == "Deleted Networks:\nn1\n"


@pytest.mark.limit(60)
def test_many_starts_at_once(wharf):
    """Addresses and ports are given once, whoever asks at the same time."""
    runs = [wharf.start("run", "-d", "-p", "80", "busybox", "sleep", "1000") for _ in range(12)]
    ids = [run.communicate()[0].decode().strip() for run in runs]
    assert all(run.returncode == 0 for run in runs)
    seen = [json.loads(wharf.ok("inspect", i))[0]["NetworkSettings"] for i in ids]
    assert len({s["Networks"]["bridge"]["IPAddress"] for s in seen}) == 12
    assert len({s["Ports"]["80/tcp"][0]["HostPort"] for s in seen}) == 12
    assert elements()["anywhere4"] == 12
