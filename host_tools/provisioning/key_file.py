"""A root in a file, encrypted under a passphrase: scrypt makes the key, AES-256-GCM seals. SPEC.md, "Key file"."""

import base64
import binascii
import contextlib
import json
import os
import secrets
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from host_tools.errors import UserError

from .token_keys import ROOT_BYTES, AuthorityRoot, KioskRoot, Root

VERSION = 1
KINDS: dict[str, type[Root]] = {"kiosk": KioskRoot, "authority": AuthorityRoot}
_OWNERS = {"kiosk": "the kiosks", "authority": "the health authority"}
_AnyRoot = TypeVar("_AnyRoot", bound=Root)

_SCRYPT = {"n": 1 << 16, "r": 8, "p": 1}  # 64 MiB and about a quarter of a second
_SCRYPT_MAX_BYTES = 1 << 30  # what a file may ask of this machine's memory
_SALT_BYTES = 16
_NONCE_BYTES = 12
_PASSPHRASE_CHARACTERS = 12


class KeyFileError(UserError):
    """A key file that cannot be made or used; the message says why."""


def new_root(kind: str) -> Root:
    """A fresh root; `kind` is one of KINDS."""
    return KINDS[kind](secrets.token_bytes(ROOT_BYTES))


def save(path: Path, root: Root, passphrase: str) -> None:
    """Write a new file that only its owner may read. It is there whole or not at all.

    Raises:
        KeyFileError: there is a file already, the passphrase is too short, or the place cannot be written.
    """
    if len(passphrase) < _PASSPHRASE_CHARACTERS:
        raise KeyFileError(
            f"The passphrase has fewer than {_PASSPHRASE_CHARACTERS} characters. No key file was written. Choose a "
            "longer one, such as five words."
        )
    kind = next(name for name, its_class in KINDS.items() if isinstance(root, its_class))
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    head = {
        "bluezone_key": VERSION,
        "kind": kind,
        "fingerprint": root.fingerprint,
        "scrypt": _SCRYPT | {"salt": _text(salt)},
        "nonce": _text(nonce),
    }
    sealed = AESGCM(_file_key(passphrase, salt, _SCRYPT)).encrypt(nonce, root.secret, _bound(head))
    _write_new(path, json.dumps(head | {"sealed": _text(sealed)}, indent=1) + "\n")


def load(path: Path, kind: type[_AnyRoot], passphrase: str) -> _AnyRoot:
    """The root in a file.

    Args:
        kind: KioskRoot or AuthorityRoot; a file with the other one is refused.

    Raises:
        KeyFileError: no such file, no key file, another kind, or a wrong passphrase.
    """
    data = describe(path)
    if KINDS[data["kind"]] is not kind:
        wanted = next(owner for name, owner in _OWNERS.items() if KINDS[name] is kind)
        raise KeyFileError(
            f"{path} holds the root of {_OWNERS[data['kind']]}; this command needs that of {wanted}. "
            "Nothing was done. Name the other file."
        )
    head = {name: value for name, value in data.items() if name != "sealed"}
    try:
        key = _file_key(passphrase, _bytes(data["scrypt"]["salt"]), data["scrypt"])
        secret = AESGCM(key).decrypt(_bytes(data["nonce"]), _bytes(data["sealed"]), _bound(head))
    except InvalidTag:
        raise KeyFileError(
            f"The passphrase does not open {path}, or the file was changed. Nothing was done. Try again; without the "
            "passphrase the key cannot be recovered."
        ) from None
    except (KeyError, TypeError, ValueError) as error:
        raise _no_key_file(path) from error
    return kind(secret)


def describe(path: Path) -> dict[str, Any]:
    """What a file says about itself without its passphrase: `kind`, `fingerprint` and the rest of its fields.

    Raises:
        KeyFileError: no such file, or no key file.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise KeyFileError(
            f"There is no key file at {path}. Nothing was done. Make one with `bluezone key new`."
        ) from None
    except OSError as error:
        raise KeyFileError(f"The key file {path} cannot be read: {error.strerror}. Nothing was done.") from error
    except (ValueError, RecursionError) as error:
        raise _no_key_file(path) from error
    if not isinstance(data, dict) or not isinstance(data.get("bluezone_key"), int):
        raise _no_key_file(path)
    if data["bluezone_key"] != VERSION:
        raise KeyFileError(
            f"The key file {path} has version {data['bluezone_key']}; this program knows version {VERSION}. "
            "Nothing was done. Update the program."
        )
    if data.get("kind") not in KINDS or not isinstance(data.get("fingerprint"), str):
        raise _no_key_file(path)
    return data


def _no_key_file(path: Path) -> KeyFileError:
    return KeyFileError(f"{path} is not a key file, or it is damaged. Nothing was done. Name the right one.")


def _file_key(passphrase: str, salt: bytes, scrypt: dict[str, Any]) -> bytes:
    n, r, p = scrypt["n"], scrypt["r"], scrypt["p"]
    if 128 * n * r * p > _SCRYPT_MAX_BYTES:
        raise ValueError("the file asks for too much memory")
    return Scrypt(salt=salt, length=32, n=n, r=r, p=p).derive(passphrase.encode())


def _bound(head: dict[str, Any]) -> bytes:
    # What stands in the clear is authenticated with the secret: a file cannot be made to pass for another kind.
    return json.dumps(head, sort_keys=True, separators=(",", ":")).encode()


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _write_new(path: Path, text: str) -> None:
    # A temporary file is linked to its name, which fails when the name is taken: a root is never overwritten.
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)
    except FileExistsError:
        raise KeyFileError(
            f"{path} exists already. It was left as it is: a lost root cannot be made again. Choose another name."
        ) from None
    except OSError as error:
        raise KeyFileError(
            f"The key file {path} cannot be written: {error.strerror}. Nothing was written. Name another place."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
