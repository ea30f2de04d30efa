"""`bluezone confirm` and `bluezone f2`: what two logs say together, for the clerk and the health authority."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools.answers import Json
from host_tools.errors import UserError
from host_tools.matching.list_options import RuleSet
from tracing.keys import DAY_S

if TYPE_CHECKING:
    from host_tools.matching.second_degree import Together
    from host_tools.matching.trace_log import Sighting
    from host_tools.matching.two_sided import Finding
    from host_tools.storage.store import Encounter, Store, Token


_WORDS = {
    "confirmed": "confirmed by the other log",
    "one_sided": "ONE-SIDED: the other log lacks it; a relay or replay is suspected",
    "unjudged": "not judged: too short, too weak, or outside the other log",
}


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command("confirm")(confirm)
    app.command("f2")(f2)


def confirm(
    log: Annotated[Path | None, typer.Option(help="A phone's contact log (data_trace.txt).")] = None,
    other_log: Annotated[Path | None, typer.Option(help="That of the phone that it met.")] = None,
    database: Annotated[Path | None, typer.Option(help="A kiosk's database, for two tokens.")] = None,
    token: Annotated[str, typer.Option(help="Short code of the token that was near the case.")] = "",
    owner: Annotated[str, typer.Option(help="Short code of the case's own token.")] = "",
    cases: Annotated[Path | None, typer.Option(help="The national list (JSON), for two tokens.")] = None,
    case: Annotated[int, typer.Option(help="Place of the owner's entry in the list's data, from 0.")] = 0,
    released: Annotated[
        Path | None,
        typer.Option(help="With --token: infof.json of a release of that token. Its ids are then known, not guessed."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Look whether the other log confirms a contact, of two phones' logs or of two tokens in a database.

    Two tokens' logs do not say which ids were the wearer's, so one replay in three is missed. With --released none is.
    """
    if log and other_log and not released:
        found = _confirm_phones(log, other_log)
    elif database and token and owner and cases:
        found = _confirm_tokens(database, token, owner, cases, case, released)
    else:
        raise UserError(
            "Two logs are needed: --log and --other-log, or --database with --token, --owner and --cases. Nothing was "
            "compared."
        )
    rows = [_finding_json(each) for each in found]
    if as_json:
        print(json.dumps({"contacts": rows}))
        return
    for row in rows:
        print(f"{row['day']}, {row['minutes']} min, {row['rssi_mean_dbm']} dBm: {_WORDS[str(row['judged'])]}")
    if not rows:
        print("The first log has nothing of the other one's owner.")


def f2(
    database: Annotated[Path, typer.Option(help="The kiosk's database.")],
    token: Annotated[str, typer.Option(help="Short code of the F1's token.")],
    since: Annotated[
        datetime, typer.Option(help="Day in Viet Nam on which the F1 met the case.", formats=["%Y-%m-%d"])
    ],
    rules: RuleSet = None,
    as_json: Json = False,
) -> None:
    """List the tokens that were probably near an F1's, from the logs alone. Evidence for asking, not a verdict."""
    from host_tools.matching.rules import load_rules
    from host_tools.matching.second_degree import second_degree
    from host_tools.storage.store import Store

    judged_by = load_rules(rules)
    with Store(_existing(database)) as store:
        f1 = _token(store, token)
        codes = {each.serial: each.short_code for each in store.tokens() if each.serial != f1.serial}
        logs = {serial: store.encounters(serial) for serial in codes}
        found = second_degree(store.encounters(f1.serial), since.date(), logs, judged_by)
    probable = {codes[serial]: days for serial, days in found.items()}
    if as_json:
        print(json.dumps(second_degree_json(f1.short_code, since.date(), len(logs), probable)))
        return
    for code, days in probable.items():
        print(f"{code}: " + ", ".join(f"{each.minutes} min on {each.day:%d/%m/%Y}" for each in days))
    print(
        f"{len(probable)} of {len(logs)} tokens were probably near {f1.short_code} for as long as the rule says. Ask "
        "the wearers: it is evidence, not a verdict."
    )


