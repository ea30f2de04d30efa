"""`bluezone match`, `bluezone ids`, and the commands of evidence_commands.py."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools.answers import Json
from host_tools.errors import UserError
from host_tools.matching import bulk_commands, evidence_commands
from host_tools.matching.bulk_commands import Scheduler
from host_tools.matching.list_options import NO_LIST_OPTIONS, Cases, Kind, ListOptions, RuleSet, with_list_options

if TYPE_CHECKING:
    from host_tools.matching.exposures import Exposure
    from host_tools.matching.inputs import Rejection

_MAX_DAYS = 366
_SHOWN = 20  # rejections that a person reads


def register(app: typer.Typer) -> None:
    """Add the subcommands of matching."""
    app.command("match")(with_list_options(match))
    app.command("ids")(ids)
    evidence_commands.register(app)


def match(
    cases: Cases,
    log: Annotated[
        Path | None, typer.Option(help="A contact log in Bluezone's export format (data_trace.txt).")
    ] = None,
    peer_view: Annotated[
        bool, typer.Option("--peer-view", help="Exchange the log's two ids: the view of the phones it met.")
    ] = False,
    listed: ListOptions = NO_LIST_OPTIONS,
    kind: Kind = "F0",
    rules: RuleSet = None,
    encounters: Annotated[
        Path | None, typer.Option(help="In place of a log: stored encounters, by a cluster, as `match-nation` does it.")
    ] = None,
    scheduler: Scheduler = None,
    out: Annotated[Path, typer.Option(help="With --encounters: the folder for the exposures.")] = Path("exposures"),
    as_json: Json = False,
) -> None:
    """Look for cases of the national list in a phone's contact log, and explain the verdict.

    With --encounters, and for a cluster with --scheduler, it is `match-nation`. `match-stored` does an organisation's
    archive on one machine.
    """
    import time

    from host_tools.matching import trace_log
    from host_tools.matching.explanation import ListVersion, explain, explanation_json
    from host_tools.matching.exposures import match_sightings
    from host_tools.matching.log_search import index_for_sightings
    from host_tools.matching.rules import load_rules
    from host_tools.matching.verdict import infectious_periods, judge

    if encounters is not None and not (log or peer_view or rules):
        bulk_commands.match_nation(cases, encounters, out, scheduler, listed=listed, kind=kind, as_json=as_json)
        return
    if log is None or encounters or scheduler:
        raise UserError(
            "Name a phone's log with --log, or stored encounters with --encounters and, for a cluster, --scheduler. "
            "Nothing was matched: --log, --peer-view and --rules go with the first, --scheduler with the second."
        )
    judged_by = load_rules(rules)
    national, status = listed.source(cases, kind).load(time.time())
    version = ListVersion.of(status)
    trace = trace_log.load_usable(log, peer_view)
    index = index_for_sightings(national.cases, trace.sightings)
    matches = match_sightings(trace.sightings, index)
    verdict = judge(matches, judged_by, judged_by.phone_scan_period_s, infectious_periods(national.cases, matches))
    rejected = national.rejected + trace.rejected
    if as_json:
        answer = {
            "list": status.as_dict(),
            "matches": [_match_json(m) for m in matches],
            **explanation_json(verdict, version),
            "rejected": [_json(r) for r in rejected],
            "doubtful": [_json(r) for r in national.doubtful],
        }
        print(json.dumps(answer))
        return
    print(status.problem or f"{status.words()}.")
    _print_remarks("Used, but contradicted by another entry", national.doubtful)
    _print_matches(matches, rejected, len(trace.sightings), len(national.cases))
    reasons = explain(verdict, version)
    print("\n" + "\n".join(reasons.vi) + "\n\n" + "\n".join(reasons.en))


def ids(
    base_id: Annotated[str, typer.Option(help="The key of the UTC day of --time: 64 hex digits.")],
    time: Annotated[int, typer.Option(help="Unix time in seconds.")],
    days: Annotated[int, typer.Option(help="How many UTC days.")] = 1,
    as_json: Json = False,
) -> None:
    """List the BluezoneIDs of a key: 96 a day, from the UTC day of --time on."""
    from host_tools.matching.national_list import TIME_LIMIT_S
    from tracing import keys

    try:
        key = bytes.fromhex(base_id)
    except ValueError:
        key = b""
    if len(key) != keys.KEY_BYTES or len(base_id) != 2 * keys.KEY_BYTES:
        raise UserError(f"--base-id must be 64 hex digits, not {len(base_id)} characters of {base_id[:16]!r}….")
    if not 0 <= time < TIME_LIMIT_S:
        raise UserError(f"--time must be Unix seconds from 0 to {TIME_LIMIT_S - 1}, not {time}.")
    if not 1 <= days <= _MAX_DAYS:
        raise UserError(f"--days must be from 1 to {_MAX_DAYS}, not {days}.")
    rows = []
    first_day = keys.day_of(time)
    for day in range(first_day, first_day + days):
        for i, bluezone_id in enumerate(keys.day_ids(key)):
            start_s = day * keys.DAY_S + i * keys.SLOT_S
            rows.append({"index": i, "start": start_s, "id": bluezone_id.hex().upper()})
        key = keys.next_daily_key(key)
    if as_json:
        print(json.dumps({"ids": rows}))
        return
    _print_table(
        "BluezoneIDs", ("Index", "From (Vietnam time)", "BluezoneID"),
        [(str(row["index"]), _local(row["start"]), row["id"]) for row in rows],
    )  # fmt: skip


def _match_json(match: "Exposure") -> dict[str, object]:
    return {
        "case": match.case,
        "bluezone_id": match.bluezone_id.hex().upper(),
        "slot_start": match.slot_start_s,
        "first": match.first_s,
        "last": match.last_s,
        "sightings": match.sightings,
        "rssi_max_dbm": match.rssi_max_dbm,
        "rssi_mean_dbm": match.rssi_mean_dbm,
    }


def _json(rejection: "Rejection") -> dict[str, str]:
    return {"where": rejection.where, "why": rejection.why}


def _print_matches(matches: "list[Exposure]", rejected: "list[Rejection]", sightings: int, cases: int) -> None:
    if matches:
        _print_table(
            "Matches (Vietnam time; RSSI: maximum, mean in dBm)",
            ("Case", "BluezoneID", "Heard", "Times", "RSSI"),
            [
                (
                    str(m.case),
                    m.bluezone_id.hex().upper(),
                    f"{_local(m.first_s)[:16]}-{_local(m.last_s)[11:16]}",
                    str(m.sightings),
                    f"{m.rssi_max_dbm}, {m.rssi_mean_dbm:.0f}",
                )
                for m in matches
            ],
        )
    _print_remarks("Not used", rejected)
    print(
        f"{_count(len(matches), 'match', 'matches')} with {_count(len({m.case for m in matches}), 'case')}:"
        f" compared {_count(sightings, 'sighting')} with {_count(cases, 'case')} of the list"
        f" ({_count(len(rejected), 'part')} of the input not used)."
    )


def _print_remarks(title: str, remarks: "list[Rejection]") -> None:
    if remarks:
        _print_table(title, ("Where", "Why"), [(r.where, r.why) for r in remarks[:_SHOWN]])
    if len(remarks) > _SHOWN:
        print(f"… and {len(remarks) - _SHOWN} more; --json lists them.")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _print_table(title: str, columns: "tuple[str, ...]", rows: "list[tuple[str, ...]]") -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE)
    for column in columns:
        table.add_column(column, no_wrap=column == "BluezoneID")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))  # Text: what stands in a file is not markup
    Console().print(table)


def _local(unix_s: int) -> str:
    from datetime import datetime

    from host_tools.matching.verdict import VIETNAM_TIME

    return datetime.fromtimestamp(unix_s, VIETNAM_TIME).strftime("%Y-%m-%d %H:%M:%S")
