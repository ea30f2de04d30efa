"""SPEC.md is true: every example is executed, in both directions where there is a reader, and none is missing.

Kinds of fenced blocks: `spec` (expression, arrow, result), `session` (a conversation with tracing.sync), `console` (a
command line and its answer), `json` and `text` with the name of a file or the command that prints it.
"""

import ast
import contextlib
import hashlib
import inspect
import itertools
import json
import re
import shlex
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from host_tools import cli
from host_tools.authority import demo_lists, release_bundle
from host_tools.authority.release_bundle import Release
from host_tools.authority.signing import PASSPHRASE_VARIABLE
from host_tools.fleet.calls import Call
from host_tools.fleet.office import Office
from host_tools.kiosk import release as kiosk_release
from host_tools.kiosk import serve
from host_tools.kiosk.contracts import WearerResult
from host_tools.link.session import TokenInfo
from host_tools.link.synchronise import SyncResult
from host_tools.matching import evidence_commands, nation, national_list, slot_index, trace_log
from host_tools.matching.case_index import case_slots
from host_tools.matching.day_result import by_day
from host_tools.matching.explanation import ListVersion, explain_kept
from host_tools.matching.list_source import ListSource
from host_tools.matching.list_statement import Statement, load_public_key, verified
from host_tools.matching.risk import DayExposure
from host_tools.matching.rules import load_rules
from host_tools.matching.second_degree import Together
from host_tools.matching.verdict import Verdict
from host_tools.provisioning import commands, key_file
from host_tools.provisioning.bench import Outcome
from host_tools.provisioning.command_kit import print_outcomes
from host_tools.provisioning.copying import Copy
from host_tools.provisioning.drive import Drive
from host_tools.provisioning.escrow import EscrowKeys, open_escrow, seal
from host_tools.provisioning.firmware_files import BuiltFile, boards
from host_tools.provisioning.flash import Report
from host_tools.provisioning.halves import Half
from host_tools.provisioning.identify import Named
from host_tools.provisioning.image import FlashImage
from host_tools.provisioning.labels import write_labels
from host_tools.provisioning.provision import Provisioned, Wiped
from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot
from host_tools.provisioning.update import Staged, UpdateReport
from host_tools.provisioning.upkeep import Verified
from host_tools.simulation import demo_view
from host_tools.simulation.demo import DemoResult
from host_tools.simulation.outcome import PairOutcome
from host_tools.storage.store import Store
from tracing import keys, kiosk_log, kiosk_messages, messages, phone_wire, records, sealing, segment, wire
from tracing.log import Log
from tracing.messages import Fragments
from tracing.state import State, StateStore
from tracing.sync import BUSY_FRAGMENT, SyncSession

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "SPEC.md").read_text(encoding="utf-8")
VECTORS = ROOT / "tests" / "vectors" / "bluezone-2020-08-08"

# --- Reading the document --------------------------------------------------------------------------------------


class Block(NamedTuple):
    line: int
    kind: str
    name: str
    text: str


class Example(NamedTuple):
    line: int
    expression: str
    expected: str


def blocks() -> list[Block]:
    found = []
    for match in re.finditer(r"^```(\w*) ?(.*)\n((?:.*\n)*?)```$", TEXT, re.MULTILINE):
        found.append(Block(TEXT.count("\n", 0, match.start()) + 1, *match.groups()))
    return found


def block(name: str) -> str:
    (text,) = (block.text for block in BLOCKS if block.name == name)
    return text


def without_remarks(text: str) -> str:
    return re.sub(r"  +#.*", "", text)


def examples() -> list[Example]:
    """The expressions and results of all `spec` blocks."""
    found = []
    for block in BLOCKS:
        if block.kind == "spec":
            pattern = r"((?:(?!→).*\n)+)→(.*\n(?: {2}.*\n)*)"
            text = without_remarks(block.text)
            pieces = re.findall(pattern, text)
            assert "".join(f"{expression}→{expected}" for expression, expected in pieces) == text, block
            found += [Example(block.line, expression.strip(), expected.strip()) for expression, expected in pieces]
    return found


BLOCKS = blocks()
EXAMPLES = examples()
SESSIONS = [block for block in BLOCKS if block.kind == "session"]
CONSOLES = [block for block in BLOCKS if block.kind == "console"]

# --- What the expressions may name -----------------------------------------------------------------------------


@dataclass
class Packed:
    """Bytes, and what a reader must find in them again."""

    data: bytes
    read: Callable[[bytes], Any]
    fields: Any
    kind: str


def h(digits: str) -> bytes:
    return bytes.fromhex(digits)


def message(name: str, kind: int) -> Callable[..., Packed]:
    # The names of the fields are the document's; their order is the layout's.
    def pack(**fields) -> Packed:
        values = tuple(field.data if isinstance(field, Packed) else field for field in fields.values())
        return Packed(kiosk_messages.message(kind, *values), kiosk_messages.parse, (kind, values), name)

    return pack


def records_message(first_seq: int, *packed: Packed) -> Packed:
    raw = [each.data for each in packed]
    return Packed(
        kiosk_messages.records_message(first_seq, raw), kiosk_messages.parse_records, (first_seq, raw), "RECORDS"
    )


