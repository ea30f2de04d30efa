"""`make bench-matching`: this product, DuckDB, polars and plain hashlib beside each other, on the same made-up data.

Every engine must find the same hits, or the benchmark fails. Times depend on the machine and on what else it does; the
limits of the project stand beside them and do not decide.
"""

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path("build/bench-matching")


@dataclass(frozen=True, slots=True)
class Sizes:
    """(cases, encounters) of each part; 14 days, 1344 ids a case."""

    expand: int
    kiosk: tuple[tuple[int, int], tuple[int, int]]
    organisation: tuple[int, int]
    nation: tuple[int, int]


FULL = Sizes(50_000, ((10_000, 20_000), (100_000, 20_000)), (100_000, 20_000_000), (10_000, 2_000_000))
QUICK = Sizes(2_000, ((1_000, 20_000), (2_000, 20_000)), (2_000, 1_000_000), (500, 100_000))

KIOSK_LIMITS_MS = (50, 60)
BUILD_LIMITS_S = (1, 10)


class Steps:
    """Runs steps, and remembers what each found."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._found: dict[tuple[int, int], dict[str, tuple[int, str]]] = defaultdict(dict)

    def run(self, step: str, cases: int, encounters: int = 0) -> dict[str, Any]:
        """Run a step in a process of its own; its answer."""
        print(f"… {step}, {cases} cases, {encounters} encounters", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "host_tools.matching.bench_steps", step, str(self._folder)]
        process = subprocess.run([*command, str(cases), str(encounters)], stdout=subprocess.PIPE, check=True, text=True)
        answer = json.loads(process.stdout.splitlines()[-1])
        if "digest" in answer:
            self._found[cases, encounters][step] = (answer["hits"], answer["digest"])
        return answer

    def differences(self) -> list[str]:
        """One line for each input on which two steps disagree."""
        return [
            f"{cases} cases, {encounters} encounters: "
            + ", ".join(f"{step} {hits}" for step, (hits, _) in found.items())
            for (cases, encounters), found in self._found.items()
            if len(set(found.values())) > 1
        ]


def table(columns: str, rows: list[list[str]]) -> None:
    """Print a table in Markdown."""
    print(f"\n| {columns} |\n|{'---|' * (columns.count('|') + 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.stdout.flush()


def expansion(steps: Steps, sizes: Sizes) -> None:
    """Ids per second."""
    found = steps.run("expand", sizes.expand)
    rows = []
    for name, speed in found.items():
        limit = speed["limit_per_s"]
        ratio = [f"{limit / 1e6:.1f}", f"{speed['per_s'] / limit:.2f}"] if limit else ["", ""]
        rows.append([name, f"{speed['per_s'] / 1e6:.2f}", *ratio])
    table("expansion, one core | M ids/s | the same rounds alone, M/s | ratio (limit 0.80 for sha)", rows)


def kiosk(steps: Steps, sizes: Sizes) -> None:
    """One log against a list."""
    for place, (cases, encounters) in enumerate(sizes.kiosk):
        built = steps.run("build", cases)
        found = {"slot index, hot": steps.run("lookup", cases, encounters)}
        for step in ("duckdb", "polars", *(["plain_hashlib"] if place == 0 else [])):
            found[step.replace("_", " ")] = steps.run(step, cases, encounters)
        print(
            f"\nSlot index of {built['ids'] / 1e6:.1f} M ids: built in {built['wall_s']:.2f} s "
            f"({built['cpu_s']:.2f} CPU-s, limit {BUILD_LIMITS_S[place]} s), "
            f"{built['bytes_per_id']:.3f} bytes per id (limit 8.1), "
            f"peak {built['peak_gib']:.2f} GiB."
        )
        rows = [
            [name, f"{one['wall_s'] * 1000:.0f}", f"{one['cpu_s'] * 1000:.0f}", f"{one['peak_gib']:.2f}"]
            for name, one in found.items()
        ]
        title = f"{encounters} encounters, {cases} cases: {found['slot index, hot']['hits']} hits"
        table(f"{title} | ms (limit {KIOSK_LIMITS_MS[place]}) | CPU-ms | peak GiB", rows)


def organisation(steps: Steps, sizes: Sizes) -> None:
    """Everything stored against a list."""
    cases, encounters = sizes.organisation
    built = steps.run("build", cases)
    ingested = steps.run("ingest", cases, encounters)
    matched = steps.run("stored", cases, encounters)
    again = steps.run("stored_again", cases, encounters)
    rivals = {step: steps.run(step, cases, encounters) for step in ("duckdb", "polars")}
    both = {
        "wall_s": built["wall_s"] + matched["wall_s"],
        "cpu_s": built["cpu_s"] + matched["cpu_s"],
        "peak_gib": max(built["peak_gib"], matched["peak_gib"]),
    }
    found = {
        "ingest (sorting), once": ingested,
        "match": matched,
        "build of the index and match": both,
        "1 % new cases: index, match, all results": again,
        **rivals,
    }
    rows = [
        [name, f"{one['wall_s']:.2f}", f"{one['cpu_s']:.2f}", f"{one['peak_gib']:.2f}"] for name, one in found.items()
    ]
    title = f"{encounters / 1e6:g} M encounters, {cases} cases: {matched['hits']} hits"
    table(f"{title} | s | CPU-s (limit 8 for match) | peak GiB (limit 2)", rows)


def nation(steps: Steps, sizes: Sizes) -> None:
    """Cases and encounters grow together."""
    rows, first_cpu_s = [], 0.0
    for times in (1, 2, 4, 8):
        cases, encounters = (times * size for size in sizes.nation)
        steps.run("ingest", cases, encounters)
        alone = steps.run("tasks_alone", cases, encounters)
        cluster = steps.run("cluster", cases, encounters)
        first_cpu_s = first_cpu_s or alone["cpu_s"]
        rows.append(
            [
                f"{cases} cases, {encounters / 1e6:g} M encounters",
                str(alone["tasks"]),
                f"{alone['cpu_s']:.2f}",
                f"{alone['cpu_s'] / first_cpu_s:.2f}",
                f"{alone['peak_gib']:.2f}",
                f"{cluster['wall_s']:.1f}",
            ]
        )
    table(
        "tasks by day and chunk | tasks | CPU-s | ratio to the first | peak GiB of a worker | "
        "s on a local cluster, its start included",
        rows,
    )


def main() -> int:
    """Run all; 1 when two engines differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes: minutes become seconds")
    parser.add_argument("--only", choices=["expansion", "kiosk", "organisation", "nation"], help="one part")
    options = parser.parse_args()
    folder = FOLDER / ("quick" if options.quick else "full")
    folder.mkdir(parents=True, exist_ok=True)
    steps, sizes = Steps(folder), QUICK if options.quick else FULL
    for part in (expansion, kiosk, organisation, nation):
        if options.only in (None, part.__name__):
            part(steps, sizes)
    differences = steps.differences()
    for line in differences:
        print(f"DIFFERENT RESULTS: {line}")
    if not differences:
        print("\nAll engines found the same hits.")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
