"""What the tests of the pages share: people, tokens and results to look at."""

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import cache
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from PIL import Image

from host_tools.authority.release import code_for
from host_tools.fleet.alerts import make_in
from host_tools.fleet.office import Office
from host_tools.fleet.people import Unit
from host_tools.fleet.periods import periods
from host_tools.kiosk.contracts import WearerResult
from host_tools.kiosk.release_desk import ReleaseDesk
from host_tools.link.errors import LinkLost, SessionRefused
from host_tools.link.session import TokenInfo
from host_tools.link.synchronise import SyncResult
from host_tools.matching.explanation import ListVersion
from host_tools.matching.list_source import ListStatus
from host_tools.matching.national_list import NationalList
from host_tools.matching.risk import DayExposure
from host_tools.matching.rules import load_rules
from host_tools.matching.verdict import Verdict, vietnam_day
from host_tools.provisioning.token_keys import AuthorityRoot
from host_tools.storage.store import Encounter
from host_tools.web.around import Around
from host_tools.web.cases import CaseList
from host_tools.web.pages import Pages
from host_tools.web.screen import LiveScreen
from host_tools.web.site import Site
from tracing.kiosk_messages import ERROR_CODE
from tracing.records import FLAG_CLOCK_SET, KIND_ENCOUNTER, RECORD_BYTES, pack_record
from tracing.wire import short_code

NOON_S = 1_597_035_600  # 2020-08-10 05:00 UTC, noon in Viet Nam
DAY_S = 86400
PASSWORD = "một mật khẩu dài"
ROLES = ("admin", "clerk", "officer", "viewer")
AUTHORITY = AuthorityRoot(bytes(range(32)))
CHALLENGE = bytes.fromhex("E0E1E2E3E4")
UNITS = (
    Unit("Sở Y tế", "Hải Châu", "health"),
    Unit("UBND phường An Khê", "Thanh Khê", "government"),
    Unit("Trường THPT Phan Châu Trinh", "Hải Châu", "school"),
)


class NoCases:
    """A source with an empty list."""

    def load(self, now_s: float) -> tuple[NationalList, ListStatus]:
        return NationalList([], []), replace(list_status(), published_s=int(now_s) - 3600)


def list_status(digest: str = "5f" * 32, problem: str | None = None) -> ListStatus:
    """Of a signed list, an hour old."""
    return ListStatus("F0", digest, 7, NOON_S - 3600, NOON_S, 3600, True, problem)


def serial(number: int) -> bytes:
    return (number * 0x9E3779B97F4A7C15 % (1 << 64)).to_bytes(8, "big")


CODES = [short_code(serial(number)) for number in range(40)]


def populate(office: Office, tokens: int = 24) -> None:
    for role in ROLES:
        office.accounts.add("test", role, role, PASSWORD)
    for number in range(tokens):
        token = serial(number)
        office.ledger.register("test", token)
        if number % 6:
            unit = UNITS[number % len(UNITS)]
            person = office.people.enter("test", f"NV{number:03}", f"Nguyễn Thị {number}", unit, "0905 000 000")
            office.ledger.assign("test", token, person)
        if number % 4 == 1:
            told = {"firmware": (1, 2, 3), "battery_mv": 2950, "boot": 4, "next_seq": 17, "damaged": 0, "dropped": 0}
            office.store.note_sync(token, SimpleNamespace(**told), NOON_S - number * 3600)
    office.ledger.lose("test", serial(23))
    with office.database.writing() as connection:
        (period,) = periods(connection, serial(5))
        make_in(connection, period, [vietnam_day(NOON_S - DAY_S)], NOON_S)


def site_over(office: Office) -> Site:
    """The pages of an office without a kiosk: with an empty list, and nobody before the screen."""
    rules = load_rules()
    screen = LiveScreen(rules, Around(lambda: 0.0))
    releases = ReleaseDesk(office, screen, lambda: NOON_S)
    return Site(office, screen, CaseList(NoCases(), lambda: NOON_S), Pages(), rules, releases)