def record(**fields) -> Packed:
    buf = bytearray(records.RECORD_BYTES)
    records.pack_record(buf, **fields)
    kind = fields["kind_flags"] & 0x0F
    return Packed(bytes(buf), records.unpack_record, tuple(fields.values()), f"record {kind}")


def sealed_record(log_key: bytes, seq: int, packed: Packed) -> Packed:
    def read(data: bytes) -> bytes | None:
        return kiosk_log.open_record(segment.segment_seal(log_key), seq, data)

    buf = bytearray(packed.data)
    segment.segment_seal(log_key).close(seq, buf, records.RECORD_BYTES - segment.TAG_BYTES)
    return Packed(bytes(buf), read, packed.data, "sealed record")


def escrow(both: bytes, daily_key: bytes, random: bytes) -> Packed:
    escrow_keys = EscrowKeys(both[:16], both[16:])
    return Packed(seal(escrow_keys, daily_key, random), partial(open_escrow, escrow_keys), daily_key, "escrow")


def sealed(session_keys: bytes, number: int, packed: Packed) -> Packed:
    def read(data: bytes) -> bytes:
        buf = bytearray(data)
        return bytes(buf[: sealing.Seal(session_keys[:48]).open(number, buf, len(buf))])

    buf = bytearray(packed.data + bytes(16))
    assert sealing.Seal(session_keys[:48]).close(number, buf, len(packed.data)) == len(buf)
    return Packed(bytes(buf), read, packed.data, "sealed message")


def block_header(**fields) -> Packed:
    buf = bytearray(records.BLOCK_HEADER_BYTES)
    records.pack_block_header(buf, **fields)
    return Packed(bytes(buf), records.unpack_block_header, tuple(fields.values()), "block header")


def state_record(part: int, **fields) -> Packed:
    def read(data: bytes) -> dict:
        assert records.state_part(data) == part
        state = State()
        records.unpack_state_part(data, part, state)
        return {name: getattr(state, name) for name in fields}

    state = State()
    assert vars(state).keys() >= fields.keys()
    vars(state).update(fields)
    buf = bytearray(records.STATE_PART_BYTES[part])
    assert records.pack_state_part(buf, part, state) == len(buf)
    return Packed(bytes(buf), read, fields, f"state {part}")


def state_block(generation: int) -> Packed:
    buf = bytearray(records.UNIT_BYTES)
    records.pack_state_block(buf, generation)
    return Packed(bytes(buf), records.unpack_state_block, generation, "state block")


def link() -> Fragments:
    return Fragments(kiosk_messages.MESSAGE_MAX_BYTES, kiosk_messages.MESSAGE_MAX_BYTES)


def fragments(packed: Packed, size: int) -> list[bytes]:
    pieces = list(kiosk_messages.fragments(link(), packed.data, size))
    receiver = link()
    lengths = [receiver.feed(piece, len(piece)) for piece in pieces]
    assert lengths == [0] * (len(pieces) - 1) + [len(packed.data)]
    assert receiver.inbox[: lengths[-1]] == packed.data
    return pieces


def advertisement(ident: bytes) -> Packed:
    def read(data: bytes) -> bytes:
        found = [-1]
        assert wire.classify(data, len(data), found) == wire.BLUEZONE_ID
        return data[found[0] : found[0] + keys.ID_BYTES]

    return Packed(wire.advertisement(ident), read, ident, "advertisement")


def classify(data: bytes) -> tuple[str, int | None]:
    found = [None]
    kind = wire.classify(data, len(data), found)
    return {wire.OTHER: "OTHER", wire.BLUEZONE_ID: "BLUEZONE_ID", wire.BLUEZONE_PHONE: "BLUEZONE_PHONE"}[kind], found[0]


def on_air(i: int, **fields) -> tuple[int, int] | None:
    case = national_list.Case(0, PHONE_KEY, **fields)
    first_day = keys.day_of(case.time_start)
    wanted = list(keys.day_ids(PHONE_KEY, case.max))[i]
    found = [slot for ident, slot in case_slots(case, {first_day}) if ident == wanted]
    return (found[0].start_ms, found[0].end_ms) if found else None


def id_at(daily_key: bytes, day: int, unix_s: int) -> bytes:
    return keys.KeyChain(daily_key, day).id_at(unix_s)


PHONE_KEY = h(json.loads((VECTORS / "infof.json").read_text())["base_id"])

