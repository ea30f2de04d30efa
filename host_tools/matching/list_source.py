"""Where the national list comes from: a file, a folder or an https address, signed or not; and the last good list.

A new list takes the old one's place only when all of it has arrived, is signed as wanted, is not older than what was
there, and can be read. Otherwise the old one stays in use, and its age and the reason are told.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from host_tools.errors import UserError
from host_tools.matching import list_fetch, list_statement, national_list
from host_tools.matching.inputs import reading
from host_tools.matching.list_cache import Kept, ListCache, Part
from host_tools.matching.list_checks import checked
from host_tools.matching.list_fetch import Fetcher, FetchError, NotThere
from host_tools.matching.list_status import ListStatus
from host_tools.matching.national_list import NationalList

_CHUNK_BYTES = 1 << 20


class ListSource:
    """A place that lists come from.

    Args:
        location: a file, a folder of parts, or an https address.
        cache_folder: keeps the last good list; made when missing. None reads the file or folder where it lies and
            keeps nothing; an address and a key need a folder.
        kind: "F0" (infected) or "F1" (their close contacts).
        public_key: the authority's.
        require_signature: refuse lists that the key has not signed; None: if there is a key. Without it a list may
            lack the signature, but a wrong signature is still refused.
        allow_http: also http, from this computer itself.
        fetcher: takes the place of the usual one, for tests.

    Raises:
        UserError: lists may not come from there.
    """

    def __init__(
        self,
        location: str,
        cache_folder: Path | None,
        kind: str = "F0",
        public_key: Ed25519PublicKey | None = None,
        require_signature: bool | None = None,
        allow_http: bool = False,
        fetcher: Fetcher | None = None,
    ) -> None:
        self._location = location
        self._kind = kind
        self._key = public_key
        self._required = public_key is not None if require_signature is None else require_signature
        self._fetcher = fetcher or Fetcher(allow_http)
        self._url = list_fetch.checked_address(location, allow_http) if list_fetch.is_address(location) else None
        self._cache: ListCache | None = None
        self._last: NationalList | None = None
        if self._required and not public_key:
            raise UserError("A signature is required, but no key is given. No list was read; name it with --list-key.")
        if cache_folder is not None:
            place = location if self._url else str(Path(location).absolute())
            name = f"{kind}-{sha256(place.encode()).hexdigest()[:16]}"
            self._cache = ListCache(cache_folder / name)
        elif self._url or public_key:
            raise UserError("A list from the network or with a signature needs a folder to be kept in: --list-cache.")

    def load(self, now_s: float) -> tuple[NationalList, ListStatus]:
        """The newest good list. When the source has not changed since the last call, the same object.

        Args:
            now_s: Unix s.

        Raises:
            UserError: the list cannot be used, and no earlier one is kept.
        """
        return self._alone(self._newest, int(now_s))

    def kept(self, now_s: float) -> tuple[NationalList, ListStatus]:
        """The last good list, without asking the source; read where it lies if it is not kept in a folder.

        Raises:
            UserError: none is kept, or it cannot be used.
        """
        return self._alone(self._read_kept, int(now_s))

    def _alone(
        self, work: Callable[[ListCache, int], tuple[NationalList, ListStatus]], now_s: int
    ) -> tuple[NationalList, ListStatus]:
        if self._cache is None:
            return self._in_place(now_s)
        try:
            with self._cache.alone():
                return work(self._cache, now_s)
        except OSError as error:
            raise UserError(
                f"Lists cannot be kept: {error}. No list was read; make room or name another folder with --list-cache."
            ) from None

    def _in_place(self, now_s: int) -> tuple[NationalList, ListStatus]:
        listed = national_list.load_parts([(path, str(path)) for path in self._files()])
        self._check_kind(listed)
        return listed, ListStatus(self._kind, listed.digest, None, None, now_s, 0, False, None)

    def _read_kept(self, cache: ListCache, now_s: int) -> tuple[NationalList, ListStatus]:
        kept = cache.read()
        if kept is None:
            raise UserError(
                f"No list of {self._location} is kept yet. Nothing was read; fetch it with `bluezone list fetch`."
            )
        return self._judged(cache, kept, None, now_s)

    def _newest(self, cache: ListCache, now_s: int) -> tuple[NationalList, ListStatus]:
        kept = cache.read()
        try:
            arrived = self._arrived(cache, kept, now_s)
            try:
                listed, status = self._judged(cache, arrived, kept, now_s)
            except UserError:
                if not kept or arrived.digests != kept.digests:
                    raise
                # The file that is kept may have been damaged since.
                arrived = self._arrived(cache, None, now_s)
                listed, status = self._judged(cache, arrived, kept, now_s)
            cache.replace(arrived)
        except (UserError, OSError) as error:
            problem = str(error) if isinstance(error, UserError) else f"A newer list could not be kept: {error}."
            with suppress(OSError):
                cache.tidy(kept)
            return self._last_good(cache, kept, now_s, problem)
        return listed, status

    def _last_good(
        self, cache: ListCache, kept: Kept | None, now_s: int, problem: str
    ) -> tuple[NationalList, ListStatus]:
        if kept is None:
            raise UserError(f"{problem} No earlier list is kept.")
        try:
            listed, status = self._judged(cache, kept, None, now_s)
        except UserError as error:
            raise UserError(f"{problem} The list kept from earlier cannot be used either: {error}") from None
        return listed, replace(status, problem=f"{problem} In use is the last good one: {status.words()}.")

    def _judged(self, cache: ListCache, new: Kept, old: Kept | None, now_s: int) -> tuple[NationalList, ListStatus]:
        """Read a list in the folder, if it is signed as wanted and not older than `old`."""
        parts, newest = checked(new.parts, old.parts if old else (), self._kind, self._key, self._required)
        listed = self._last
        if not listed or listed.digests != tuple(part.sha256 for part in parts):
            listed = national_list.load_parts([(cache.path(part), part.name) for part in parts])
            if listed.digests != tuple(part.sha256 for part in parts):
                raise UserError(f"The file kept of the list {self._location} is damaged. Nothing of it was used.")
            self._check_kind(listed)
        if listed.rejected and not listed.cases:
            raise UserError(
                f"The national list {self._location} has no entry that can be used; the first one, "
                f"{listed.rejected[0].where}, {listed.rejected[0].why}. Nothing of it was used."
            )
        self._last = listed
        published_s = newest.published_s if newest else None
        age_s = max(0, now_s - (new.fetched_s if published_s is None else published_s))
        version = newest.version if newest else None
        return listed, ListStatus(
            self._kind, listed.digest, version, published_s, new.fetched_s, age_s, newest is not None, None
        )

    def _check_kind(self, listed: NationalList) -> None:
        if listed.kind not in (None, self._kind):
            raise UserError(
                f"{self._location} is a list of {listed.kind}, not of {self._kind}. Nothing of it was used; "
                "check --cases and --kind."
            )

    # What the source has now. Nothing of it is believed yet.

    def _arrived(self, cache: ListCache, kept: Kept | None, now_s: int) -> Kept:
        if self._url:
            try:
                return self._downloaded(cache, kept, now_s)
            except FetchError as error:
                raise UserError(f"The national list {self._location} could not be fetched: {error}.") from None
        parts = []
        for path in self._files():
            with reading(path, "national list") as stream, cache.arriving() as copy:
                digest = _copied(stream, copy, str(path))
                cache.hold(copy, digest)
            parts.append(Part(str(path), digest, self._signature_beside(path)))
        return Kept(tuple(parts), "", now_s)

    def _files(self) -> list[Path]:
        path = Path(self._location)
        if not path.is_dir():
            return [path]
        try:
            files = sorted(file for file in path.iterdir() if file.suffix == ".json" and file.is_file())
        except OSError as error:
            raise UserError(f"The folder {path} cannot be read: {error.strerror}. Nothing of it was used.") from None
        if not files:
            raise UserError(f"The folder {path} holds no list (*.json). Nothing was read; check the path.")
        return files

    def _signature_beside(self, path: Path) -> str:
        if not self._key:
            return ""
        try:
            with open(path.with_name(path.name + list_statement.SUFFIX), "rb") as stream:
                return stream.read(list_statement.LIMIT_BYTES + 1).decode("ascii", "replace")
        except OSError:
            return ""

    def _downloaded(self, cache: ListCache, kept: Kept | None, now_s: int) -> Kept:
        assert self._url
        for _ in range(2):  # a list that is published between the two requests fits at the second attempt
            signature = self._signature_there()
            said = list_statement.digest_in(signature)
            if kept and said and kept.digests == (said,):
                return Kept((replace(kept.parts[0], signature=signature),), kept.etag, now_s)
            etag = kept.etag if kept and not said else ""
            with cache.arriving() as stream:
                fetched = self._fetcher.fetch(self._url, stream, etag)
                if fetched is None:
                    assert kept
                    return replace(kept, fetched_s=now_s)
                if said in ("", fetched.sha256):
                    cache.hold(stream, fetched.sha256)
                    return Kept((Part(self._location, fetched.sha256, signature),), fetched.etag, now_s)
        raise UserError(
            f"The national list {self._location} and its signature do not belong together: "
            "the list was changed, or is being published. Nothing of it was used."
        )

    def _signature_there(self) -> str:
        assert self._url
        if not self._key:
            return ""
        text = BytesIO()
        try:
            url = self._url.copy_with(path=self._url.path + list_statement.SUFFIX)
            replace(self._fetcher, limit_bytes=list_statement.LIMIT_BYTES).fetch(url, text)
        except NotThere:
            return ""
        return text.getvalue().decode("ascii", "replace")


def _copied(stream: BinaryIO, copy: BinaryIO, name: str) -> str:
    """Copy a file; returns its SHA-256."""
    digest = sha256()
    size_bytes = 0
    for chunk in _chunks(stream):
        size_bytes += len(chunk)
        if size_bytes > list_fetch.LIST_LIMIT_BYTES:
            raise UserError(
                f"The national list {name} is larger than {list_fetch.LIST_LIMIT_BYTES} bytes. Nothing of it was used; "
                "split it."
            )
        digest.update(chunk)
        copy.write(chunk)
    return digest.hexdigest()


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(_CHUNK_BYTES):
        yield chunk
