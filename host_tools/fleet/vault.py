"""Seals names, staff numbers and addresses. The key lies in a file beside the database, never in it.

Who has only the database, or a copy of it, learns no name. A staff number is found by its HMAC.
"""

import hmac
import os
import secrets
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from host_tools.errors import UserError
from host_tools.matching.durable import sync_folder
from host_tools.storage.database import Database

from . import settings

KEY_FILE_VARIABLE = "BLUEZONE_KEY_FILE"
_KEY_BYTES = 32
_NONCE_BYTES = 12
_CHECK = "vault.check"


class VaultError(UserError):
    """The key does not fit the database, or cannot be used."""


class Vault:
    """What a key can do.

    Args:
        key: 32 secret bytes.
    """

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(_derived(key, b"bluezone names"))
        self._mac_key = _derived(key, b"bluezone staff numbers")

    @classmethod
    def of(cls, database: Database, key_file: Path | None = None) -> Self:
        """The vault of a database; its key is made when neither has been used before.

        Args:
            key_file: by default what BLUEZONE_KEY_FILE says, else `<database>.key` beside a database that is a file.

        Raises:
            VaultError: there is no key, or it is another database's.
        """
        with database.reading() as connection:
            expected = settings.get(connection, _CHECK)
        vault = cls(_key(database, key_file, may_make=expected is None))
        check = vault.mac("check", "")
        if expected is None:
            with database.writing() as connection:
                expected = settings.get(connection, _CHECK)
                if expected is None:
                    settings.put(connection, _CHECK, check)
                    expected = check
        if not hmac.compare_digest(check, expected):
            raise VaultError(
                "The file with the key of the names belongs to another database. Nothing was changed. Copy the key "
                f"file of the kiosk that made this database, or name it in {KEY_FILE_VARIABLE}."
            )
        return vault

    def seal(self, field: str, text: str) -> bytes:
        """Encrypt. `field` says what it is; it must be the same at `open`."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode(), field.encode())

    def open(self, field: str, sealed: bytes) -> str:
        """Decrypt.

        Raises:
            VaultError: it was sealed by another key, as another field, or has been changed.
        """
        try:
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            return self._cipher.decrypt(nonce, rest, field.encode()).decode()
        except (InvalidTag, ValueError) as error:
            raise VaultError(
                f"A sealed {field} cannot be opened: it is damaged, or was sealed with another key. Nothing was "
                "changed. Enter it anew."
            ) from error

    def mac(self, field: str, text: str) -> bytes:
        """32 bytes that are the same for the same text, and tell nothing to who lacks the key."""
        return hmac.digest(self._mac_key, f"{field}\0{text}".encode(), "sha256")


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, None, purpose).derive(key)


def _key(database: Database, key_file: Path | None, may_make: bool) -> bytes:
    named = os.environ.get(KEY_FILE_VARIABLE)
    if key_file is None and named:
        key_file = Path(named)
    if key_file is None and database.is_sqlite:
        if database.sqlite_file in (None, "", ":memory:"):
            return secrets.token_bytes(_KEY_BYTES)
        key_file = Path(f"{database.sqlite_file}.key")
    if key_file is None:
        raise VaultError(
            "A database on a server needs a file for the key of the names. Nothing was changed. Name it with "
            f"--key-file or in {KEY_FILE_VARIABLE}; all kiosks of the database need the same file."
        )
    if not may_make and not key_file.exists():
        raise VaultError(
            f"The key of the names is missing: {key_file}. Nothing was changed. Bring the file back; without it the "
            "names cannot be read."
        )
    try:
        if may_make and not key_file.exists():
            _make(key_file)
        key = bytes.fromhex(key_file.read_text("ascii").strip())
    except (OSError, ValueError) as error:
        raise VaultError(f"The key file {key_file} cannot be used: {error}. Nothing was changed.") from None
    if len(key) != _KEY_BYTES:
        raise VaultError(f"The key file {key_file} is damaged: it needs 64 hex digits. Nothing was changed.")
    return key


def _make(path: Path) -> None:
    # Whole or not at all, once, though two kiosks begin together: whoever comes second reads the first one's.
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            stream.write(secrets.token_bytes(_KEY_BYTES).hex() + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(path.parent)