REQUESTS = {
    "HELLO": 1, "INFO": 2, "TIME": 3, "PULL": 4, "ACK": 5, "VERDICT": 6, "BYE": 7, "AUTH": 8, "CHALLENGE": 9,
    "RELEASE": 10,
}  # fmt: skip
MESSAGES = {
    **REQUESTS,
    **{f"ANSWER_{name}": kind | kiosk_messages.ANSWER for name, kind in REQUESTS.items()},
    "ERROR": kiosk_messages.ERROR,
    "GAP": kiosk_messages.GAP,
}
CONSTANTS = {
    name: value
    for module in (kiosk_messages, messages, records)
    for name, value in vars(module).items()
    if re.match(r"ERROR_|VERDICT_|INFO_|KIND_|FLAG_|STATE_PROV", name)
}
FUNCTIONS = (
    h, record, block_header, state_record, state_block, sealed_record, sealed, escrow, fragments, advertisement,
    classify, on_air, id_at, bytes, range,
)  # fmt: skip
NAMES = {
    **CONSTANTS,
    **{name: value for name, value in vars(records).items() if name.startswith("PART_")},
    "AUTH_KEY": kiosk_messages.AUTH_KEY,
    **{name: getattr(keys, name) for name in ("day_of", "slot_of", "first_sub_key", "next_daily_key")},
    **{name: getattr(wire, name) for name in ("uuid_bytes", "sync_scan_response", "short_code", "PHONE_SERVICE_UUID")},
    **{name: getattr(kiosk_messages, name) for name in ("REQUEST_MAX_BYTES", "MESSAGE_MAX_BYTES")},
    **{name: getattr(records, name) for name in ("RECORD_BYTES", "BLOCK_HEADER_BYTES")},
    **{name: getattr(sealing, name) for name in ("hkdf", "hmac_sha256")},
    **{name: getattr(segment, name) for name in ("next_segment_key",)},
    "release_code": messages.release_code,
    **{name: message(name, kind) for name, kind in MESSAGES.items()},
    "RECORDS": records_message,
    "PHONE_KEY": PHONE_KEY,
    "phone_advertisement": phone_wire.phone_advertisement,
    **{each.__name__: each for each in FUNCTIONS},
}


def add_named_examples() -> None:
    """What the document gives a name: `NAME = expression`, which may use other names, be they explained later."""
    waiting = {}
    for example in EXAMPLES:
        if match := NAMED.match(example.expression):
            assert match[1] not in waiting.keys() | NAMES.keys(), match[1]
            waiting[match[1]] = example.expression[match.end() :]
    while waiting:
        for name, expression in list(waiting.items()):
            with contextlib.suppress(NameError):
                NAMES[name] = evaluate(expression)
                del waiting[name]
                break
        else:
            raise NameError(f"explained nowhere: what {', '.join(waiting)} are made of")


def evaluate(expression: str) -> Any:
    return eval(expression, {"__builtins__": {}}, NAMES)


NAMED = re.compile(r"([A-Z_]+) = ")
add_named_examples()

# --- Expressions -----------------------------------------------------------------------------------------------


def value_of(example: Example) -> Any:
    return evaluate(NAMED.sub("", example.expression, count=1))


def from_hex(digits: str) -> bytes:
    return bytes.fromhex("".join(digits.split()))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"line{example.line}-{example.expression[:24]}")
def test_example(example):
    value = value_of(example)
    if isinstance(value, Packed):
        expected = from_hex(example.expected)
        assert value.data == expected
        assert value.read(expected) == value.fields
    elif isinstance(value, bytes):
        assert value == from_hex(example.expected)
    elif isinstance(value, list):
        assert value == [from_hex(piece) for piece in example.expected.split("|")]
    elif isinstance(value, str):
        assert value == example.expected
    else:
        assert value == ast.literal_eval(example.expected)


def test_every_message_and_record_has_an_example():
    shown = {value.kind for example in EXAMPLES if isinstance(value := value_of(example), Packed)}
    assert shown >= MESSAGES.keys() | {"RECORDS", "block header", "state block", "sealed record", "advertisement"}
    assert {f"state {part}" for part in range(len(records.STATE_PART_BYTES))} <= shown
    kinds = {value for name, value in CONSTANTS.items() if name.startswith("KIND_")}
    assert {f"record {kind}" for kind in kinds} == {name for name in shown if name.startswith("record")}


def test_the_names_of_messages_are_complete():
    requests = set(range(1, len(messages.REQUESTS.split(","))))
    answers = {kiosk_messages.ANSWER | number for number in range(len(messages.ANSWERS.split(",")))}
    assert set(MESSAGES.values()) == requests | answers
    assert all(getattr(kiosk_messages, name) == kind for name, kind in REQUESTS.items())
    assert kiosk_messages.RECORDS not in MESSAGES.values()


def test_the_answer_to_a_second_kiosk():
    (example,) = (each for each in EXAMPLES if "ERROR_BUSY" in each.expression)
    assert from_hex(example.expected) == BUSY_FRAGMENT


def test_only_known_kinds_of_blocks():
    assert TEXT.count("```") == 2 * len(BLOCKS)
    known = {"spec", "session", "console", "json", "text"}
    assert {block.kind for block in BLOCKS} == known
    files = {"data_trace.txt", "other_trace.txt", "national_list.json", "national_list.json.sig"}
    files |= {"authority.pub.pem", "staff.csv", "units.csv", "password.txt", "gateway.txt"}
    files |= {"version.json", "next/list", "a/sums"}
    commands = ("sync", "release", "f2", "flash", "demo", "ingest", "match-stored", "match-nation")
    commands += ("flash --offline-image", "update", "provision", "identify", "verify", "logs", "wipe", "labels")
    answers = {f"bluezone {command} --json" for command in commands}
    assert {block.name for block in BLOCKS} == files | answers | {""}
    assert all(bool(block.name) == (block.kind in ("json", "text")) for block in BLOCKS)


# --- Tables ----------------------------------------------------------------------------------------------------


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.strip().splitlines()]


def tables_of_places() -> list[tuple[int, list[list[str]]]]:
    found = []
    for match in re.finditer(r"^\| at \| bytes \|.*\n\|[-|]+\n((?:\|.*\n)+)", TEXT, re.MULTILINE):
        found.append((TEXT.count("\n", 0, match.end()), rows(match[1])))
    return found


