"""Is a list signed by the right key, of the right kind, complete, and not older than the one before?"""

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from host_tools.errors import UserError
from host_tools.matching.list_cache import Part
from host_tools.matching.list_statement import NotSigned, Statement, verified


def checked(
    parts: Sequence[Part], old: Sequence[Part], kind: str, key: Ed25519PublicKey | None, required: bool
) -> tuple[tuple[Part, ...], Statement | None]:
    """The parts that make up the list, in order, and what is signed of the newest one; None: the list is not signed.

    Args:
        parts: whose digests are those of their bytes.
        old: of the list in use before; empty: there is none.
        key: the authority's; None: signatures are not looked at.
        required: refuse parts without a signature.

    Raises:
        UserError: the list must not be used. The sentence says why.
    """
    if key is None or (not required and not all(part.signature for part in parts)):
        return tuple(parts), None
    stated = [(part, _statement(part, kind, key)) for part in parts]
    chosen = _unbroken(stated)
    newest = chosen[-1][1]
    before = _newest_of(old, kind, key)
    if before and newest.version < before.version:
        raise UserError(
            f"The national list {parts[0].name} is version {newest.version}, older than version {before.version}, "
            "which was there before: somebody may be holding cases back. Nothing of it was used."
        )
    if before and newest.version == before.version and newest.first == before.first and newest.sha256 != before.sha256:
        raise UserError(
            f"The national list {parts[0].name} has other content than the version {newest.version} that was there "
            "before, though one key signed both. Nothing of it was used; ask the authority."
        )
    return tuple(part for part, _ in chosen), newest


def _statement(part: Part, kind: str, key: Ed25519PublicKey) -> Statement:
    if not part.signature:
        raise UserError(
            f"The national list {part.name} is not signed. Nothing of it was used; "
            f"fetch {part.name}.sig as well, or ask the authority."
        )
    try:
        statement = verified(part.signature.encode("ascii", "replace"), key)
    except NotSigned as error:
        raise UserError(
            f"The national list {part.name} cannot be trusted: its signature {error}. Nothing of it was used; "
            "fetch it again, and check that --list-key is the authority's key."
        ) from None
    if statement.sha256 != part.sha256:
        raise UserError(
            f"The national list {part.name} is not what the authority signed. Nothing of it was used; fetch it again."
        )
    if statement.kind != kind:
        raise UserError(
            f"The national list {part.name} is signed as a list of {statement.kind}, not of {kind}. "
            "Nothing of it was used; check --cases and --kind."
        )
    return statement


def _unbroken(stated: list[tuple[Part, Statement]]) -> list[tuple[Part, Statement]]:
    """The parts that lead from version 1 to the newest without a hole: of those that begin alike, the longest."""
    longest: dict[int, tuple[Part, Statement]] = {}
    for part, statement in stated:
        rival = longest.get(statement.first)
        if not rival or statement.version > rival[1].version:
            longest[statement.first] = part, statement
    chosen: list[tuple[Part, Statement]] = []
    wanted = 1
    while found := longest.get(wanted):
        chosen.append(found)
        wanted = found[1].version + 1
    last = max(statement.version for _, statement in stated)
    if wanted <= last:
        raise UserError(
            f"The national list {stated[0][0].name} is not whole: version {wanted} is missing on the way to {last}. "
            "Nothing of it was used, since cases may be missing; fetch all of its parts."
        )
    return chosen


def _newest_of(parts: Sequence[Part], kind: str, key: Ed25519PublicKey) -> Statement | None:
    """What this key has signed of an earlier list, however its files are now."""
    found = []
    for part in parts:
        try:
            statement = verified(part.signature.encode("ascii", "replace"), key)
        except NotSigned:
            continue
        if statement.kind == kind:
            found.append(statement)
    return max(found, key=lambda statement: statement.version, default=None)
