"""`make bench-fleet`: how long the clerk's questions take with 10,000 tokens, on SQLite in a temporary folder."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tracing.wire import short_code

from .office import Office
from .people import Unit

TOKENS = 10_000
LIMIT_MS = 200
_TIMES = 15
_ACTOR = "bench"


def serial(number: int) -> bytes:
    """Serials whose short codes are spread as those of real tokens are."""
    return bytes.fromhex(f"{number * 2654435761 % (1 << 32):08x}{number:08x}")


def fill(office: Office) -> float:
    """Import a staff list with a token each; returns how long it took, in s."""
    with office.database.writing() as connection:
        for number in range(TOKENS):
            office.ledger.register_in(connection, _ACTOR, serial(number))
    lines = ["staff_number,name,agency,district,token"]
    lines += [
        f"NV{number:05},Nguyễn Văn {number},Sở {number % 60},Quận {number % 8},{serial(number).hex()}"
        for number in range(TOKENS)
    ]
    begun = time.perf_counter()
    office.staff_csv.bring_in(_ACTOR, "\n".join(lines).encode())
    return time.perf_counter() - begun


def questions(office: Office) -> dict[str, Callable[[], object]]:
    """What a clerk asks."""
    unit = office.people.add_unit(_ACTOR, Unit("Sở 7", "Quận 7"))
    page = office.listing.page
    return {
        "first page of 50": lambda: page(_ACTOR),
        "last page of 50": lambda: page(_ACTOR, offset=TOKENS - 50),
        "search by short code": lambda: page(_ACTOR, short_code(serial(4711))),
        "search by staff number": lambda: page(_ACTOR, "NV04711"),
        "tokens of a unit": lambda: page(_ACTOR, unit_id=unit),
        "tokens in a state": lambda: page(_ACTOR, state="lost"),
        "shares of all units": office.listing.shares,
        "a token's history": lambda: office.listing.history(_ACTOR, serial(4711)),
        "alerts waiting": office.alerts.open_ones,
        "newest of the audit": office.audit.rows,
    }


def main() -> int:
    """Prints a table; returns 1 when an answer takes longer than LIMIT_MS."""
    slow = 0
    with tempfile.TemporaryDirectory() as folder, Office(Path(folder) / "kiosk.sqlite") as office:
        print(f"import of {TOKENS} persons with tokens: {fill(office):.1f} s")
        for name, ask in questions(office).items():
            times_ms = []
            for _ in range(_TIMES):
                begun = time.perf_counter()
                ask()
                times_ms.append(1000 * (time.perf_counter() - begun))
            print(f"{name:<24} median {statistics.median(times_ms):6.1f} ms, longest {max(times_ms):6.1f} ms")
            slow += statistics.median(times_ms) > LIMIT_MS
    return int(slow > 0)


if __name__ == "__main__":
    raise SystemExit(main())
