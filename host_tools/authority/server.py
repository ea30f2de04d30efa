"""Serves the authority's public folder over HTTPS, or HTTP, on this computer: lists and signatures, with ETags.

For demonstrations and tests. A real authority puts the same files on any web server: they carry their own proof.
"""

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from host_tools.errors import UserError
from host_tools.matching.list_statement import SUFFIX
from host_tools.matching.national_list import KINDS

HOST = "localhost"
_TYPES = {".json": "application/json", SUFFIX: "text/plain; charset=us-ascii"}
_SILENCE_S = 30.0  # a client that says nothing for so long is left


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _SILENCE_S

    def __init__(self, public: Path, *args) -> None:
        self._public = public
        super().__init__(*args)

    def do_GET(self) -> None:
        path = self._file()
        try:
            data = path.read_bytes() if path else None
        except OSError:
            data = None
        if path is None or data is None:
            self._head(HTTPStatus.NOT_FOUND, {"Content-Length": "0"})
            return
        etag = f'"{sha256(data).hexdigest()}"'
        if etag in self.headers.get("If-None-Match", ""):
            self._head(HTTPStatus.NOT_MODIFIED, {"ETag": etag})
            return
        self._head(
            HTTPStatus.OK,
            {"ETag": etag, "Content-Type": _TYPES[path.suffix], "Content-Length": str(len(data))},
        )
        if self.command == "GET":
            self.wfile.write(data)

    do_HEAD = do_GET

    def _file(self) -> Path | None:
        """Only lists, their parts and signatures have names; no path of the request reaches the disk."""
        name = self.path.partition("?")[0].lstrip("/")
        return served(self._public).get(name)

    def _head(self, status: HTTPStatus, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: who asks for a list is nobody's business."""


def served(public: Path) -> dict[str, Path]:
    """What the server has, by the name in the address."""
    return {
        path.relative_to(public).as_posix(): path
        for kind in KINDS
        for path in (*public.glob(f"{kind}.json*"), *public.glob(f"{kind}/*.json*"))
        if path.suffix in _TYPES
    }


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up or refuses the certificate is its own affair; anything else is a fault of ours."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def serving(public: Path, port: int, certificate: Path | None = None) -> Iterator[str]:
    """Serve a folder while the block runs.

    Args:
        port: 0 for any that is free.
        certificate: PEM with key and certificate; None: HTTP.

    Yields:
        The address, such as "https://localhost:8443/".

    Raises:
        UserError: the port is taken, or the certificate is none.
    """
    try:
        server = _Server((HOST, port), partial(_Handler, public))
    except OSError as error:
        raise UserError(
            f"Nothing can be served on port {port}: {error.strerror}. Name another one with --port."
        ) from None
    with server:
        if certificate:
            server.socket = _tls(certificate).wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"{'https' if certificate else 'http'}://{HOST}:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def _tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate)
    except OSError as error:  # SSLError too
        raise UserError(f"{certificate} holds no certificate with its key: {error}. Nothing is served.") from None
    return context