@pytest.mark.parametrize("table", tables_of_places(), ids=lambda table: f"line{table[0]}")
def test_places_and_sizes_add_up_to_the_next_example(table):
    line, fields = table
    at = 0
    for place, size, *_ in fields:
        assert int(place) == at
        at += int(size)
    following = (value_of(example) for example in EXAMPLES if example.line > line)
    data = next(value for value in following if isinstance(value, Packed | bytes))
    assert at == len(data.data if isinstance(data, Packed) else data)


@pytest.mark.parametrize(("name", "number"), [*CONSTANTS.items(), *MESSAGES.items(), ("RECORDS", 0x8C)])
def test_every_number_stands_beside_its_name(name, number):
    found = [int(digits, 0) for digits in re.findall(rf"^\| (\w+) \| `{name}` \|", TEXT, re.MULTILINE)]
    assert found == [number]


@pytest.mark.parametrize("name", [name for name in MESSAGES if name != "ANSWER_INFO"])
def test_sizes_of_fields_in_the_tables_of_messages(name):
    (fields,) = re.findall(rf"^\| \w+ \| `{name}` \|(.*)\|$", TEXT, re.MULTILINE)
    sizes = [int(size) for size in re.findall(r"\((\d+)\)(?:,| \|| $|$)", fields.strip())]
    (data,) = {
        len(value.data) for example in EXAMPLES if isinstance(value := value_of(example), Packed) and value.kind == name
    }
    assert 1 + sum(sizes) == data


def test_every_uuid_and_number_of_the_air_is_told():
    for name in ("PHONE_SERVICE", "ID_CHARACTERISTIC", "SYNC_SERVICE", "SYNC_CONTROL", "SYNC_DATA"):
        assert f"`{getattr(wire, f'{name}_UUID')}`" in TEXT


def test_limits_of_a_session_are_those_of_the_code():
    defaults = {
        name: parameter.default // 1000
        for name, parameter in inspect.signature(SyncSession).parameters.items()
        if name.endswith("_ms")
    }
    assert defaults == {"consent_ms": 60, "auth_ms": 8, "idle_ms": 20, "session_ms": 300}
    assert "| from the button to AUTH | 60 s |" in TEXT
    assert "| from the first fragment to AUTH | 8 s |" in TEXT
    assert "| without a request or progress | 20 s |" in TEXT
    assert "| connection | 300 s |" in TEXT


def test_sections_that_the_code_names_exist():
    titles = set(re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE))
    named = set()
    for folder in ("firmware", "boards", "host_tools"):
        for path in (ROOT / folder).rglob("*.py"):
            found = re.findall(r'SPEC\.md,\s+"([^"]+)"', path.read_text(encoding="utf-8"))
            named |= {" ".join(title.split()) for title in found}
    assert len(named) >= 4
    assert named <= titles


# --- Sessions --------------------------------------------------------------------------------------------------


class ExampleLog:
    """145, 146 and 147, of which 146 was never written."""

    oldest_seq, next_seq = 145, 148

    def read(self, seq, buf, at):
        if seq in (145, 147):
            buf[at : at + records.RECORD_BYTES] = NAMES["SEALED"].data
        return seq in (145, 147)


class ExampleToken:
    """What the session asks of the token, and its state."""

    sync_key, code_key = NAMES["SYNC_KEY"], NAMES["CODE_KEY"]
    escrow, first_day = NAMES["ESCROW"].data, 18482
    watermark = 145

    def random(self, length):
        return {16: NAMES["TOKEN_NONCE"], 5: h("E0E1E2E3E4")}[length]

    def info(self):
        (example,) = (example for example in EXAMPLES if example.expression.startswith("ANSWER_INFO"))
        return value_of(example).fields[1]

    def set_time(self, unix_s, ms):
        return -2

    def set_watermark(self, seq):
        self.watermark = seq

    def show_verdict(self, code):
        pass


class Said(NamedTuple):
    data: bytes
    fragments: list[bytes]


class ExampleSession:
    """Token and kiosk of the document's conversations."""

    def __init__(self) -> None:
        token = ExampleToken()
        self.token = SyncSession(ExampleLog(), token, token)
        self.token.connected()
        self.kiosk = link()
        self.now_ms = 0

    def ask(self, data: bytes) -> Said:
        pieces = list(kiosk_messages.fragments(self.kiosk, data, 64))
        for piece in pieces:
            self.token.feed(piece, len(piece), self.now_ms)
        if data[0] == kiosk_messages.AUTH:
            nonces = NAMES["KIOSK_NONCE"] + NAMES["TOKEN_NONCE"]
            self.kiosk.seal(*kiosk_messages.kiosk_seals(NAMES["SYNC_KEY"], nonces))
        return Said(data, pieces)

    def answers(self) -> list[Said]:
        buf = bytearray(244)
        found, pieces = [], []
        while length := self.token.next_fragment(buf, len(buf)):
            whole = self.kiosk.feed(buf, length)
            pieces.append(bytes(buf[:length]))
            if whole:
                found.append(Said(bytes(self.kiosk.inbox[:whole]), pieces))
                pieces = []
            self.token.sent(length)
        return found


