"""A Hugging Face hub on this machine, for tests: one file, ranges, nothing else."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "eb7ef5f523ae3acf8b39db3c311d0bb42d507075"


@contextmanager
def serve(path: str, content: bytes, cut: int | None = None) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Address of a server that has `content` at `path`, and a list of requests (method, range) that it gets.

    With `cut` the first answer ends after so many bytes, as if the connection broke.
    """
    requests: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self):
            self._answer(body=False)

        def do_GET(self):
            self._answer(body=True)

        def _answer(self, body: bool):
            span = self.headers.get("Range", "")
            requests.append((self.command, span))
            if self.path != path:
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            start = int(span.removeprefix("bytes=").partition("-")[0]) if span else 0
            part = content[start:]
            self.send_response(206 if start else 200)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Accept-Ranges", "bytes")
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(part)))
            self.end_headers()
            if body and cut is not None and not start:
                self.wfile.write(part[:cut])
                self.close_connection = True
            elif body:
                self.wfile.write(part)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
