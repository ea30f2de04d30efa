"""Lists over https: every fault of server and network has its sentence and leaves the last good list in use."""

import gzip
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from threading import Thread
from time import time
from typing import Any

import httpx
import pytest
import stamina
from signed_lists import DAY, DAY_S, PUBLIC, content, numbers_of, signature

from host_tools.authority.certificate import make_certificate
from host_tools.authority.server import serving
from host_tools.errors import UserError
from host_tools.matching import list_fetch
from host_tools.matching.list_fetch import Fetcher
from host_tools.matching.list_source import ListSource

ADDRESS = "https://list.example/F0.json"
NOW = DAY + 3 * DAY_S
GOOD, NEWER = content(1, 2), content(1, 2, 3)
Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def no_waiting():
    with stamina.set_testing(True, attempts=list_fetch.ATTEMPTS):
        yield


class Server:
    """Answers as a test wants, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.answers: list[Answer] = []
        self.files: dict[str, bytes] = {}
        self.etags = True

    def publish(self, data: bytes, version: int) -> None:
        self.files = {"/F0.json": data, "/F0.json.sig": signature(data, version)}

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if self.answers and not request.url.path.endswith(".sig"):
            return self.answers.pop(0)(request)
        return self.answer(request)

    def answer(self, request: httpx.Request) -> httpx.Response:
        data = self.files.get(request.url.path)
        if data is None:
            return httpx.Response(404)
        etag = f'"{hashlib.sha256(data).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            return httpx.Response(304)
        return with_body(200, data, **({"ETag": etag} if self.etags else {}))(request)

    def lists_asked(self) -> int:
        """How often the list itself was asked for since the last call."""
        number = sum(request.url.path == "/F0.json" for request in self.asked)
        self.asked.clear()
        return number


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def source(server, tmp_path):
    def make(**options) -> ListSource:
        fetcher = Fetcher(
            limit_bytes=100_000, transport=httpx.MockTransport(server), clock=options.pop("clock", lambda: 0.0)
        )
        options.setdefault("public_key", PUBLIC)
        return ListSource(ADDRESS, tmp_path / "cache", fetcher=fetcher, **options)

    return make


def load(source: ListSource) -> tuple[list[int], Any]:
    listed, status = source.load(NOW)
    return numbers_of(listed.cases), status


def drip(stream_s: list[float]) -> Iterator[bytes]:
    for byte in NEWER:
        stream_s[0] += 10.0
        yield bytes([byte])


class Cut(httpx.SyncByteStream):
    """A body that breaks off."""

    def __iter__(self) -> Iterator[bytes]:
        yield NEWER[:50]
        raise httpx.RemoteProtocolError("peer closed connection without sending complete message body")


class Pieces(httpx.SyncByteStream):
    """A body in pieces, of which the server has not said how long it is."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        yield from self._pieces


def raising(error: Exception) -> Answer:
    def answer(_request: httpx.Request) -> httpx.Response:
        raise error

    return answer


def certificate_refused(_request: httpx.Request) -> httpx.Response:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_message = "certificate has expired"
    raise httpx.ConnectError(str(cause)) from cause


