"""`flash --download`: an image from a server on this computer, over TLS. micropython.org itself was never asked."""

import hashlib
import ssl
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import time

import pytest
from synthetic_image import synthetic_image

from host_tools import cli
from host_tools.authority.certificate import make_certificate
from host_tools.errors import UserError
from host_tools.provisioning import commands, firmware_files
from host_tools.provisioning.firmware_files import ROOT, boards
from host_tools.provisioning.image_list import LIMIT_BYTES, downloaded

NAME = "ESP32_GENERIC-20260824-v1.29.0.bin"
DATA = synthetic_image()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with the folder site/, which this computer trusts; a cache of the test's own."""
    (tmp_path / "site").mkdir()
    make_certificate(tmp_path / "server.pem", tmp_path / "trusted.pem", int(time()))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with ThreadingHTTPServer(("localhost", 0), partial(_Quiet, directory=str(tmp_path / "site"))) as server:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(tmp_path / "server.pem")
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"https://localhost:{server.server_port}/{NAME}"
        server.shutdown()
        thread.join()


def settings(address: str, data: bytes = DATA) -> dict:
    """A board whose image lies at an address."""
    board = boards()["esp32_generic"]
    image = {**board["image"], "download": address, "sha256": [hashlib.sha256(data).hexdigest()]}
    return {**board, "image": image}


def kept(tmp_path: Path) -> list[str]:
    """Names of what the cache holds."""
    return [path.name for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_it_is_fetched_once(tmp_path: Path, site: str) -> None:
    (tmp_path / "site" / NAME).write_bytes(DATA)
    path = downloaded("esp32_generic", settings(site))
    assert path.read_bytes() == DATA
    (tmp_path / "site" / NAME).unlink()
    assert downloaded("esp32_generic", settings(site)) == path
    path.write_bytes(DATA[:-1])  # what has been damaged here is fetched anew
    with pytest.raises(UserError, match="could not be fetched: the server has no such file"):
        downloaded("esp32_generic", settings(site))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (None, r"could not be fetched: the server has no such file .* Download it in a browser"),
        (DATA[:-1], "sends another file than the one that boards/esp32_generic/board.toml lists"),
        (bytes(LIMIT_BYTES + 1), "could not be fetched: it is larger than"),
    ],
)
def test_another_file_is_not_kept(tmp_path: Path, site: str, data: bytes | None, sentence: str) -> None:
    if data is not None:
        (tmp_path / "site" / NAME).write_bytes(data)
    with pytest.raises(UserError, match=sentence) as caught:
        downloaded("esp32_generic", settings(site))
    assert "othing was changed" in str(caught.value)
    assert kept(tmp_path) == []


def test_a_server_that_nobody_vouches_for_is_not_asked(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / NAME).write_bytes(DATA)
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UserError, match="certificate was refused"):
        downloaded("esp32_generic", settings(site))
    assert kept(tmp_path) == []


def test_the_command_fetches_only_when_it_is_asked_to(
    tmp_path: Path, site: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site" / NAME).write_bytes(DATA)
    known = {**boards(), "esp32_generic": settings(site)}
    monkeypatch.setattr(firmware_files, "boards", lambda root=ROOT: known)
    app = cli.new_app()
    commands.register(app)
    words = ["flash", "--board", "esp32_generic", "--offline-image", str(tmp_path / "out.bin")]
    assert cli.run(app, words) == 2
    assert kept(tmp_path) == []
    assert cli.run(app, [*words, "--download"]) == 0
    assert kept(tmp_path) == [NAME]
    capsys.readouterr()
    for more in (["--image", "x.bin"], ["--board", ""]):
        assert cli.run(app, ["flash", "--board", "esp32_generic", "--download", *more]) == 2
        assert capsys.readouterr().err.startswith("--download needs --board, and no --image")
    assert cli.run(app, ["flash", "--board", "nrf52840_circuitpython", "--download"]) == 2
    assert "no image is known that could be downloaded" in capsys.readouterr().err
