"""The authority's key pair: the private key lies encrypted under a passphrase, the public key is for everybody."""

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from host_tools.errors import UserError
from host_tools.matching.durable import replacing

PRIVATE_KEY = "authority.key.pem"
PUBLIC_KEY = "authority.pub.pem"
PASSPHRASE_VARIABLE = "BLUEZONE_PASSPHRASE"
_LETTERS = 8  # fewer are guessed at once by whoever gets hold of the file


def make_keys(folder: Path, passphrase: str) -> Path:
    """Make a key pair in a folder; returns the public key's file.

    Raises:
        UserError: there is one already, the passphrase is too short, or the folder cannot be written.
    """
    if (folder / PRIVATE_KEY).exists():
        raise UserError(
            f"{folder} holds an authority's private key already. It was kept: lists signed with another one would be "
            "refused. Name another folder."
        )
    if len(passphrase) < _LETTERS:
        raise UserError(f"The passphrase has less than {_LETTERS} characters. No key was made; choose a longer one.")
    key = Ed25519PrivateKey.generate()
    sealed = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase.encode("utf-8")))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / PUBLIC_KEY) as stream:
            stream.write(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        with replacing(folder / PRIVATE_KEY) as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(sealed)
    except OSError as error:
        raise UserError(
            f"The keys cannot be written to {folder}: {error}. No key pair was made; name another folder, or make room."
        ) from None
    return folder / PUBLIC_KEY


def private_key(folder: Path, passphrase: str) -> Ed25519PrivateKey:
    """The private key of an authority's folder.

    Raises:
        UserError: there is none, or the passphrase is wrong.
    """
    try:
        data = (folder / PRIVATE_KEY).read_bytes()
    except OSError:
        raise UserError(
            f"{folder} holds no private key that can be read. Nothing was signed; begin with `bluezone authority init`."
        ) from None
    try:
        key = load_pem_private_key(data, passphrase.encode("utf-8"))
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise UserError("The passphrase does not open the private key. Nothing was signed; try again.")
    return key
