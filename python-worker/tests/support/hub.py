"""A hub on this machine: the part of the protocol that its client needs to fetch a repository, with faults on demand.

``python -m tests.support.hub FOLDER`` serves one, tells its address in its first line, and ends with its standard input.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub:
    """Serves the files of a folder as the repository ``owner/name``, branch ``main``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and range of every request, in order."""
        self.cut_after: dict[str, int] = {}
        """Bytes after which the next answer with a file breaks off."""
        self.refused: set[str] = set()
        """Files that are answered with an error of the hub."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub._answer(self, with_body=True)

            def do_HEAD(self) -> None:
                hub._answer(self, with_body=False)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="hub", daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def fetched(self) -> set[str]:
        """Names of the files whose content was asked for."""
        mark = f"/owner/name/resolve/{COMMIT}/"
        return {path.removeprefix(mark) for method, path, _ in self.requests if method == "GET" and mark in path}

    def _answer(self, request: BaseHTTPRequestHandler, *, with_body: bool) -> None:
        path = unquote(urlsplit(request.path).path)
        self.requests.append((request.command, path, request.headers.get("Range", "")))
        if (
            path in (f"/api/models/owner/name/revision/{COMMIT}", "/api/models/owner/name/revision/main")
            or path == "/api/models/owner/name"
        ):
            siblings = [{"rfilename": name, "size": len(self._bytes(name))} for name in self._names()]
            _send_json(request, 200, {"id": "owner/name", "sha": COMMIT, "siblings": siblings})
        elif path == f"/api/models/owner/name/tree/{COMMIT}":
            tree = [
                {"type": "file", "path": name, "size": len(self._bytes(name)), "oid": self._etag(name)}
                for name in self._names()
            ]
            _send_json(request, 200, tree)
        elif path.startswith("/api/models/owner/name/revision/"):
            _send_json(request, 404, {"error": "no such revision"}, {"X-Error-Code": "RevisionNotFound"})
        elif path.startswith(f"/owner/name/resolve/{COMMIT}/"):
            self._send_file(request, path.removeprefix(f"/owner/name/resolve/{COMMIT}/"), with_body=with_body)
        elif path.startswith("/api/models/gated/"):
            _send_json(request, 403, {"error": "gated"}, {"X-Error-Code": "GatedRepo"})
        else:
            _send_json(request, 404, {"error": "no such repository"}, {"X-Error-Code": "RepoNotFound"})

    def _send_file(self, request: BaseHTTPRequestHandler, name: str, *, with_body: bool) -> None:
        if name in self.refused:
            _send_json(request, 403, {"error": "the hub is unwell"})
            return
        content = self._bytes(name)
        asked = request.headers.get("Range", "")
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        request.send_response(206 if start else 200)
        request.send_header("ETag", f'"{self._etag(name)}"')
        request.send_header("X-Repo-Commit", COMMIT)
        request.send_header("Content-Length", str(len(content) - start))
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        end = len(content)
        if with_body and name in self.cut_after:
            end = self.cut_after.pop(name)
            request.close_connection = True
        request.end_headers()
        if with_body:
            request.wfile.write(content[start:end])

    def _names(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    def _bytes(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def _etag(self, name: str) -> str:
        return hashlib.sha1(self._bytes(name), usedforsecurity=False).hexdigest()


def _send_json(
    request: BaseHTTPRequestHandler, status: int, value: object, headers: dict[str, str] | None = None
) -> None:
    body = json.dumps(value).encode()
    request.send_response(status)
    request.send_header("Content-Type", "application/json")
    request.send_header("Content-Length", str(len(body)))
    for name, text in (headers or {}).items():
        request.send_header(name, text)
    request.end_headers()
    if request.command != "HEAD":
        request.wfile.write(body)


if __name__ == "__main__":
    served = Hub(Path(sys.argv[1]))
    sys.stdout.write(served.url + "\n")
    sys.stdout.flush()
    sys.stdin.read()
    served.close()
