# SPDX-License-Identifier: Apache-2.0
"""Registries to talk to: Debian's docker-registry, and one that lies on demand."""
import os
import socket
import subprocess
import time


TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(os.environ.get("WHARF_BUILD", os.path.join(TOP, "build")), "libimage")


def program(name):
    return os.path.join(BUILD, name)


def run(*args, env=None, check=True, timeout=25):
    r = subprocess.run(args, capture_output=True, text=True, timeout=timeout,
                       env={**os.environ, "DOCKER_CONFIG": "/tmp/w/docker", **(env or {})})
    assert not check or r.returncode == 0, r.stderr
    return r


def wait_for(port):
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise TimeoutError(f"nothing listens on port {port}")


class Peer:
    """docker-registry of Debian; `auth` with user u and password p, `tls` with a CA of its own, `tokens`: those
    of a TokenServer at the port, signed by its algorithm."""

    def __init__(self, port, auth=False, tls=False, tokens=None):
        self.host = f"127.0.0.1:{port}"
        lines = ["version: 0.1",
                 "storage: {filesystem: {rootdirectory: /tmp/w/registry}, delete: {enabled: true}}"]
        http = {"addr": self.host}
        if tls:
            run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                "-nodes", "-keyout", "key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=r",
                "-addext", "subjectAltName=IP:127.0.0.1")
            http["tls"] = "{certificate: /tmp/w/ca.pem, key: /tmp/w/key.pem}"
        lines.append("http: {" + ", ".join(f"{k}: {v}" for k, v in http.items()) + "}")
        if auth:
            with open("passwords", "w") as f:
                f.write(run("htpasswd", "-Bbn", "u", "p").stdout)
            lines.append("auth: {htpasswd: {realm: r, path: /tmp/w/passwords}}")
        if tokens:
            lines.append(f"auth: {{token: {{realm: '{tokens.url}', service: registry, issuer: tokens, "
                         "rootcertbundle: /tmp/w/token.pem}}")
        with open("registry.yml", "w") as f:
            f.write("\n".join(lines) + "\n")
        self.process = subprocess.Popen(["docker-registry", "serve", "registry.yml"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(port)

    def stop(self):
        self.process.kill()
        self.process.wait()
