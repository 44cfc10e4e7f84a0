# SPDX-License-Identifier: Apache-2.0
"""A registry of one image in memory that lies as it is told: `fault` names the lie."""
import http.server
import json
import random
import threading
import time

import archives


class Liar:
    def __init__(self, port, layer, fault=None, cuts=0, seed=1):
        packed, config = layer, archives.config_of([layer if fault != "diff id" else b"other"])
        manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                    "config": archives.descriptor(config, "application/vnd.oci.image.config.v1+json"),
                    "layers": [archives.descriptor(packed, "application/vnd.oci.image.layer.v1.tar")]}
        self.manifest = json.dumps(manifest).encode()
        self.blobs = {archives.digest(b): b for b in (packed, config)}
        self.layer = archives.digest(packed)
        self.fault, self.cuts, self.random = fault, cuts, random.Random(seed)
        self.delay = 0  # seconds before a layer
        self.host, self.requests = f"127.0.0.1:{port}", []
        liar = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def handle(self):
                try:
                    super().handle()
                except OSError:
                    pass  # a client that goes away in the middle

            def do_GET(self):
                liar.requests.append((self.path, dict(self.headers)))
                try:
                    liar.answer(self)
                except OSError:
                    self.close_connection = True

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = False  # so that closing waits for the connections
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @staticmethod
    def reply(h, status, body=b"", length=None, **headers):
        h.send_response(status)
        for name, value in headers.items():
            h.send_header(name.replace("_", "-"), value)
        h.send_header("Content-Length", len(body) if length is None else length)
        h.end_headers()
        h.wfile.write(body)

    def answer(self, h):
        if "/manifests/" in h.path:
            if self.fault == "endless manifest":
                return self.endless(h)
            if self.fault == "manifest digest":
                return self.reply(h, 200, self.manifest, Docker_Content_Digest="sha256:" + "0" * 64)
            if self.fault == "headers":
                return self.reply(h, 200, self.manifest, **{f"X-{i}": "y" * 8000 for i in range(20)})
            if self.fault == "busy" and len(self.requests) < 3:
                return self.reply(h, 503, b"{}")
            if self.fault == "not json":
                return self.reply(h, 200, b"<html>")
            return self.reply(h, 200, self.manifest)
        name = h.path.rsplit("/", 1)[1]
        body = self.blobs.get(name)
        if body is None:
            return self.reply(h, 404)
        if name != self.layer:
            return self.reply(h, 200, body)
        time.sleep(self.delay)
        if self.fault == "wrong bytes":
            return self.reply(h, 200, bytes(len(body)))
        if self.fault == "short":
            return self.reply(h, 200, body[:-10])
        if self.fault == "long":
            return self.reply(h, 200, body + b"x")
        if self.fault == "endless":
            return self.endless(h)
        if self.fault == "loop":
            return self.reply(h, 307, Location=h.path)
        if self.fault == "gone":
            return self.reply(h, 404)
        if self.fault == "elsewhere":
            return self.reply(h, 307, Location=self.target + h.path)
        return self.part(h, body)

    def part(self, h, body):
        start = int(h.headers.get("Range", "bytes=0-")[6:].split("-")[0])
        if self.fault == "no ranges":
            start = 0
        status = 206 if start else 200
        more = {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        if self.fault == "wrong range" and start:
            more = {"Content_Range": f"bytes {start + 7}-{len(body) - 1}/{len(body)}"}
        rest = body[start:]
        if self.cuts:
            self.cuts -= 1
            self.reply(h, status, rest[:self.random.randrange(1, len(rest))], len(rest), **more)
            h.wfile.flush()
            h.connection.shutdown(2)
            h.close_connection = True
            return None
        return self.reply(h, status, rest, **more)

    def endless(self, h):
        h.send_response(200)
        h.end_headers()
        h.close_connection = True
        while True:
            h.wfile.write(bytes(1 << 16))
