# SPDX-License-Identifier: Apache-2.0
"""bench/chan - channels beside the sockets they run on, a mutex queue, a futex ring, ZeroMQ, nng, sd-bus, gRPC"""
import subprocess
import sys

from compare import TOP, Bench

PROGRAM = TOP + "/build/bench/chan/chan-bench"
RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 9


def subject(case, name, size, count):
    def run():
        out = subprocess.run([PROGRAM, case, name, str(size), str(count)], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        return {unit: float(value) for value, unit in
                (line.split(" ", 1) for line in out.splitlines())}
    return run


def have(name):
    return subprocess.run([PROGRAM, "rtt", name, "1", "1"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


bench = Bench("chan")


def case(title, kind, size, count, names):
    bench.case(title, {name: subject(kind, name, size, count) for name in names if name in HAVE},
               runs=RUNS)


ALL = ["raw-unix", "raw-seqpacket", "raw-tcp", "wharf-unix", "wharf-spdy", "wharf-tcp", "wharf-memory",
       "wharf-rendezvous", "mutex-ring", "futex-ring", "zmq-ipc", "zmq-tcp", "nng-ipc", "sd-bus", "grpc"]
HAVE = [name for name in ALL if have(name)]

for size, text in (64, "64 B"), (1024, "1 KiB"), (65536, "64 KiB"):
    case(f"unix round trip {text}", "rtt", size, 5000, ["wharf-unix", "raw-unix", "zmq-ipc"]
         + (["raw-seqpacket", "nng-ipc", "sd-bus", "grpc"] if size == 64 else []))
    case(f"tcp round trip {text}", "rtt", size, 5000, ["wharf-tcp", "raw-tcp", "zmq-tcp"])
    case(f"unix one way {text}", "oneway", size, 20000 if size > 4096 else 300000,
         ["wharf-unix", "raw-unix", "zmq-ipc"] + (["nng-ipc", "sd-bus", "grpc"] if size == 64 else []))
case("SPDY on unix round trip 64 B", "rtt", 64, 5000, ["wharf-spdy", "raw-unix"])
case("SPDY on unix one way 64 B", "oneway", 64, 300000, ["wharf-spdy", "raw-unix"])
case("tcp one way 64 B", "oneway", 64, 300000, ["wharf-tcp", "raw-tcp", "zmq-tcp"])
case("threads round trip 64 B", "rtt", 64, 20000,
     ["wharf-memory", "futex-ring", "mutex-ring", "wharf-rendezvous"])
case("threads one way 64 B", "oneway", 64, 1000000, ["wharf-memory", "mutex-ring", "futex-ring"])
bench.case("same thread hand-off 64 B", {"wharf-memory": subject("same", "x", 64, 1000000)}, runs=RUNS)
for n, count in (1, 20000), (32, 4000):
    bench.case(f"descriptors, {n} a message",
               {name: subject("fds", name, n, count) for name in ("wharf-unix", "raw-unix")}, runs=RUNS)
bench.finish()
