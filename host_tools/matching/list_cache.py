"""The last good list, kept in a folder: what a verdict rests on when today's list is bad or does not come.

Files carry the SHA-256 of their content as their name; one index says which of them are the list. It is replaced as
a whole, so a process that is killed at any moment leaves the old list or the new one.
"""

import json
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from host_tools.matching.durable import alone_in, replacing

_INDEX = "index.json"
_STAGED = "arriving"


@dataclass(frozen=True, slots=True)
class Part:
    """A file of a list.

    Attributes:
        name: what messages call it.
        sha256: of its content, in hex.
        signature: the text of the authority's statement, verified or not; "": there is none.
    """

    name: str
    sha256: str
    signature: str


@dataclass(frozen=True, slots=True)
class Kept:
    """A list in the folder.

    Attributes:
        parts: in order.
        etag: the server's name for the content, or "".
        fetched_s: when the source was last found to have this content, Unix s.
    """

    parts: tuple[Part, ...]
    etag: str
    fetched_s: int

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each file."""
        return tuple(part.sha256 for part in self.parts)


class ListCache:
    """A folder that holds one list; made when missing. Every method may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def alone(self) -> AbstractContextManager[None]:
        """No other process changes the folder meanwhile."""
        self._folder.mkdir(parents=True, exist_ok=True)
        return alone_in(self._folder)

    def path(self, part: Part) -> Path:
        return self._folder / f"{part.sha256}.json"

    def read(self) -> Kept | None:
        """What the folder holds; None: nothing that could be read. The files themselves are not read."""
        try:
            index: dict[str, Any] = json.loads((self._folder / _INDEX).read_bytes())
            parts = tuple(Part(str(p["name"]), str(p["sha256"]), str(p["signature"])) for p in index["parts"])
            kept = Kept(parts, str(index["etag"]), int(index["fetched_s"]))
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return kept if parts and all(self.path(part).is_file() for part in parts) else None

    @contextmanager
    def arriving(self) -> Iterator[BinaryIO]:
        """A file for what arrives, to be read, written and then passed to `hold`."""
        with open(self._folder / _STAGED, "w+b") as stream:
            yield stream

    def hold(self, stream: BinaryIO, sha256: str) -> None:
        """Put what has arrived on the disk under its digest. It is no part of a list before `replace`."""
        stream.flush()
        os.fsync(stream.fileno())
        os.replace(self._folder / _STAGED, self._folder / f"{sha256}.json")

    def replace(self, kept: Kept) -> None:
        """From now on, this is the list. Files of the one before are removed."""
        with replacing(self._folder / _INDEX) as stream:
            stream.write(json.dumps(asdict(kept), indent=1).encode())
        self.tidy(kept)

    def tidy(self, kept: Kept | None) -> None:
        """Remove what belongs to no list."""
        wanted = {_INDEX, "lock"} | {self.path(part).name for part in (kept.parts if kept else ())}
        for path in self._folder.iterdir():
            if path.name not in wanted and (path.suffix in (".json", ".new") or path.name == _STAGED):
                path.unlink()
