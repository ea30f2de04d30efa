"""`bluezone list`: which list is in use, a newer one, and what is wrong with a file that should be one."""

import json
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools.answers import Json
from host_tools.matching.list_options import NO_LIST_OPTIONS, Cases, Kind, ListOptions, with_list_options

if TYPE_CHECKING:
    from host_tools.matching.inputs import Rejection
    from host_tools.matching.list_source import ListStatus
    from host_tools.matching.national_list import NationalList

_SHOWN = 20  # entries that a person reads
_NOT_SOUND = 2


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(no_args_is_help=True, help="The national list: how old it is, who signed it, what it holds.")
    group.command()(with_list_options(show))
    group.command()(with_list_options(fetch))
    group.command()(check)
    app.add_typer(group, name="list")


def show(cases: Cases, listed: ListOptions = NO_LIST_OPTIONS, kind: Kind = "F0", as_json: Json = False) -> None:
    """Tell which list is in use, without asking its source for a newer one."""
    national, status = listed.source(cases, kind).kept(time.time())
    _tell(cases, national, status, listed.list_key, as_json)


def fetch(cases: Cases, listed: ListOptions = NO_LIST_OPTIONS, kind: Kind = "F0", as_json: Json = False) -> None:
    """Ask the source for a newer list now, and tell which one is in use then."""
    national, status = listed.source(cases, kind).load(time.time())
    _tell(cases, national, status, listed.list_key, as_json)


def check(
    file: Annotated[Path, typer.Argument(help="A list (JSON), or a folder of its parts.")],
    list_key: Annotated[
        Path | None, typer.Option(help="The authority's public key (PEM): the list must be signed with it.")
    ] = None,
    kind: Kind = "F0",
    as_json: Json = False,
) -> int:
    """Read a file as a kiosk would and name every entry that it would not use; exit status 2 if there is one."""
    with TemporaryDirectory() as fresh:  # a signed list is judged by itself, not by what was there before
        options = ListOptions(list_key=list_key, list_cache=Path(fresh) if list_key else None)
        national, status = options.source(str(file), kind).load(time.time())
    _tell(str(file), national, status, list_key, as_json)
    return _NOT_SOUND if national.rejected else 0


def list_json(place: str, national: "NationalList", status: "ListStatus", signed_by: str | None) -> dict[str, object]:
    """What machines are told.

    Args:
        place: as it was typed.
        signed_by: the fingerprint of the key; None: it is not signed.
    """
    first, last = _days(national)
    return {
        "source": place,
        "list": status.as_dict(),
        "signed_by": signed_by,
        "cases": len(national.cases),
        "first_day": first,
        "last_day": last,
        "rejected": [_entry(each) for each in national.rejected],
        "doubtful": [_entry(each) for each in national.doubtful],
    }


def _tell(place: str, national: "NationalList", status: "ListStatus", key: Path | None, as_json: bool) -> None:
    from host_tools.matching.list_statement import fingerprint, load_public_key

    signed_by = fingerprint(load_public_key(key)) if key and status.signed else None
    told = list_json(place, national, status, signed_by)
    if as_json:
        print(json.dumps(told))
        return
    print(f"{place}: {status.words()}.")
    print(f"Signed by the key {signed_by}." if signed_by else "Nobody has signed it, or no --list-key was given.")
    if status.problem:
        print(status.problem)
    days = f", of {told['first_day']} to {told['last_day']} (UTC)" if national.cases else ""
    print(f"Cases ({status.kind}): {len(national.cases)}{days}. SHA-256 {status.digest[:12]}….")
    for title, entries in (("Not used", national.rejected), ("Used, but doubtful", national.doubtful)):
        for each in entries[:_SHOWN]:
            print(f"{title}: {each.where}: {each.why}")
        if len(entries) > _SHOWN:
            print(f"{title}: {len(entries) - _SHOWN} more; --json lists them.")


def _days(national: "NationalList") -> tuple[str | None, str | None]:
    """First and last UTC day with ids of a case, as ISO dates."""
    from datetime import UTC, datetime

    if not national.cases:
        return None, None
    ends_s = min(case.time_start for case in national.cases), max(case.time_end for case in national.cases)
    first, last = (str(datetime.fromtimestamp(end_s, UTC).date()) for end_s in ends_s)
    return first, last


def _entry(remark: "Rejection") -> dict[str, str]:
    return {"where": remark.where, "why": remark.why}
