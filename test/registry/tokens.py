# SPDX-License-Identifier: Apache-2.0
"""A token server as docker-registry wants it: JWTs signed by RS256 or ES256, the certificate in the header."""
import base64
import http.server
import json
import subprocess
import threading
import time
import urllib.parse

from peers import run


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_signature(der):
    """ECDSA's r and s, 32 bytes each, out of the DER that openssl writes."""
    length = der[3]
    r, s = der[4:4 + length], der[6 + length:]
    return b"".join(x.lstrip(b"\0").rjust(32, b"\0") for x in (r, s))


class TokenServer:
    """User u with password p, or the refresh token `again`, may do all; anybody may pull below public/."""

    def __init__(self, port, algorithm):
        self.url, self.algorithm, self.requests = f"http://127.0.0.1:{port}/token", algorithm, []
        kind = (["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "ES256" else ["rsa:2048"])
        run("openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-keyout", "token.key", "-out",
            "token.pem", "-days", "2", "-subj", "/CN=tokens")
        with open("token.pem") as f:
            self.certificate = "".join(f.read().split("\n")[1:-2])
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                login = self.headers.get("Authorization")
                server.requests.append(("GET", login, query))
                known = login == "Basic " + base64.b64encode(b"u:p").decode()
                self.answer(query.get("scope", []), known, bool(login) and not known)

            def do_POST(self):
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                server.requests.append(("POST", None, form))
                known = form.get("refresh_token") == ["again"]
                self.answer(form.get("scope", [""])[0].split(), known, not known)

            def answer(self, scopes, known, wrong):
                body = json.dumps({"errors": []} if wrong else {"token": server.token(scopes, known)}).encode()
                self.send_response(401 if wrong else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def token(self, scopes, known):
        access = []
        for scope in scopes:
            kind, name, actions = scope.split(":", 2)
            allowed = [a for a in actions.split(",") if known or (a == "pull" and name.startswith("public/"))]
            access.append({"type": kind, "name": name, "actions": allowed})
        head = {"typ": "JWT", "alg": self.algorithm, "x5c": [self.certificate]}
        claims = {"iss": "tokens", "sub": "u", "aud": "registry", "exp": int(time.time()) + 60,
                  "nbf": int(time.time()) - 5, "iat": int(time.time()), "jti": "1", "access": access}
        text = ".".join(b64(json.dumps(x).encode()) for x in (head, claims))
        signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", "token.key"], input=text.encode(),
                                   stdout=subprocess.PIPE, check=True).stdout
        return text + "." + b64(raw_signature(signature) if self.algorithm == "ES256" else signature)

    def stop(self):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