@pytest.mark.parametrize("conversation", SESSIONS, ids=lambda block: f"line{block.line}")
def test_session(conversation):
    session = ExampleSession()
    said: list[Said] = []
    last = Said(b"", [])
    for line in re.sub(r"\n    +", " ", without_remarks(conversation.text)).splitlines():
        session.now_ms += 1
        if line == "button":
            session.token.open(0)
        elif line == "hangs up":
            assert session.token.tick(session.now_ms)
        elif line.startswith("  "):
            assert last.fragments == [from_hex(piece) for piece in line.split("|")]
        elif match := re.fullmatch(r"> fragment\((.*)\)", line):
            piece = evaluate(match[1])
            session.token.feed(piece, len(piece), session.now_ms)
            assert not session.answers()
        elif line.startswith("> "):
            assert said == []
            request = evaluate(line[2:])
            last = session.ask(request.data if isinstance(request, Packed) else request)
            said = session.answers()
        else:
            assert line.startswith("< ")
            last = said.pop(0)
            assert last.data == evaluate(line[2:]).data
    assert said == []


def test_every_error_of_a_session_is_shown():
    shown = set(re.findall(r"ERROR_\w+", "".join(block.text for block in BLOCKS)))
    assert shown == {name for name in CONSTANTS if name.startswith("ERROR_")}


# --- Flash -----------------------------------------------------------------------------------------------------


class Image:
    """NOR flash in memory."""

    block_bytes = 4096

    def __init__(self, blocks: int) -> None:
        self.data = bytearray(b"\xff" * blocks * self.block_bytes)

    def read(self, offset, buf):
        buf[:] = self.data[offset : offset + len(buf)]

    def program(self, offset, data):
        for i, byte in enumerate(data):
            self.data[offset + i] &= byte

    def erase(self, block):
        begin = block * self.block_bytes
        self.data[begin : begin + self.block_bytes] = b"\xff" * self.block_bytes


def packed_example(kind: str) -> bytes:
    return next(v.data for each in EXAMPLES if isinstance(v := value_of(each), Packed) and v.kind == kind)


class Keeper:
    """A state store that keeps nothing."""

    def save(self, state):
        pass


def test_a_log_laid_out_as_the_document_says_is_found():
    image = Image(4)
    begin = 3 * image.block_bytes  # the log's second block
    last = sealed_record(NAMES["LOG_KEY"], 147, NAMES["PHONE"])
    image.program(begin, packed_example("block header"))
    for place, raw in ((0, NAMES["SEALED"].data), (2, last.data)):
        image.program(begin + 32 + 28 * place, raw)
    state: Any = State()
    state.log_key, state.log_segment, state.keeper = NAMES["LOG_KEY"], 1, Keeper()
    log = Log(image, 2, 2, state)
    log.mount()
    assert (log.oldest_seq, log.next_seq, log.capacity_records) == (145, 148, 290)
    buf = bytearray(28)
    for seq, expected in ((145, NAMES["SEALED"].data), (146, None), (147, last.data)):
        assert log.read(seq, buf, 0) == (expected is not None)
        assert expected is None or buf == expected
    assert log.append(*NAMES["PHONE"].fields) == 148
    assert image.data[begin + 32 + 28 * 3 :][:28] == sealed_record(NAMES["LOG_KEY"], 148, NAMES["PHONE"]).data


def test_a_state_laid_out_as_the_document_says_is_found_and_its_key_overwritten():
    image = Image(2)
    parts = [packed_example(f"state {part}") for part in range(4)]
    image.program(0, packed_example("state block") * 2 + b"".join(part * 2 for part in parts))
    store, state = StateStore(image, 0, 1), State()
    assert store.load(state)
    old_key = state.daily_key
    assert image.data.count(old_key) == 2
    state.daily_key = keys.next_daily_key(old_key)
    state.keep()
    assert (image.data.count(old_key), image.data.count(state.daily_key)) == (0, 2)
    again = State()
    assert StateStore(image, 0, 1).load(again)
    assert (again.boot, again.daily_key) == (state.boot, state.daily_key)


# --- Files and commands ----------------------------------------------------------------------------------------


@pytest.fixture
def example_files(tmp_path, monkeypatch):
    for name in (
        "data_trace.txt",
        "other_trace.txt",
        "national_list.json",
        "national_list.json.sig",
        "authority.pub.pem",
        "staff.csv",
        "password.txt",
        "gateway.txt",
    ):
        (tmp_path / name).write_text(block(name), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "only for the example")
    monkeypatch.delenv("BLUEZONE_KEY_FILE", raising=False)


@pytest.fixture
def example_release(example_files):
    """The authority's root of the document in a file, and the release of a token that has met nobody."""
    key_file.save(Path("authority.key"), AuthorityRoot(NAMES["AUTHORITY_ROOT"]), "only for the example")
    release = Release(h("0102030405060708"), 1596873600, 18482, NAMES["ESCROW"].data, [])
    release_bundle.write(Path("release.json"), release)


def test_contact_log(example_files):
    log = trace_log.load("data_trace.txt")
    assert not log.rejected
    lines = block("data_trace.txt").splitlines()
    assert [f"{row.own_id.hex()}\t{row.peer_id.hex()}\t{row.rssi_dbm}\t{row.time_ms}" for row in log.sightings] == [
        line.lower() for line in lines
    ]
    assert (VECTORS / "data_trace.txt").read_text().splitlines()[: len(lines)] == lines


