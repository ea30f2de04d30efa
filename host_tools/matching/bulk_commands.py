"""`bluezone ingest`, `match-stored` and `match-nation`: matching for an organisation and for a nation."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from host_tools.answers import Json
from host_tools.errors import UserError
from host_tools.matching.exposures import TOLERANCE_S
from host_tools.matching.list_options import NO_LIST_OPTIONS, Cases, Kind, ListOptions, Tolerance, with_list_options

Scheduler = Annotated[str | None, typer.Option(help="A Dask scheduler, tcp://…; without it, workers on this machine.")]


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command()(ingest)
    app.command("match-stored")(with_list_options(match_stored))
    app.command("match-nation")(with_list_options(match_nation))


def ingest(
    source: Annotated[Path, typer.Option(help="A kiosk's database, or a parquet file of encounters.")],
    archive: Annotated[Path, typer.Option(help="The folder of stored encounters.")] = Path("encounters"),
    as_json: Json = False,
) -> None:
    """Bring encounters into an archive, sorted for matching; a source that comes again replaces what it brought."""
    from host_tools.matching import encounter_files

    path, rows = encounter_files.ingest(source, archive)
    if as_json:
        print(json.dumps({"file": str(path), "encounters": rows}))
    else:
        print(f"{rows} encounters of {source} are in {path}.")


def match_stored(
    cases: Cases,
    archive: Annotated[Path, typer.Option(help="The folder that `ingest` filled.")] = Path("encounters"),
    index: Annotated[Path, typer.Option(help="The folder of the slot index.")] = Path("index"),
    out: Annotated[Path, typer.Option(help="The exposures, as a parquet file.")] = Path("exposures.parquet"),
    tolerance: Tolerance = TOLERANCE_S,
    listed: ListOptions = NO_LIST_OPTIONS,
    kind: Kind = "F0",
    as_json: Json = False,
) -> None:
    """Match every stored encounter with the national list; what both had in common before is not matched again."""
    from host_tools.matching import encounter_files, organisation, slot_index

    national, status = listed.source(cases, kind).load(time.time())
    outcome = organisation.match_stored(archive, slot_index.updated(index, national.cases), tolerance)
    with _writing(out):
        encounter_files.write_table(out, outcome.exposures)
    answer = {
        "list": status.as_dict(),
        "encounters": outcome.encounters,
        "cases": len(national.cases),
        "exposures": len(outcome.exposures),
        "tokens": len(outcome.exposures["serial"].unique()),
        "matched": outcome.matched,
        "kept": outcome.kept,
        "rejected": [{"where": rejection.where, "why": rejection.why} for rejection in national.rejected],
        "out": str(out),
    }
    if as_json:
        print(json.dumps(answer))
    else:
        print(status.problem or f"{status.words()}.")
        print(
            f"{answer['exposures']} exposures of {answer['tokens']} tokens in {outcome.encounters} encounters are in "
            f"{out}; {answer['cases']} cases of the list ({len(national.rejected)} parts of it not used)."
        )


def match_nation(
    cases: Annotated[str, typer.Option(help="The national list as for `match`, or its cases as parquet.")],
    encounters: Annotated[Path, typer.Option(help="A parquet file of encounters, or a folder of them.")],
    out: Annotated[Path, typer.Option(help="The folder for the exposures.")] = Path("exposures"),
    scheduler: Scheduler = None,
    tolerance: Tolerance = TOLERANCE_S,
    listed: ListOptions = NO_LIST_OPTIONS,
    kind: Kind = "F0",
    as_json: Json = False,
) -> None:
    """Match on a cluster, day by day and chunk by chunk, from parquet to parquet."""
    from host_tools.matching import nation

    status = None
    if cases.endswith(".parquet"):
        place = Path(cases)
        if listed.list_key:
            raise UserError("Cases in parquet have no signature. Nothing was matched; name the signed list itself.")
        if not place.is_file():
            raise UserError(f"There are no cases at {place}. Nothing was matched; check the path.")
    else:
        national, status = listed.source(cases, kind).load(time.time())
        place = out / "cases" / "cases.parquet"
        with _writing(out):
            place.parent.mkdir(parents=True, exist_ok=True)
            nation.write_cases(place, national.cases)
    with _writing(out), _bar(as_json) as progress:
        answer = nation.match_nation(place, encounters, out, scheduler, tolerance, progress=progress)
    if as_json:
        print(json.dumps({"list": status.as_dict() if status else None, **answer, "out": str(out)}))
        return
    if status:
        print(status.problem or f"{status.words()}.")
    print(f"{answer['exposures']} exposures, by {answer['tasks']} tasks, are in {out}.")


@contextlib.contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"The exposures cannot be written to {out}: {error}. What had been matched before is kept; make room or "
            "name another place with --out."
        ) from None


@contextlib.contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, quiet=quiet), transient=True) as bar:
        line = bar.add_task("Matching")
        yield lambda done, total: bar.update(line, completed=done, total=total)
