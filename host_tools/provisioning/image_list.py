"""Which images a board may get: those that its board.toml lists by their SHA-256, and what a technician vouches for.

micropython.org and circuitpython.org show no SHA-256. A listed one says: this is the file that others got, too.
"""

import hashlib
import os
import re
from pathlib import Path

import httpx

from host_tools.errors import UserError
from host_tools.matching.durable import replacing
from host_tools.matching.list_fetch import Fetcher, FetchError

LIMIT_BYTES = 8 << 20  # four times the biggest of our images


class ImageError(UserError):
    """An image that cannot be used, or made; the message says why. Nothing was written to any board."""


def read_file(path: Path) -> bytes:
    """An image file.

    Raises:
        ImageError: it cannot be read, or is larger than any image.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise ImageError(f"The image {path} cannot be read: {error.strerror}. Nothing was changed.") from error
    if len(data) > LIMIT_BYTES:
        raise ImageError(f"{path} is larger than {LIMIT_BYTES >> 20} MB: no image. Nothing was changed.")
    return data


def checked_sha256(text: str) -> str:
    """A SHA-256 as somebody types it; "" stays.

    Raises:
        UserError: it is none.
    """
    digest = "".join(text.split()).lower()
    if digest and not re.fullmatch("[0-9a-f]{64}", digest):
        raise UserError("--image-sha256 takes all 64 hex digits of a SHA-256. Nothing was changed.")
    return digest


def check_listed(path: Path, data: bytes, board: str, settings: dict, vouched: str = "") -> str:
    """The SHA-256 of an image that a board may get.

    Args:
        settings: the board's board.toml, parsed.
        vouched: what somebody says the SHA-256 is, in 64 hex digits; "": nobody says, and the list alone counts.

    Raises:
        ImageError: it is another one than somebody says, or is not in the list.
    """
    digest = hashlib.sha256(data).hexdigest()
    if vouched and digest != vouched:
        raise ImageError(
            f"{path} has another SHA-256 than --image-sha256 says. Nothing was changed. Download it again; if that "
            "does not help, do not use it."
        )
    if not vouched and digest not in settings["image"]["sha256"]:
        # The digest is not shown: copied from here it would vouch for whatever file this is.
        raise ImageError(
            f"{path} is not an image that boards/{board}/board.toml lists. Nothing was changed. Take a listed one "
            "(--download fetches it). Or have somebody else download the same file elsewhere and tell you what "
            "`sha256sum` says there, and repeat with --image-sha256 and those 64 digits."
        )
    return digest


def downloaded(board: str, settings: dict, fetcher: Fetcher | None = None) -> Path:
    """The listed image that board.toml says where to get, fetched unless it is here already.

    Raises:
        ImageError: there is no such image, it did not arrive, or it is not the listed one.
    """
    address = settings.get("image", {}).get("download", "")
    if not address:
        raise ImageError(f"For {board} no image is known that could be downloaded: name one with --image.")
    path = _cache() / address.rpartition("/")[2]
    if path.is_file() and _is_listed(path.read_bytes(), settings):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as stream:
            fetched = (fetcher or Fetcher(limit_bytes=LIMIT_BYTES)).fetch(httpx.URL(address), stream)
            if fetched is None or fetched.sha256 not in settings["image"]["sha256"]:
                raise ImageError(
                    f"{address} sends another file than the one that boards/{board}/board.toml lists. It was thrown "
                    "away, and nothing was changed. Somebody may be in between: try another network."
                )
    except FetchError as error:
        raise ImageError(
            f"{address} could not be fetched: {error}. Nothing was changed. Download it in a browser and name it with "
            "--image."
        ) from error
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror}. Nothing was changed.") from error
    return path


def _is_listed(data: bytes, settings: dict) -> bool:
    return hashlib.sha256(data).hexdigest() in settings["image"]["sha256"]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bluezone"