def test_list(example_files):
    listed = national_list.load("national_list.json")
    assert listed.cases == [national_list.Case(0, PHONE_KEY, 1596844800, 1596931200, 96)]
    assert not listed.rejected


def test_list_without_max(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(block("national_list.json").replace(', "max": 96', ""))
    assert national_list.load(path).cases[0].max == 96


def test_signature_of_a_list(example_files):
    data, signed = block("national_list.json").encode(), block("national_list.json.sig").encode()
    said = Statement("F0", 1, 7, 1596938400, hashlib.sha256(data).hexdigest())
    assert verified(signed, load_public_key("authority.pub.pem")) == said
    key = Ed25519PrivateKey.from_private_bytes(
        h("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")  # of RFC 8032, 7.1, test 1
    )
    assert said.signed(key) == signed


def test_files_of_an_authority(example_files):
    folder = Path("made-up")
    demo_lists.make(folder, "only for the example", 1596938400)
    table = re.search(r"### Files of an authority\n((?:\|.*\n)+)", TEXT)
    assert table
    named = {name.replace("000007", "000001") for name in re.findall(r"`([\w./]+\.(?:pem|json))`", table[1])}
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert named <= made
    assert made - named == {"tls.key.pem", "tls.pem", "public/F1/000001.json"} | {
        f"public/{name}.json.sig" for name in ("F0", "F1", "F0/000001", "F1/000001")
    }


def same_but_for_more(shown: Any, actual: Any) -> bool:
    """Equal, where "…" stands for anything, and in a list for any number of further elements."""
    if shown == "…":
        return True
    if isinstance(shown, dict):
        return shown.keys() == actual.keys() and all(same_but_for_more(shown[key], actual[key]) for key in shown)
    if isinstance(shown, list) and "…" in shown:
        at = shown.index("…")
        after = len(shown) - at - 1
        shown, actual = shown[:at] + shown[at + 1 :], actual[:at] + actual[len(actual) - after :]
    if isinstance(shown, list):
        return len(shown) == len(actual) and all(map(same_but_for_more, shown, actual))
    return shown == actual


@pytest.mark.parametrize("console", CONSOLES, ids=lambda block: f"line{block.line}")
def test_command(console, example_files, request):
    if "authority.key" in console.text:
        request.getfixturevalue("example_release")
    for words, expected in prompts(console):
        with contextlib.redirect_stdout(StringIO()) as out, contextlib.redirect_stderr(StringIO()):
            status = cli.run(cli.build_app(), words)
        shown = json.loads(expected)
        assert same_but_for_more(shown, json.loads(out.getvalue())), words
        assert status == (2 if "error" in shown else 0)


def prompts(console: Block) -> list[tuple[list[str], str]]:
    """Each command line in a block, which come one after the other, with its answer."""
    pieces = re.split(r"^\$ bluezone (.*)\n", console.text, flags=re.MULTILINE)
    assert pieces[0] == ""
    return [(shlex.split(line), answer) for line, answer in zip(pieces[1::2], pieces[2::2], strict=True)]


def test_every_command_has_an_example():
    shown = [" ".join(words) + " " for console in CONSOLES for words, _ in prompts(console)]
    shown += [block.name.removeprefix("bluezone ") for block in BLOCKS if block.name.startswith("bluezone")]
    commands = [command for command in cli_commands(cli.build_app()) if command != "repl"]  # a conversation
    assert [command for command in commands if not any(line.startswith(f"{command} ") for line in shown)] == []
    assert [line for line in shown if not any(line.startswith(f"{command} ") for command in commands)] == []


def cli_commands(app: typer.Typer, group: str = "") -> list[str]:
    """Names of all commands, those of a group behind its name."""
    names = [command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands]
    found = [f"{group}{name}" for name in names]
    for inner in app.registered_groups:
        assert inner.typer_instance
        found += cli_commands(inner.typer_instance, f"{group}{inner.name} ")
    return found


class ExampleBoard:
    """A board of which only the files count."""

    def __init__(self) -> None:
        self.content: dict[str, bytes] = {}
        self.manifests: list[dict] = []

    def manifest(self):
        return {}

    def write_manifest(self, manifest):
        self.manifests.append(manifest)

    def files(self, folder):
        return {path: len(data) for path, data in self.content.items()}

    def sha256(self, path):
        return hashlib.sha256(self.content[path]).hexdigest()

    def free_bytes(self):
        return 1 << 20

    def write(self, path, data):
        self.content[path] = data


def test_version_on_a_board(tmp_path):
    shown = json.loads(block("version.json"))
    built = []
    for path in shown["files"]:
        data = path.partition(".")[0].encode()
        (tmp_path / path).write_bytes(data)
        built.append(BuiltFile(path, hashlib.sha256(data).hexdigest(), len(data)))
    hashes = "".join(file.sha256 for file in sorted(built))
    assert shown["firmware"] == hashlib.sha256(hashes.encode()).hexdigest()[:12]
    board: Any = ExampleBoard()
    Copy(board, shown["board"], tmp_path, built, lambda what, done, total: None).run()
    assert board.manifests == [{**shown, "state": "copying"}, shown]


def shape(value: Any) -> Any:
    """Keys and kinds of values; numbers are all alike."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shape(item) for item in value]
    return float if type(value) is int else type(value)


def wearer_result() -> WearerResult:
    info = TokenInfo(h("0102030405060708"), (0, 1, 0), True, True, 2987, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 145)
    rule = load_rules().rules[0]
    days = (DayExposure(date(2020, 8, 8), 0, 16, 0, 15, 16, 0.91, rule),)
    told = Verdict("exposed", days, (), rule)
    version = ListVersion("b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9", 1596787200, 86400)
    return WearerResult(info, SyncResult(info, 0, 2, 148), [], told, 1596873600, version)


def test_answer_of_sync(example_files):
    shown = json.loads(block("bluezone sync --json"))
    read = wearer_result()
    assert shown["tokens"] == [serve.result_json(read)]
    version = read.list_version
    assert version is not None
    assert version.published_s is not None
    days = tuple(by_day(read.verdict, version))
    reasons = explain_kept(days, load_rules(), version.published_s + 86400)
    assert shown["stored"] == [Call(read.info.serial, days, reasons, read.finished_s).as_json()]
    source = ListSource("national_list.json", Path("kept"), public_key=load_public_key("authority.pub.pem"))
    assert shown["list"] == source.load(1596952800)[1].as_dict()


def test_answer_of_f2():
    shown = json.loads(block("bluezone f2 --json"))
    day = date.fromisoformat(shown["since"])
    probable = {row["short_code"]: [Together(day, row["days"][0]["minutes"])] for row in shown["probable"]}
    assert shown == evidence_commands.second_degree_json(shown["token"], day, shown["compared"], probable)


@pytest.fixture
def kiosk_with_one_encounter(example_files):
    buf = bytearray(records.RECORD_BYTES)
    flags = records.KIND_ENCOUNTER | records.FLAG_CLOCK_SET
    records.pack_record(buf, flags, 7, 1596866191, 30, 2, 3, -65, -70, h("B9A665D754FE65E665D76A45"))
    with Store("kiosk.sqlite") as store:
        store.store_records(h("0102030405060708"), [(0, bytes(buf))], 0)


def answer_of(command: str, *options: str) -> Any:
    with contextlib.redirect_stdout(StringIO()) as out:
        assert cli.run(cli.build_app(), [command, *options, "--json"]) == 0
    return json.loads(out.getvalue())


def test_answers_of_matching_in_bulk(kiosk_with_one_encounter, monkeypatch):
    def here(cases, encounters, out, _scheduler, tolerance_s, progress):
        done = [nation.run(task) for task in nation.tasks(cases, encounters, out, tolerance_s)]
        return {"tasks": len(done), "exposures": sum(done)}

    monkeypatch.setattr(nation, "match_nation", here)  # starting a cluster is tested elsewhere
    shown = json.loads(block("bluezone ingest --json"))
    ingested = answer_of("ingest", "--source", "kiosk.sqlite")
    assert re.fullmatch(re.escape(shown["file"]).replace("…", "[0-9a-f]{16}"), ingested["file"])
    assert {**ingested, "file": shown["file"]} == shown
    cases = ("--cases", "national_list.json")
    stored = answer_of("match-stored", *cases)
    assert same_but_for_more(json.loads(block("bluezone match-stored --json")), stored)
    nations = answer_of("match-nation", *cases, "--encounters", "encounters")
    assert same_but_for_more(json.loads(block("bluezone match-nation --json")), nations)
    also = answer_of("match", *cases, "--encounters", "encounters")
    digest = "8ccf3c37dda8a44aa649d5336b57ff8b4d0bb344a74d75c98131bb110c1e3d60"
    for answer in (stored, nations, also):
        assert answer.pop("list")["digest"] == digest
    assert also == nations


def test_a_slot_index_laid_out_as_the_document_says(example_files):
    slot_index.updated(Path("index"), national_list.load("national_list.json").cases)
    (name,) = json.loads(Path("index", "manifest.json").read_text())["segments"]
    data = Path("index", name).read_bytes()
    magic, version, checksum, entries, days, ids, source, rest = struct.unpack_from("<8sIIQQQ32s8s", data)
    assert (magic, version, entries, days, ids, rest) == (b"BZSLOTS\0", 1, 1, 1, 96, bytes(8))
    begin_of_ids = 80 + 40 + 8 + 8 * 97 + 8 * 96
    assert checksum == zlib.crc32(data[16:begin_of_ids])
    assert source == hashlib.sha256(data[80:120]).digest()
    assert name == source.hex()[:32] + ".segment"
    first_slot = 1596844800 // 900
    assert struct.unpack_from("<32sII", data, 80) == (PHONE_KEY, first_slot, first_slot + 95)
    day, *offsets = struct.unpack_from("<98Q", data, 120)
    assert (day, offsets) == (1596844800 // 86400, list(range(97)))
    packed = struct.unpack_from("<96Q", data, begin_of_ids)
    assert packed == tuple(int(ident[:5].hex(), 16) << 24 for ident in keys.day_ids(PHONE_KEY))
    assert struct.unpack_from("<96Q", data, begin_of_ids - 8 * 96) == packed  # one id in each slot
    assert len(data) == begin_of_ids + 8 * 96


def test_answer_of_release(tmp_path, monkeypatch):
    shown = json.loads(block("bluezone release --json"))

    async def released(*_arguments):
        return Release(h(shown["serial"]), 1596873600, 18482, NAMES["ESCROW"].data, [])

    monkeypatch.setattr(kiosk_release, "release", released)
    monkeypatch.setattr(kiosk_release, "real", object)
    monkeypatch.chdir(tmp_path)
    with Office("kiosk.sqlite") as office:
        answer = kiosk_release.release_here("3J2824", Path(shown["file"]), office, "test", KioskRoot(bytes(32)), 1.0)
    assert answer == {**shown, "encounters": 0}
    fields = json.loads(Path(shown["file"]).read_text())
    (table,) = re.findall(r"^### Release\n(?:.*\n)*?((?:\|.*\n)+)", TEXT, re.MULTILINE)
    assert [row[0].strip("`") for row in rows(table)[2:]] == list(fields)


PARTS = {"flash": "", "battery": "", "light": "", "radio": ""}
ON_BOARDS = {
    "flash": Report("", "", self_test=PARTS).as_dict(),
    "update": UpdateReport("", "", "", "", 0, 0, 0, 0.0).as_dict(),
    "provision": Provisioned("", "", "", "", 0, "").as_dict(),
    "identify": Named("", "").as_dict(),
    "wipe": Wiped("", "", True).as_dict(),
    "verify": Verified("", "", "", "", "", "", 0, 0, 0, {**PARTS, "button": ""}, [""]).as_dict(),
}


@pytest.mark.parametrize("command", ON_BOARDS)
def test_answers_about_boards(command, capsys):
    shown = json.loads(block(f"bluezone {command} --json"))
    failed = Outcome("", error=".")
    print_outcomes([Outcome("", ON_BOARDS[command]), *[failed] * len(shown["failed"])], True, str)
    assert shape(shown) == shape(json.loads(capsys.readouterr().out))


def test_diagnostics_are_those_that_the_token_gives():
    (shown,) = json.loads(block("bluezone logs --json"))["boards"]
    given = ast.parse((ROOT / "firmware/service.py").read_text(encoding="utf-8"))
    (function,) = (node for node in ast.walk(given) if getattr(node, "name", "") == "diagnostics")
    (answer,) = (node for node in ast.walk(function) if isinstance(node, ast.Dict))
    assert list(shown) == ["port", "short_code", "firmware", *(ast.literal_eval(key) for key in answer.keys if key)]


def test_answer_of_an_offline_image():
    shown = json.loads(block("bluezone flash --offline-image --json"))
    assert shape(shown) == shape(commands.offline_json("", Path("token.bin"), FlashImage(b"", 0, 0)))


def test_answer_of_labels(tmp_path):
    shown = json.loads(block("bluezone labels --json"))
    assert write_labels(shown["labels"], tmp_path / shown["file"]) == shown["sheets"]


def test_list_of_an_update(tmp_path):
    # A token that has one file too many, and everything else of another version.
    for path in ("next", "tracing"):
        (tmp_path / path).mkdir()
    for path in ("tracing/old.mpy", "app.mpy", "main.py", "switch.mpy"):
        (tmp_path / path).write_text("old")
    drive = Drive(tmp_path)
    drive.write_manifest({"state": "complete", "files": ["tracing/old.mpy"]})
    built = [BuiltFile(path, "0" * 64, 0) for path in ("app.mpy", "main.py")]
    Staged(drive, "", built, {}).switch()
    assert (tmp_path / "next/list").read_text() == block("next/list").rstrip("\n")


def test_sums_of_a_drive(tmp_path):
    (tmp_path / "a").mkdir()
    data = b"app"
    (tmp_path / "a/app.py").write_bytes(data)
    half = Half(Drive(tmp_path), "a")
    half.write_sums(7, [BuiltFile("app.py", hashlib.sha256(data).hexdigest(), len(data))])
    assert (tmp_path / "a/sums").read_text() == block("a/sums").rstrip("\n")
    assert half.number() == 7


def test_the_image_has_the_partitions_of_the_table():
    (table,) = re.findall(r"^### Image of a flash\n(?:.*\n)*?((?:\|.*\n)+)", TEXT, re.MULTILINE)
    named = [(int(at, 16), int(size), text.partition("`")[2].partition("`")[0]) for at, size, text in rows(table)[3:]]
    for settings in boards().values():
        if "partitions" in settings.get("image", {}):
            parts = [part.replace("=", ":").split(":") for part in settings["image"]["partitions"].split(",")]
            assert [(int(size, 16), name) for name, _, size in parts] == [(size, name) for _, size, name in named]
    assert all(at + size == after for (at, size, _), (after, _, _) in itertools.pairwise(named))


def test_answer_of_demo():
    shown = json.loads(block("bluezone demo --json"))
    scenario: Any = None
    result = DemoResult(
        scenario=scenario,
        seed=1,
        codes={"An": "EXKAVQ"},
        results={"An": wearer_result()},
        failures={},
        near_minutes={"An": 95.0},
        heard={},
        pairs=[PairOutcome("An", "Bình", 95.0, True)],
        false=0,
        receptions=190_000,
        trace="",
        heaps={"An": (28_672, 40_960)},
    )
    actual = demo_view.as_dict(result, Path("build/demo/report.html"))
    assert shape(shown) == shape(actual)
    assert shown["wearers"] == actual["wearers"]
