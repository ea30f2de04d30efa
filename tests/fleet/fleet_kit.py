"""What the fleet's tests share: a clock, tokens, encounters and lists that meet them."""

from types import SimpleNamespace

from host_tools.fleet.office import Office
from host_tools.fleet.people import Unit
from host_tools.matching.national_list import Case, NationalList
from tracing import keys
from tracing.records import FLAG_CLOCK_SET, KIND_ENCOUNTER, RECORD_BYTES, pack_record

NOON_S = 1_596_888_000  # 2020-08-08 12:00 UTC, 19:00 in Viet Nam
DAY_S = 86400
CLERK = "hà"
CASE_KEY = bytes(range(32))


class Hands:
    """A clock that moves when told."""

    def __init__(self, at_s: int) -> None:
        self.at_s = at_s

    def now(self) -> int:
        return self.at_s


def serial(number: int) -> bytes:
    return number.to_bytes(8, "big")[::-1]


def record(start_s: int, ident: bytes = b"twelve bytes", clock_set: bool = True, duration_s: int = 880) -> bytes:
    buf = bytearray(RECORD_BYTES)
    flags = KIND_ENCOUNTER | (FLAG_CLOCK_SET if clock_set else 0)
    pack_record(buf, flags, 3, start_s, duration_s, 20, 40, -50, -55, ident)
    return bytes(buf)


def case_id(at_s: int, key: bytes = CASE_KEY) -> bytes:
    """The id that the case had on the air at a time; its key belongs to the day of NOON_S."""
    days = keys.day_of(at_s) - keys.day_of(NOON_S)
    ids = list(keys.day_ids(keys.daily_key_after(key, days)))
    return ids[at_s % keys.DAY_S // keys.SLOT_S]


def meeting(at_s: int, minutes: int, key: bytes = CASE_KEY) -> list[bytes]:
    """Records of some time close to the case, from the beginning of a slot on."""
    begin_s = at_s - at_s % keys.SLOT_S
    return [
        record(slot_s + 5, case_id(slot_s, key), duration_s=min(880, begin_s + minutes * 60 - slot_s - 5))
        for slot_s in range(begin_s, begin_s + minutes * 60, keys.SLOT_S)
    ]


def list_of(*cases: bytes, days: int = 14) -> NationalList:
    begin_s = NOON_S - NOON_S % DAY_S
    return NationalList([Case(i, key, begin_s, begin_s + days * DAY_S, 96) for i, key in enumerate(cases)], [])


def store(office: Office, token: bytes, records: list[bytes]) -> None:
    first = office.store.next_seq(token)
    office.store.store_records(token, list(enumerate(records, first)), office.now())


def synced(office: Office, token: bytes) -> None:
    told = {"firmware": (1, 2, 3), "battery_mv": 2950, "boot": 4, "next_seq": 17, "damaged": 0, "dropped": 0}
    office.store.note_sync(token, SimpleNamespace(**told), office.now())


def wearer(office: Office, number: int, unit: Unit | None = None, address: str = "") -> tuple[bytes, int]:
    """A token with a person, both made from a number."""
    office.ledger.register(CLERK, serial(number))
    person = office.people.enter(CLERK, f"NV{number}", f"Nguyễn Văn {number}", unit, address)
    office.ledger.assign(CLERK, serial(number), person)
    return serial(number), person