def with_body(status: int, data: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _request: httpx.Response(status, stream=Pieces(iter([data])), headers=named)


BOMB = gzip.compress(bytes(20_000_000))
ENDLESS = repeat(b"[" * 65536)

# Answers to the request for a newer list, how often it is asked for, and words of the sentence.
FAULTS: dict[str, tuple[Answer, int, str]] = {
    "500": (with_body(500), 4, "the server is out of order (HTTP 500)"),
    "503": (with_body(503), 4, "HTTP 503"),
    "429": (with_body(429), 4, "HTTP 429"),
    "403": (with_body(403), 1, "the server answered HTTP 403"),
    "204": (with_body(204), 1, "the server answered HTTP 204"),
    "404": (with_body(404), 1, "the server has no such file (HTTP 404)"),
    "304 that nobody asked for": (with_body(304), 1, "HTTP 304"),
    "no connection": (raising(httpx.ConnectError("Connection refused")), 4, "no connection to the server"),
    "no name": (raising(httpx.ConnectError("Name or service not known")), 4, "no connection to the server"),
    "silence": (raising(httpx.ReadTimeout("")), 4, "the server was silent for 20 s"),
    "cut": (lambda _: httpx.Response(200, stream=Cut()), 4, "the connection broke before all had arrived"),
    "certificate": (certificate_refused, 1, "certificate was refused (certificate has expired)"),
    "gzip bomb": (with_body(200, BOMB, Content_Encoding="gzip"), 1, "compressed, which was not asked for"),
    "too big, as announced": (with_body(200, b"x", Content_Length=str(1 << 40)), 1, "larger than 100000 bytes"),
    "endless": (lambda _: httpx.Response(200, stream=Pieces(ENDLESS)), 1, "larger than 100000 bytes"),
    "senseless length": (with_body(200, b"x", Content_Length="many"), 1, "makes no sense"),
    "web page": (with_body(200, b"<html>Log in to the hotel's network</html>"), 2, "do not belong together"),
    "empty": (with_body(200, b""), 2, "do not belong together"),
    "redirect to http": (with_body(302, Location="http://list.example/F0.json"), 1, "which is not https"),
    "redirect to a file": (with_body(302, Location="file:///etc/passwd"), 1, "which is not https"),
    "redirect without end": (with_body(302, Location="/F0.json"), 5, "more than 5 times"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_leaves_the_last_good_list_in_use(server, source, fault):
    answer, asked, words = FAULTS[fault]
    server.publish(GOOD, 7)
    load(source())
    server.publish(NEWER, 8)
    server.lists_asked()
    server.answers = [answer] * 10
    numbers, status = load(source())
    assert numbers == [1, 2]
    assert words in status.problem
    assert status.problem.startswith(f"The national list {ADDRESS} ")
    assert "In use is the last good one: F0 list, version 7, signed, published 3 days ago." in status.problem
    assert server.lists_asked() == asked
    server.answers = []
    assert load(source())[0] == [1, 2, 3]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_where_no_list_is_kept(server, source, fault):
    answer, _, words = FAULTS[fault]
    server.publish(NEWER, 8)
    server.answers = [answer] * 10
    with pytest.raises(UserError) as caught:
        load(source())
    assert words in str(caught.value)
    assert str(caught.value).endswith("No earlier list is kept.")


@pytest.mark.parametrize("data", [b"<html>Log in to the hotel's network</html>", b"", GOOD[:-20], b'{"data": [1, 2]}'])
def test_wrong_content_without_a_signature_to_tell(server, source, data):
    server.publish(GOOD, 1)
    load(source(public_key=None))
    server.answers = [with_body(200, data)]
    numbers, status = load(source(public_key=None))
    assert numbers == [1, 2]
    assert ADDRESS in status.problem
    assert "Nothing of it was used" in status.problem


def test_a_slow_drip_ends_after_the_limit(server, source):
    now_s = [0.0]
    server.publish(NEWER, 1)
    server.answers = [lambda _: httpx.Response(200, stream=Pieces(drip(now_s)))]
    with pytest.raises(UserError, match="had not arrived after 600 s"):
        load(source(clock=lambda: now_s[0]))
    assert now_s[0] < 700


def test_faults_that_pass(server, source):
    server.publish(GOOD, 1)
    server.answers = [with_body(500), raising(httpx.ReadTimeout("")), lambda _: httpx.Response(200, stream=Cut())]
    numbers, status = load(source())
    assert (numbers, status.problem) == ([1, 2], None)


def test_redirects_within_https(server, source):
    server.publish(GOOD, 1)
    server.answers = [with_body(302, Location="https://other.example/F0.json"), server.answer]
    assert load(source())[0] == [1, 2]
    assert [str(request.url) for request in server.asked][1:] == [ADDRESS, "https://other.example/F0.json"]


def test_what_is_signed_and_unchanged_is_not_fetched_again(server, source):
    server.publish(GOOD, 7)
    load(source())
    server.publish(GOOD, 8)
    server.lists_asked()
    numbers, status = load(source())
    assert (numbers, status.version, status.problem) == ([1, 2], 8, None)
    assert server.lists_asked() == 0


def test_unsigned_lists_are_asked_for_with_their_etag(server, source):
    server.publish(GOOD, 1)
    load(source(public_key=None))
    assert server.asked[-1].headers.get("If-None-Match") is None
    listed, status = source(public_key=None).load(NOW + 60)
    assert (numbers_of(listed.cases), status.fetched_s, status.signed) == ([1, 2], NOW + 60, False)
    assert server.asked[-1].headers["If-None-Match"] == f'"{hashlib.sha256(GOOD).hexdigest()}"'
    assert not any(request.url.path.endswith(".sig") for request in server.asked)
    server.publish(NEWER, 1)
    assert load(source(public_key=None))[0] == [1, 2, 3]


@pytest.mark.parametrize("etag", [b'"\xe9"', b'"' + b"x" * 5000 + b'"'])
def test_etags_that_cannot_be_sent_back(server, source, etag):
    for _ in range(2):
        server.answers = [lambda _: httpx.Response(200, stream=Pieces(iter([GOOD])), headers=[(b"ETag", etag)])]
        numbers, status = load(source(public_key=None))
        assert (numbers, status.problem) == ([1, 2], None)
        assert "If-None-Match" not in server.asked[-1].headers


def test_certificates_that_are_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
    with pytest.raises(UserError, match="SSL_CERT_FILE"):
        ListSource("https://localhost:1/F0.json", tmp_path).load(NOW)


def test_a_server_without_etags(server, source):
    server.etags = False
    for data, numbers in ((GOOD, [1, 2]), (GOOD, [1, 2]), (NEWER, [1, 2, 3])):
        server.publish(data, 1)
        assert load(source(public_key=None))[0] == numbers


def test_a_damaged_copy_is_fetched_again_whatever_the_etag_says(server, source, tmp_path):
    server.publish(GOOD, 1)
    for key in (None, PUBLIC):
        load(source(public_key=key))
        (kept,) = (path for path in tmp_path.rglob("*.json") if path.name != "index.json")
        kept.write_bytes(GOOD[:-20])
        numbers, status = load(source(public_key=key))
        assert (numbers, status.problem) == ([1, 2], None)


def test_a_list_that_is_published_between_two_requests(server, source):
    server.publish(GOOD, 1)

    def publish_first(request: httpx.Request) -> httpx.Response:
        server.publish(NEWER, 2)
        return server.answer(request)

    server.answers = [publish_first]
    numbers, status = load(source())
    assert (numbers, status.version) == ([1, 2, 3], 2)


def test_a_missing_signature(server, source):
    server.files = {"/F0.json": GOOD}
    with pytest.raises(UserError, match="is not signed"):
        load(source())
    assert not load(source(require_signature=False))[1].signed


# --- Over real sockets -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """(for the server, for clients)"""
    folder = tmp_path_factory.mktemp("tls")
    make_certificate(folder / "server.pem", folder / "trusted.pem", int(time()))
    return folder / "server.pem", folder / "trusted.pem"


def write_public(folder: Path, data: bytes, version: int) -> None:
    (folder / "F0.json").write_bytes(data)
    (folder / "F0.json.sig").write_bytes(signature(data, version))


def test_over_tls(tmp_path, monkeypatch, certificate):
    server, trusted = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    write_public(tmp_path, GOOD, 1)
    with serving(tmp_path, 0, server) as address:
        lists = ListSource(address + "F0.json", tmp_path / "cache", public_key=PUBLIC)
        assert load(lists)[0] == [1, 2]
        write_public(tmp_path, NEWER, 2)
        assert load(lists)[0] == [1, 2, 3]
        monkeypatch.delenv("SSL_CERT_FILE")
        numbers, status = load(lists)
        assert numbers == [1, 2, 3]
        assert "the server's certificate was refused" in status.problem
    numbers, status = load(lists)
    assert numbers == [1, 2, 3]
    assert "there is no connection to the server" in status.problem


def test_the_server_has_etags_and_nothing_but_lists(tmp_path):
    write_public(tmp_path, GOOD, 1)
    (tmp_path / "F0").mkdir()
    (tmp_path / "F0" / "000001.json").write_bytes(GOOD)
    (tmp_path / "secret.json").write_text("{}")
    with serving(tmp_path, 0) as address, httpx.Client(base_url=address) as client:
        first = client.get("/F0.json")
        assert (first.content, first.headers["Content-Type"]) == (GOOD, "application/json")
        again = client.get("/F0.json", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get("/F0/000001.json").content == GOOD
        head = client.head("/F0.json")
        assert (head.content, head.headers["Content-Length"]) == (b"", str(len(GOOD)))
        for path in ("/", "/secret.json", "/../signed.key", "/F1.json", "/F0", "/F0.json.new", "/%2e%2e/secret.json"):
            assert client.get(path).status_code == 404
        local = ListSource(address + "F0.json", tmp_path / "cache", public_key=PUBLIC, allow_http=True)
        assert load(local)[0] == [1, 2]
        with (
            pytest.raises(UserError, match="Nothing can be served on port"),
            serving(tmp_path, int(address[:-1].rpartition(":")[2])),
        ):
            pass


def test_a_body_that_breaks_off_on_the_line(tmp_path):
    """What a real connection does, for MockTransport only plays it."""
    listener = socket.create_server(("localhost", 0))

    def answer() -> None:
        for _ in range(list_fetch.ATTEMPTS):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + GOOD[:100])

    thread = Thread(target=answer)
    thread.start()
    address = f"http://localhost:{listener.getsockname()[1]}/F0.json"
    with listener, pytest.raises(UserError, match="broke before all had arrived"):
        ListSource(address, tmp_path, allow_http=True).load(NOW)
    thread.join()
