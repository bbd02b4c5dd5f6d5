"""A small identity provider in a process of its own: discovery, authorization with PKCE, token, keys.

Says `ready PORT` and serves until its input ends. Who comes is `user` of the address of the authorization; the words of `lie` make
it do one thing wrong.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

CLIENT, SECRET = "pages", "the secret of the pages"
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"})
OTHER = RSAKey.generate_key(2048, {"kid": "one"})
CODES: dict[str, dict[str, str]] = {}
LIE = {"how": ""}


class Handler(BaseHTTPRequestHandler):
    """Answers a browser and the pages."""

    server: ThreadingHTTPServer

    def log_message(self, *_: Any) -> None:
        """Nothing is said."""

    @property
    def issuer(self) -> str:
        """Where we are."""
        return f"http://127.0.0.1:{self.server.server_port}"

    def do_GET(self) -> None:
        """Discovery, keys, authorization."""
        parts = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/.well-known/openid-configuration":
            self._json(
                {
                    "issuer": self.issuer,
                    "authorization_endpoint": f"{self.issuer}/authorize",
                    "token_endpoint": f"{self.issuer}/token",
                    "jwks_uri": f"{self.issuer}/keys",
                }
            )
        elif parts.path == "/keys":
            self._json({"keys": [KEY.as_dict(private=False)]})
        elif parts.path == "/lie":
            LIE["how"] = asked.get("how", "")
            self._json({})
        else:
            code = secrets.token_hex(8)
            CODES[code] = asked
            back = {"code": code, "state": asked["state"], "iss": self.issuer}
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?{urlencode(back)}")
            self.end_headers()

    def do_POST(self) -> None:
        """Exchange a code, once, for who shows the secret and the verifier."""
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body).items()}
        asked = CODES.pop(form.get("code", ""), None)
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        hashed = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(hashed).rstrip(b"=").decode()
        if (
            asked is None
            or self.headers.get("authorization") != f"Basic {basic}"
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form["redirect_uri"]
        ):
            self._json({"error": "invalid_grant"}, 400)
            return
        self._json({"id_token": self._token(asked), "token_type": "Bearer", "access_token": "x"})

    def _token(self, asked: dict[str, str]) -> str:
        how, now = LIE["how"], int(time.time())
        claims = {
            "iss": "https://evil.example" if how == "issuer" else self.issuer,
            "aud": "others" if how == "audience" else asked["client_id"],
            "sub": f"subject of {asked.get('user', 'nadia')}",
            "preferred_username": asked.get("user", "nadia"),
            "exp": now - 3600 if how == "expired" else now + 300,
            "iat": now,
            "nonce": "another" if how == "nonce" else asked["nonce"],
        }
        if how == "none":
            parts = ({"alg": "none"}, claims)
            plain = [
                base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts
            ]
            return ".".join([*plain, ""])
        if how == "shared secret":
            return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET * 2))
        key = OTHER if how == "key" else KEY
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)

    def _json(self, found: dict[str, Any], status: int = 200) -> None:
        data = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    import threading

    threading.Thread(target=server.serve_forever, daemon=True).start()
    print("ready", server.server_port, flush=True)
    sys.stdin.read()
