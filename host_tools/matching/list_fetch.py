"""The national list over HTTPS: conditional requests, retries, limits of size and time, and a sentence for every fault.

Nothing here believes the content: what arrives is a file with its digest, to be verified and read by others.
"""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO, NamedTuple

import httpx
import stamina

from host_tools.errors import UserError

LIST_LIMIT_BYTES = 1 << 30  # more than three times the biggest list that can be held
TIME_LIMIT_S = 600.0  # for one file, however slowly it drips
ATTEMPTS = 4
_REDIRECTS = 5
_SILENCE_S = 20.0
_ETAG_LIMIT = 256  # characters; what is longer is not worth sending back
_LOCAL = {"localhost", "127.0.0.1", "::1"}
_WEB = {"http", "https"}


class FetchError(Exception):
    """The list did not arrive. The message is the reason, to stand behind "could not be fetched: "."""


class _Passing(FetchError):
    """A fault that another attempt may not meet."""


class NotThere(FetchError):
    """The server has no such file."""


class Fetched(NamedTuple):
    """A file that has arrived whole. `etag` is the server's name for this content, or ""."""

    sha256: str
    etag: str


def is_address(location: str) -> bool:
    """Is it an address of the web, rather than a path?"""
    return location.partition("://")[0].lower() in _WEB and "://" in location


def checked_address(location: str, allow_http: bool) -> httpx.URL:
    """The address, if lists may come from there.

    Args:
        allow_http: also without TLS, from this computer itself.

    Raises:
        UserError: they may not.
    """
    try:
        url = httpx.URL(location)
    except httpx.InvalidURL as error:
        raise UserError(f"{location} is no address: {error}. Nothing was fetched; correct --cases.") from None
    if not url.host:
        raise UserError(f"{location} names no server. Nothing was fetched; correct --cases.")
    if url.userinfo:
        raise UserError("The list's address holds a password, which would show in messages. Nothing was fetched.")
    if not _may_come_from(url, allow_http):
        raise UserError(
            f"{location} is not https: whoever is on the way could change the list. Nothing was fetched; "
            "use https, or --allow-http for a server on this computer."
        )
    return url


def _may_come_from(url: httpx.URL, allow_http: bool) -> bool:
    return url.scheme == "https" or (url.scheme == "http" and allow_http and url.host in _LOCAL)


@dataclass
class Fetcher:
    """Fetches files of one server.

    Args:
        allow_http: see `checked_address`.
        limit_bytes: what is larger is refused.
        transport: takes the place of the network, for tests.
        clock: seconds, for the limit of time.
    """

    allow_http: bool = False
    limit_bytes: int = LIST_LIMIT_BYTES
    transport: httpx.BaseTransport | None = None
    clock: Callable[[], float] = time.monotonic

    def fetch(self, url: httpx.URL, into: BinaryIO, etag: str = "") -> Fetched | None:
        """Fetch a file whole.

        Args:
            into: receives the content; whatever it held is overwritten.
            etag: of the content that the caller has, or "".

        Returns:
            None when the content is still the one that the caller has.

        Raises:
            FetchError: with the reason, after all attempts.
        """
        # Identity: a file that unpacks to a thousand times its size has nothing to unpack here.
        headers = {"Accept-Encoding": "identity", **({"If-None-Match": etag} if etag else {})}
        with self._client(headers) as client:
            for attempt in stamina.retry_context(on=_Passing, attempts=ATTEMPTS, timeout=2 * TIME_LIMIT_S):
                with attempt:
                    into.seek(0)
                    into.truncate()
                    with _faults_in_words(), self._answer(client, url) as answer:
                        return self._received(answer, into, bool(etag))
        raise AssertionError("the last attempt returns or raises")

    def _client(self, headers: dict[str, str]) -> httpx.Client:
        try:
            return httpx.Client(transport=self.transport, timeout=_SILENCE_S, headers=headers)
        except OSError as error:
            raise FetchError(f"the certificates that SSL_CERT_FILE names cannot be used ({error})") from None

    @contextmanager
    def _answer(self, client: httpx.Client, url: httpx.URL) -> Iterator[httpx.Response]:
        for _ in range(_REDIRECTS):
            with client.stream("GET", url) as answer:
                if not answer.has_redirect_location:
                    yield answer
                    return
                url = url.join(answer.headers["Location"])
            if not _may_come_from(url, self.allow_http):
                raise FetchError(f"the server sends us on to {url}, which is not https")
        raise FetchError(f"the server sends us on more than {_REDIRECTS} times")

    def _received(self, answer: httpx.Response, into: BinaryIO, conditional: bool) -> Fetched | None:
        if answer.status_code == httpx.codes.NOT_MODIFIED and conditional:
            return None
        if answer.status_code in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
            raise NotThere(f"the server has no such file (HTTP {answer.status_code})")
        if answer.status_code >= 500 or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise _Passing(f"the server is out of order (HTTP {answer.status_code})")
        if answer.status_code != httpx.codes.OK:
            raise FetchError(f"the server answered HTTP {answer.status_code}")
        if answer.headers.get("Content-Encoding", "identity") != "identity":
            raise FetchError("the server sent it compressed, which was not asked for")
        too_big = f"it is larger than {self.limit_bytes} bytes"
        if int(answer.headers.get("Content-Length", "0")) > self.limit_bytes:
            raise FetchError(too_big)
        digest = sha256()
        size_bytes = 0
        until_s = self.clock() + TIME_LIMIT_S
        for chunk in answer.iter_raw():
            size_bytes += len(chunk)
            if size_bytes > self.limit_bytes:
                raise FetchError(too_big)
            if self.clock() > until_s:
                raise FetchError(f"it had not arrived after {TIME_LIMIT_S:.0f} s")
            digest.update(chunk)
            into.write(chunk)
        name = answer.headers.get("ETag", "")
        return Fetched(digest.hexdigest(), name if name.isascii() and len(name) <= _ETAG_LIMIT else "")


@contextmanager
def _faults_in_words() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException:
        raise _Passing(f"the server was silent for {_SILENCE_S:.0f} s") from None
    except httpx.TransportError as error:
        refused = _certificate_refused(error)
        if refused:
            raise FetchError(f"the server's certificate was refused ({refused})") from None
        if isinstance(error, httpx.RemoteProtocolError):
            raise _Passing(f"the connection broke before all had arrived ({error})") from None
        raise _Passing(f"there is no connection to the server ({error})") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise FetchError(f"the server's answer makes no sense ({error})") from None


def _certificate_refused(error: BaseException | None) -> str:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        error = error.__cause__ or error.__context__
    return ""
