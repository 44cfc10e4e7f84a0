# SPDX-License-Identifier: Apache-2.0
"""The Docker API of a daemon over its socket, as far as builds need it: without a client's own words in between."""
import http.client
import json
import socket
import urllib.parse


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("daemon", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Built:
    """The answer of POST /build."""

    def __init__(self, status, body):
        self.status, self.body = status, body
        self.lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        self.text = "".join(line.get("stream", "") for line in self.lines)
        failed = [line["error"] for line in self.lines if "error" in line]
        self.error = self.lines[0]["message"] if status != 200 else failed[0] if failed else None
        self.id = [line["aux"]["ID"] for line in self.lines if "aux" in line][-1:]


class Api:
    def __init__(self, path, timeout=30):
        self.path, self.timeout = path, timeout

    def call(self, method, path, body=None, headers=None, **query):
        """(status, body)"""
        connection = Connection(self.path, self.timeout)
        text = urllib.parse.urlencode(query, doseq=True)
        connection.request(method, path + ("?" + text if text else ""), body, headers or {})
        try:
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.IncompleteRead:  # dockerd 20.10 dies of some Dockerfiles, the request's part of it
            return 500, b'{"message": "the daemon hung up"}'
        finally:
            connection.close()

    def build(self, context, headers=None, **query):
        return Built(*self.call("POST", "/build", context, {"Content-Type": "application/x-tar", **(headers or {})},
                                **query))

    def load(self, tar, name, command=None):
        query = {"changes": "CMD " + json.dumps(command)} if command else {}
        status, body = self.call("POST", "/images/create", tar, fromSrc="-", repo=name, tag="latest", **query)
        assert status == 200, body

    def save(self, name):
        status, body = self.call("GET", f"/images/{name}/get")
        assert status == 200, body
        return body

    def json(self, path, method="GET", **query):
        status, body = self.call(method, path, **query)
        assert status == 200, (path, body)
        return json.loads(body)
