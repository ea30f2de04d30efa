"""Made-up cases, signed with a key that is made for them: an authority to try things with."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from host_tools.authority import certificate, lists, signing
from host_tools.authority.lists import Publication
from host_tools.matching.cases import Case
from host_tools.matching.national_list import KINDS
from tracing import keys

_CASES = {"F0": 10, "F1": 30}
_DAYS = 14


@dataclass(frozen=True, slots=True)
class DemoAuthority:
    """Files of an authority that was made for a demonstration.

    Attributes:
        certificate: key and certificate, for the server.
        trusted: the certificate alone, for clients.
    """

    public_key: Path
    certificate: Path
    trusted: Path
    published: list[Publication]


def make(folder: Path, passphrase: str, now_s: int) -> DemoAuthority:
    """Make keys, certificate and one list of each kind, or add today's cases to what an earlier call has made.

    Args:
        now_s: Unix s; the cases are traced over the 14 days before.
    """
    public_key = folder / signing.PUBLIC_KEY
    if not public_key.exists():
        signing.make_keys(folder, passphrase)
    server, trusted = folder / "tls.key.pem", folder / "tls.pem"
    certificate.make_certificate(server, trusted, now_s)
    key = signing.private_key(folder, passphrase)
    today = keys.day_of(now_s)
    published = [lists.publish(folder, kind, made_up_cases(kind, today), key, now_s) for kind in KINDS]
    return DemoAuthority(public_key, server, trusted, published)


def made_up_cases(kind: str, today: int) -> list[Case]:
    """Cases that nobody is: their keys are digests of their names."""
    begins_s, ends_s = (today - _DAYS) * keys.DAY_S, today * keys.DAY_S
    names = [f"demonstration {kind} {today} {index}" for index in range(_CASES[kind])]
    return [
        Case(index, hashlib.sha256(name.encode()).digest(), begins_s, ends_s, keys.SLOTS_PER_DAY)
        for index, name in enumerate(names)
    ]
