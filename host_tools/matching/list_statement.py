"""The authority's signed statement about a list: what kind, which versions, when, and the SHA-256 of its bytes.

It lies beside the list, as `….json.sig`, so that clients which know only the list still read it. See SPEC.md,
"Signature of a list". One signature says all: which list, that nothing is missing, and how new it is.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from host_tools.errors import UserError

SUFFIX = ".sig"
LIMIT_BYTES = 1024

# Numbers have no leading zeros and everything else one spelling, so that a statement has one text.
_NUMBER = r"(0|[1-9][0-9]{0,14})"
_TEXT = re.compile(
    rf"bluezone list 1\nkind (F0|F1)\nversions {_NUMBER}-{_NUMBER}\npublished {_NUMBER}\n"
    r"sha256 ([0-9a-f]{64})\n"
)
_SIGNATURE = re.compile(r"ed25519 ([0-9a-f]{128})\n")


class NotSigned(Exception):
    """A statement that is none, or that this key did not sign. The message goes on from "its signature …"."""


@dataclass(frozen=True, slots=True)
class Statement:
    """What the authority says of the bytes of a list.

    Attributes:
        kind: "F0" (infected) or "F1" (their close contacts).
        first, version: the list holds what was published as the versions first … version, from 1.
        published_s: Unix s.
        sha256: of the bytes of the list, as 64 hex digits.
    """

    kind: str
    first: int
    version: int
    published_s: int
    sha256: str

    def text(self) -> bytes:
        """The bytes that are signed. They name the format, so that they cannot be taken for something else."""
        lines = (
            "bluezone list 1",
            f"kind {self.kind}",
            f"versions {self.first}-{self.version}",
            f"published {self.published_s}",
            f"sha256 {self.sha256}",
        )
        return "".join(f"{line}\n" for line in lines).encode()

    def signed(self, key: Ed25519PrivateKey) -> bytes:
        """The content of the file beside the list."""
        text = self.text()
        return text + f"ed25519 {key.sign(text).hex()}\n".encode()


def verified(data: bytes, key: Ed25519PublicKey) -> Statement:
    """Read a statement.

    Args:
        data: content of the file beside the list.

    Raises:
        NotSigned: it breaks the format, or the key did not sign it.
    """
    text, mark, _ = data.rpartition(b"ed25519 ")
    try:
        said = _TEXT.fullmatch(text.decode("ascii"))
        signature = _SIGNATURE.fullmatch(data[len(text) :].decode("ascii")) if mark else None
    except UnicodeDecodeError:
        said = signature = None
    if not said or not signature or len(data) > LIMIT_BYTES:
        raise NotSigned("is not in the format of a signature of a list")
    try:
        key.verify(bytes.fromhex(signature[1]), text)
    except InvalidSignature:
        raise NotSigned("does not fit the key") from None
    kind, first, version, published_s, sha256 = said.groups()
    statement = Statement(kind, int(first), int(version), int(published_s), sha256)
    if not 1 <= statement.first <= statement.version:
        raise NotSigned(f"names the versions {first}-{version}, which cannot be")
    return statement


def digest_in(signature: str) -> str:
    """The list's digest that a statement names, verified or not; "": it names none."""
    said = re.search(r"^sha256 ([0-9a-f]{64})$", signature, re.MULTILINE)
    return said[1] if said else ""


def fingerprint(key: Ed25519PublicKey) -> str:
    """A key's name for people: 16 hex digits of the SHA-256 of its DER form (`openssl pkey -pubin -outform DER`)."""
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()[:16]


def load_public_key(path: Path | str) -> Ed25519PublicKey:
    """Read an authority's public key (PEM).

    Raises:
        UserError: it cannot be read, or is another kind of key.
    """
    try:
        key = load_pem_public_key(Path(path).read_bytes())
    except OSError as error:
        raise UserError(
            f"The authority's public key {path} cannot be read: {error.strerror}. No list was read; check --list-key."
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise UserError(
            f"{path} is no Ed25519 public key (PEM). No list was read; ask the authority for its public key file."
        )
    return key
