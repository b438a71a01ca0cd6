"""A web server on this machine that serves a few files, well or badly."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Files by name, how they are served, and what was asked for.

    Attributes:
        url: without a slash at the end.
        files: what is served.
        asked: (name, Range header or None) of every request.
        ranges: whether parts can be asked for.
        break_after: close the connection after so many bytes of each answer.
        announce: whether to say how long an answer is.
        kind: the Content-Type.
        status: instead of 200.
    """

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, bytes] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.ranges = True
        self.break_after: int | None = None
        self.announce = True
        self.kind = "application/x-gzip"
        self.status: int | None = None
        self.shift = 0


@contextmanager
def serving() -> Iterator[Server]:
    """A server while the block lasts."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            wanted = self.headers.get("Range")
            server.asked.append((name, wanted))
            content = server.files.get(name)
            if content is None or server.status is not None:
                self.send_error(404 if content is None else server.status)
                return
            start = 0
            if wanted and server.ranges:
                start = int(wanted.removeprefix("bytes=").removesuffix("-")) + server.shift
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("Content-Type", server.kind)
            if server.announce:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start:][: server.break_after])

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