def second_degree_json(
    token: str, since: date, compared: int, probable: "Mapping[str, Sequence[Together]]"
) -> dict[str, object]:
    """The answer of `bluezone f2` for machines.

    Args:
        compared: how many logs; probable: by short code, the days.
    """
    rows = [
        {"short_code": code, "days": [{"day": str(each.day), "minutes": each.minutes} for each in days]}
        for code, days in probable.items()
    ]
    return {"token": token, "since": str(since), "compared": compared, "probable": rows}


def _confirm_phones(log: Path, other_log: Path) -> "list[Finding]":
    from host_tools.matching import trace_log
    from host_tools.matching.two_sided import check

    here, there = trace_log.load_usable(log).sightings, trace_log.load_usable(other_log).sightings
    owners_ids = {sighting.own_id for sighting in there}
    own_ids = {sighting.own_id for sighting in here}
    mine, others = _encounters(here), _encounters(there)
    return check([each for each in mine if each.bluezone_id in owners_ids], mine, others, own_ids=own_ids)


def _confirm_tokens(
    database: Path, token: str, owner: str, cases: Path, case: int, released: Path | None
) -> "list[Finding]":
    from host_tools.matching import national_list, released_key
    from host_tools.matching.case_index import CaseIndex
    from host_tools.matching.exposures import days_of_encounters, match_encounters
    from host_tools.matching.two_sided import check
    from host_tools.storage.store import Store

    with Store(_existing(database)) as store:
        owners = _token(store, owner)
        log = store.encounters(_token(store, token).serial)
        other = store.encounters(owners.serial)
    listed = [entry for entry in national_list.load(cases).cases if entry.index == case]
    if not listed:
        raise UserError(f"The national list {cases} has no usable entry {case}. Nothing was compared; check --case.")
    index = CaseIndex(listed, days_of_encounters(log), {encounter.bluezone_id for encounter in log})
    matched = {exposure.bluezone_id for exposure in match_encounters(log, index)}
    heard = [each for each in log if each.bluezone_id in matched]
    oldest_s = min((encounter.start_s for encounter in other), default=0)
    own_ids = None
    if released:
        key = released_key.load(released)
        own_ids = key.ids_on(days_of_encounters(heard))
        oldest_s = max(oldest_s, key.day * DAY_S)  # what the token sent before is not known
    return check(heard, log, other, (oldest_s, owners.last_sync_s or 0), own_ids)


def _encounters(sightings: "Iterable[Sighting]") -> "list[Encounter]":
    """A phone's sightings, put together by id as a token would."""
    from host_tools.storage.store import Encounter

    by_id: dict[bytes, list[Sighting]] = {}
    for sighting in sightings:
        by_id.setdefault(sighting.peer_id, []).append(sighting)
    found = []
    for ident, group in by_id.items():
        times_s = sorted(sighting.time_ms // 1000 for sighting in group)
        rssis_dbm = [sighting.rssi_dbm for sighting in group]
        mean_dbm = round(sum(rssis_dbm) / len(rssis_dbm))
        lasts_s = times_s[-1] - times_s[0]
        found.append(Encounter(ident, times_s[0], lasts_s, 1, len(group), max(rssis_dbm), mean_dbm, False))
    return found


def _existing(database: Path) -> Path:
    if not database.exists():  # a store would make a new one
        raise UserError(f"There is no database at {database}. Nothing was compared; check the path.")
    return database


def _token(store: "Store", code: str) -> "Token":
    found = [token for token in store.tokens() if token.short_code == code.upper()]
    if len(found) != 1:
        many = "two tokens have" if found else "no token in the database has"
        raise UserError(f"{code!r}: {many} this short code. Nothing was compared; check the label.")
    return found[0]


def _finding_json(finding: "Finding") -> dict[str, object]:
    from host_tools.matching.risk import to_minutes
    from host_tools.matching.verdict import vietnam_day

    start_s, end_s = finding.span
    return {
        "day": str(vietnam_day(start_s)),
        "minutes": to_minutes(end_s - start_s),
        "rssi_mean_dbm": round(finding.rssi_mean_dbm),
        "judged": finding.judged,
        "certain": finding.certain,
    }
