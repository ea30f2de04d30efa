"""`bluezone fleet clock`: what speaks against this machine's clock, and that it is right all the same."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from .command_kit import DATABASE, Json, Key, Where, actor, existing, moment, say

if TYPE_CHECKING:
    from host_tools.fleet.clock_evidence import Evidence


def register(fleet: typer.Typer) -> None:
    """Add the command to the group."""
    fleet.command()(clock)


def clock(
    trust: Annotated[
        bool, typer.Option("--trust", help="This clock is right: times that it has not reached do not count any more.")
    ] = False,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> None:
    """What speaks against this machine's clock: times of syncs and of the list that lie ahead of it."""
    with existing(database, key_file) as office:
        found = office.clock.trust(actor()) if trust else office.clock.found()
    say(as_json, {**dataclasses.asdict(found), "trusted": trust and bool(found)}, _words(found, trust))


def _words(found: "Evidence", trusted: bool) -> str:
    lines = [f"This machine's clock says {moment(found.now_s)}, time of Viet Nam."]
    if found.syncs:
        lines.append(f"Tokens whose last sync lies ahead: {found.syncs}, the latest at {moment(found.latest_sync_s)}.")
        lines.append("The clock of a kiosk that read them was ahead, if this one is right.")
    if found.published_s:
        lines.append(f"The list in use was signed at {moment(found.published_s)}.")
        lines.append("The authority's clock was ahead, if this one is right: tell the authority.")
    if not found:
        lines.append("Nothing speaks against it. Nothing was changed.")
    elif trusted:
        lines.append("None of this counts any more. Kiosks go on by themselves.")
    else:
        lines.append("If this clock is wrong, set it. If it is right: `bluezone fleet clock --trust`.")
    return "\n".join(lines)
