"""`bluezone ingest`, `match-stored` and `match-nation`: matching for an organisation and for a nation."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from host_tools.matching.exposures import TOLERANCE_S

Json = Annotated[bool, typer.Option("--json", help="Answer in JSON, for programs.")]
Cases = Annotated[Path, typer.Option(help="The national list (JSON).")]
Tolerance = Annotated[int, typer.Option(min=0, max=86400, help="How far a token's clock may be off, in seconds.")]


def register(app: typer.Typer) -> None:
    """Add the subcommands."""
    app.command()(ingest)
    app.command("match-stored")(match_stored)
    app.command("match-nation")(match_nation)


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
    as_json: Json = False,
) -> None:
    """Match every stored encounter with the national list; what both had in common before is not matched again."""
    from host_tools.matching import encounter_files, national_list, organisation, slot_index

    listed = national_list.load(cases)
    outcome = organisation.match_stored(archive, slot_index.updated(index, listed.cases), tolerance)
    encounter_files.write_table(out, outcome.exposures)
    answer = {
        "encounters": outcome.encounters,
        "cases": len(listed.cases),
        "exposures": len(outcome.exposures),
        "tokens": len(outcome.exposures["serial"].unique()),
        "matched": outcome.matched,
        "kept": outcome.kept,
        "rejected": [{"where": rejection.where, "why": rejection.why} for rejection in listed.rejected],
        "out": str(out),
    }
    if as_json:
        print(json.dumps(answer))
    else:
        print(
            f"{answer['exposures']} exposures of {answer['tokens']} tokens in {outcome.encounters} encounters are in "
            f"{out}; {answer['cases']} cases of the list ({len(listed.rejected)} parts of it not used)."
        )


def match_nation(
    cases: Annotated[Path, typer.Option(help="The national list (JSON), or its cases as parquet.")],
    encounters: Annotated[Path, typer.Option(help="A parquet file of encounters, or a folder of them.")],
    out: Annotated[Path, typer.Option(help="The folder for the exposures.")] = Path("exposures"),
    scheduler: Annotated[str | None, typer.Option(help="A Dask scheduler, tcp://…; without it, this machine.")] = None,
    tolerance: Tolerance = TOLERANCE_S,
    as_json: Json = False,
) -> None:
    """Match on a cluster, day by day and chunk by chunk, from parquet to parquet."""
    from host_tools.matching import nation, national_list

    if cases.suffix != ".parquet":
        listed = national_list.load(cases)
        out.mkdir(parents=True, exist_ok=True)
        cases = out / "cases" / "cases.parquet"
        cases.parent.mkdir(exist_ok=True)
        nation.write_cases(cases, listed.cases)
    with _bar(as_json) as progress:
        answer = nation.match_nation(cases, encounters, out, scheduler, tolerance, progress=progress)
    if as_json:
        print(json.dumps({**answer, "out": str(out)}))
    else:
        print(f"{answer['exposures']} exposures, by {answer['tasks']} tasks, are in {out}.")


@contextlib.contextmanager
def _bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True, quiet=quiet)) as bar:
        line = bar.add_task("Matching")
        yield lambda done, total: bar.update(line, completed=done, total=total)
