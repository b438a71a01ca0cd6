"""The page of ``dlcourse watch``: a server on this machine alone, which reads the runs' folders and nothing else.

It binds 127.0.0.1, answers only where the ``Host`` header names it (another site's name may lead here too, and its page
must not read the runs), takes no request but GET and HEAD, and looks runs up by name in what it has found: no part of a
request becomes a path.
"""

import errno
import json
import sys
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from dlcourse.errors import DlcourseError, UserError
from dlcourse.plots.live_runs import LiveRuns

HOST = "127.0.0.1"
PORT = 6150
"""Taken where it is free."""
_PAGE = Path(__file__).parent / "templates" / "watch.html"
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:"
_REPORT_POLICY = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class LiveServer(ThreadingHTTPServer):
    """Serves the page and what it asks for; ``serve_forever()`` until something ends it.

    Args:
        runs: to show.
        port: 0 for any that is free; None for the usual one, or any.
    Raises:
        UserError: the port is taken, or not allowed.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, runs: LiveRuns, port: int | None = None):
        handler = partial(_Handler, runs)
        try:
            super().__init__((HOST, PORT if port is None else port), handler)
        except (OSError, OverflowError) as error:
            if port is None and getattr(error, "errno", None) == errno.EADDRINUSE:
                super().__init__((HOST, 0), handler)
                return
            raise UserError(f"port {port}: {getattr(error, 'strerror', error)}; without --port one is chosen") from None

    def server_bind(self) -> None:
        """Bind, without asking the network for a name of this machine, as the library's does."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that closes a connection is no error."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "dlcourse", ""
    timeout = 30

    def __init__(self, runs: LiveRuns, *arguments: Any):
        self.runs = runs
        super().__init__(*arguments)

    def do_GET(self) -> None:
        port = self.connection.getsockname()[1]
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            return self._fail(HTTPStatus.FORBIDDEN, "this page is for this machine alone")
        address = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(address.query).items()}
        if address.path == "/":
            return self._send(_PAGE.read_bytes(), "text/html; charset=utf-8", _POLICY)
        if address.path == "/runs":
            return self._json(self.runs.summaries())
        if address.path == "/rows":
            try:
                found = self.runs.rows(query.get("run", ""), int(query.get("generation", 0)), int(query.get("from", 0)))
            except ValueError:
                return self._fail(HTTPStatus.BAD_REQUEST, "generation and from are whole numbers")
            return self._fail(HTTPStatus.NOT_FOUND, "no such run") if found is None else self._json(found)
        if address.path == "/report":
            return self._report(query.get("run", ""))
        return self._fail(HTTPStatus.NOT_FOUND, "no such page")

    do_HEAD = do_GET

    def _report(self, key: str) -> None:
        try:
            found = self.runs.report(key)
        except DlcourseError as error:
            return self._fail(HTTPStatus.NOT_FOUND, str(error))
        if found is None:
            return self._fail(HTTPStatus.NOT_FOUND, "no report of such a run")
        return self._send(found, "text/html; charset=utf-8", _REPORT_POLICY)

    def _json(self, value: Any) -> None:
        self._send(json.dumps(value, allow_nan=False).encode(), "application/json")

    def _fail(self, status: HTTPStatus, message: str) -> None:
        self.close_connection = True
        self._send(f"{message}\n".encode("utf-8", "replace"), "text/plain; charset=utf-8", status=status)

    def _send(self, content: bytes, kind: str, policy: str = "default-src 'none'", status: int = HTTPStatus.OK) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing of each request."""