async def any_time(_now_s: float) -> None:
    """A check of the clock that it always passes."""


def record(start_s: int) -> bytes:
    """An encounter as it lies in a token's flash."""
    buf = bytearray(RECORD_BYTES)
    pack_record(buf, KIND_ENCOUNTER | FLAG_CLOCK_SET, 3, start_s, 880, 20, 40, -50, -55, b"twelve bytes")
    return bytes(buf)


@cache
def shown_in_documents() -> frozenset[str]:
    """Names of the pictures of the kiosk that a document shows."""
    documents = [path.read_text(encoding="utf-8") for path in (Path(__file__).parents[2] / "docs").rglob("*.md")]
    return frozenset(re.findall(r"img/kiosk/([\w-]+\.png)", "\n".join(documents)))


def keep(shot: bytes, path: Path) -> None:
    """Write a screenshot that a document shows, with as many colours as it needs."""
    if path.name not in shown_in_documents():
        return
    Image.open(BytesIO(shot)).convert("RGB").quantize(64, dither=Image.Dither.NONE).save(path, optimize=True)


def result(number: int, exposed: bool = False, days: int = 9, battery_mv: int = 2950) -> WearerResult:
    """What the kiosk would have found on a token."""
    info = TokenInfo(
        serial(number), (1, 2, 3), True, True, battery_mv, 4, NOON_S, 1000, 0, 900, 900, NOON_S - DAY_S, 40_000, 0, 0,
        30_000, 145,
    )  # fmt: skip
    encounters = [
        Encounter(bytes([day, index]) * 6, NOON_S - day * DAY_S - index * 600, 880, 20, 40, -50, dbm, False)
        for day in range(days)
        for index, dbm in enumerate([-60] * (1 + day * 5 % 7) + [-85] * (4 + day * 11 % 17))
    ]
    today = vietnam_day(NOON_S)
    rule = load_rules().on(today)
    found = (DayExposure(today - timedelta(days=2), 0, 88, 0, 38, 88, 0.91, rule),) if exposed else ()
    verdict = Verdict("exposed" if exposed else "safe", found, (), rule)
    version = ListVersion.of(list_status())
    return WearerResult(info, SyncResult(info, 0, 17, 900), encounters, verdict, NOON_S, version)


class ReleasingToken:
    """The session of a token that comes for a release, with a log of three encounters; there is no radio.

    Attributes:
        lost: the link has ended.
        served: what was asked of it.
    """

    usable = True
    damaged = 0
    next_seq = 3

    def __init__(self, number: int) -> None:
        self.serial = serial(number)
        self.lost = False
        self.served: list[str] = []

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Any]:
        if self.lost:
            raise LinkLost
        yield self

    async def hello(self) -> None:
        self.served.append("hello")

    async def info(self) -> TokenInfo:
        if self.lost:
            raise LinkLost
        return TokenInfo(
            self.serial, (1, 2, 3), True, True, 2950, 4, NOON_S, 1000, 0, 3, 0, 0, 40_000, 0, 0, 30_000, 145
        )

    async def set_time(self, _unix_s: float) -> int:
        return 0

    async def pull(self, first_seq: int, report: Any, _batch: int) -> AsyncIterator[list[tuple[int, bytes]]]:
        report(self.next_seq)
        records = [(seq, record(NOON_S + 900 * seq)) for seq in range(first_seq, self.next_seq)]
        if records:
            yield records

    async def acknowledge(self, seq: int) -> int:
        return seq

    async def challenge(self) -> bytes:
        self.served.append("challenge")
        return CHALLENGE

    async def release(self, code: str) -> tuple[int, bytes]:
        self.served.append("release")
        if code != code_for(AUTHORITY, self.serial, CHALLENGE):
            raise SessionRefused(ERROR_CODE)
        return 18_480, bytes(range(64))

    async def bye(self) -> None:
        self.served.append("bye")
