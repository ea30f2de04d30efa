"""The national list, as bad as it may come."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host_tools.errors import UserError
from host_tools.matching import cases, json_stream, national_list
from host_tools.matching.cases import Case, CaseCollection, difference
from host_tools.matching.inputs import Rejection
from host_tools.matching.national_list import NationalList

KEY = "4C5224B397F8AB3896781D5AA0F3119F280513F1B592CA280EBDED6357E21084"
OTHER_KEY = KEY[::-1]
GOOD = {"daily_key": KEY, "time_start": 1596844800, "time_end": 1596931200, "max": 96}
OTHER = {**GOOD, "daily_key": OTHER_KEY}


def load(tmp_path: Path, content: object) -> NationalList:
    """`content`: bytes as they are, or something to be written as JSON."""
    path = tmp_path / "list.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return national_list.load(path)


def refused(tmp_path: Path, content: object) -> str:
    with pytest.raises(UserError) as caught:
        load(tmp_path, content)
    return str(caught.value)


def without(field: str) -> dict:
    return {name: value for name, value in GOOD.items() if name != field}


def test_a_good_list(tmp_path):
    listed = load(
        tmp_path, {"data": [GOOD, {**without("max"), "daily_key": OTHER_KEY.lower(), "name": [1, {"max": 0}]}]}
    )
    assert listed.rejected == []
    assert [case.index for case in listed.cases] == [0, 1]
    assert [case.daily_key for case in listed.cases] == [bytes.fromhex(KEY), bytes.fromhex(OTHER_KEY)]
    for case in listed.cases:
        assert (case.time_start, case.time_end, case.max) == (1596844800, 1596931200, 96)


@pytest.mark.parametrize(
    ("entry", "where", "why"),
    [
        ({**GOOD, "daily_key": KEY[:-1]}, "data[1].daily_key", "64 hex digits"),
        ({**GOOD, "daily_key": KEY + "00"}, "data[1].daily_key", "64 hex digits"),
        ({**GOOD, "daily_key": "G" * 64}, "data[1].daily_key", "64 hex digits"),
        ({**GOOD, "daily_key": "４" * 64}, "data[1].daily_key", "64 hex digits"),
        ({**GOOD, "daily_key": KEY + "\n"}, "data[1].daily_key", "64 hex digits"),
        ({**GOOD, "daily_key": 7}, "data[1].daily_key", "not 7"),
        ({**GOOD, "daily_key": None}, "data[1].daily_key", "not null"),
        ({**GOOD, "daily_key": [[[[KEY]]]]}, "data[1].daily_key", "not an array"),
        ({**GOOD, "daily_key": {"daily_key": KEY}}, "data[1].daily_key", "not an object"),
        (without("daily_key"), "data[1].daily_key", "missing"),
        (without("time_start"), "data[1].time_start", "missing"),
        (without("time_end"), "data[1].time_end", "missing"),
        ({**GOOD, "max": 1}, "data[1].max", "from 2 to 86400, not 1"),
        ({**GOOD, "max": 86401}, "data[1].max", "not 86401"),
        ({**GOOD, "max": -96}, "data[1].max", "not -96"),
        ({**GOOD, "max": True}, "data[1].max", "not a truth value"),
        ({**GOOD, "max": "96"}, "data[1].max", "not the text '96'"),
        ({**GOOD, "max": 96.0}, "data[1].max", "not 96.0"),
        ({**GOOD, "max": None}, "data[1].max", "not null"),
        ({**GOOD, "time_end": 1596844799}, "data[1].time_end", "before time_start"),
        ({**GOOD, "time_end": 1596844800 + 181 * 86400}, "data[1].time_end", "180 days"),
        ({**GOOD, "time_start": -1}, "data[1].time_start", "not -1"),
        ({**GOOD, "time_start": 1596844800000}, "data[1].time_start", "not 1596844800000"),
        ({**GOOD, "time_start": float("nan")}, "data[1].time_start", "'NaN'"),
        ({**GOOD, "time_end": float("-inf")}, "data[1].time_end", "'-Infinity'"),
        ({**GOOD, "time_end": int("9" * 4000)}, "data[1].time_end", "4000 characters"),
        ("data", "data[1]", "is text, not an object"),
        (None, "data[1]", "is null"),
        ([GOOD], "data[1]", "is an array"),
        ([], "data[1]", "is an array"),
        (True, "data[1]", "is a truth value"),
    ],
)
def test_a_bad_entry_is_named_and_the_others_keep_their_places(tmp_path, entry, where, why):
    listed = load(tmp_path, {"version": {"data": 3}, "data": [GOOD, entry, OTHER], "more": [[]]})
    assert [case.index for case in listed.cases] == [0, 2]
    assert [rejection.where for rejection in listed.rejected] == [where]
    assert why in listed.rejected[0].why
    assert len(listed.rejected[0].why) < 120


def test_a_number_out_of_every_range_costs_one_entry(tmp_path):
    text = json.dumps({"data": [GOOD, {**GOOD, "max": 12345}]}).replace("12345", "1e99999999999999999999")
    listed = load(tmp_path, text.encode())
    assert [case.index for case in listed.cases] == [0]
    assert listed.rejected[0].where == "data[1].max"


def test_a_key_given_twice_costs_the_entry(tmp_path):
    text = json.dumps({"data": [GOOD, GOOD]}).replace('"max": 96}', '"max": 96, "max": 48}', 1)
    listed = load(tmp_path, text.encode())
    assert [case.index for case in listed.cases] == [1]
    assert (listed.rejected[0].where, "twice" in listed.rejected[0].why) == ("data[0].max", True)


CASE_0 = "of case 0"


@pytest.mark.parametrize(
    ("later", "rejected", "doubtful"),
    [
        (GOOD, [Rejection("data[1]", f"repeats an earlier entry with the key {CASE_0}")], []),
        (
            {**GOOD, "daily_key": KEY.lower()},
            [Rejection("data[1]", f"repeats an earlier entry with the key {CASE_0}")],
            [],
        ),
        (without("max"), [Rejection("data[1]", f"repeats an earlier entry with the key {CASE_0}")], []),
        ({**GOOD, "time_end": GOOD["time_end"] + 86400}, [], []),
        ({**GOOD, "time_start": GOOD["time_start"] + 86399}, [], []),
        (
            {**GOOD, "time_start": GOOD["time_start"] + 86400},
            [],
            [Rejection("data[1].time_start", f"is another day for the key {CASE_0}")],
        ),
        ({**GOOD, "max": 48}, [], [Rejection("data[1].max", "is 48, but 96 for the same key in case 0")]),
    ],
)
def test_a_key_in_two_entries(tmp_path, later, rejected, doubtful):
    """Only a mere repetition is left out: whoever contradicts an entry cannot strike it off."""
    listed = load(tmp_path, {"data": [GOOD, later, OTHER, later]})
    repeated = Rejection("data[3]", f"repeats an earlier entry with the key {CASE_0}")
    assert (listed.rejected, listed.doubtful) == ([*rejected, repeated], doubtful)
    assert [case.index for case in listed.cases] == ([0, 2] if rejected else [0, 1, 2])


def test_a_key_with_very_many_times(tmp_path):
    spans = [{**GOOD, "time_end": GOOD["time_end"] + i} for i in range(20_000)]
    listed = load(tmp_path, {"data": spans + spans[:3]})
    assert (len(listed.cases), len(listed.rejected)) == (20_000, 3)


def test_more_entries_than_can_be_held_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(cases, "MAX_CASES", 3)
    entries = [{**GOOD, "time_end": GOOD["time_end"] + i} for i in range(4)]
    assert len(load(tmp_path, {"data": [*entries[:3], *entries[:3]]}).cases) == 3
    assert "more than 3 usable entries" in refused(tmp_path, {"data": entries})


def test_longest_span_and_equal_times_are_allowed(tmp_path):
    start = GOOD["time_start"]
    listed = load(tmp_path, {"data": [{**GOOD, "time_end": start + 180 * 86400}, {**GOOD, "time_end": start}]})
    assert (len(listed.cases), listed.rejected) == (2, [])


COMMENTED = """// the list of 2020-08-09
{"data": [
  {"daily_key": "%s", "time_start": 1596844800, // Saturday
   "time_end": 1596931200, "note": "see http://x // not a comment"},
  // {"daily_key": "?"},
  {"daily_key": "%s", "time_start": 1596844800, "time_end": 1596931200, "note": "\\\\"}//
]}
// end"""


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 64, 1 << 16])
def test_comments_are_left_out_and_reported(tmp_path, monkeypatch, chunk_bytes):
    monkeypatch.setattr(json_stream, "_CHUNK_BYTES", chunk_bytes)
    listed = load(tmp_path, (COMMENTED % (KEY, OTHER_KEY)).replace("\n", "\r\n").encode())
    assert [case.index for case in listed.cases] == [0, 1]
    assert [rejection.where for rejection in listed.rejected] == [
        "line 1",
        "line 3 (data[0])",
        "line 5 (data[1])",
        "line 6 (data[2])",
        "line 8",
    ]
    assert all("comment" in rejection.why for rejection in listed.rejected)


def test_a_byte_order_mark_is_tolerated(tmp_path):
    assert len(load(tmp_path, b"\xef\xbb\xbf" + json.dumps({"data": [GOOD]}).encode()).cases) == 1


WHOLE = json.dumps({"data": [GOOD, OTHER]}).encode()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "unexpected end"),
        (b"\xef\xbb\xbf", "unexpected end"),
        (b" \n", "unexpected end"),
        ([GOOD], "an array, not an object"),
        ("data", "text, not an object"),
        (b"null", "null, not an object"),
        ({"Data": [GOOD]}, 'no "data"'),
        ({"data": {"0": GOOD}}, 'its "data" is an object, not an array'),
        ({"data": None}, 'its "data" is null'),
        (b'{"data": [], "data": []}', "twice"),
        (WHOLE[:-2], "after data[1]"),
        (WHOLE[:-20], "in data[1]"),
        (WHOLE[:150], "in data[0]"),
        (WHOLE[:-2] + b",]}", "after data[1]"),
        (WHOLE + b"]", "trailing garbage"),
        (WHOLE.replace(b"}, {", b"} {"), "after data[0]"),
        (WHOLE.replace(b'"max"', b'/* */ "max"', 1), "data[0]"),
        (WHOLE.replace(b'"max"', b'// "max"', 1), "in data[0]: unexpected end"),
        (WHOLE.replace(b"KEY", b"").replace(b"4C", b"\xff\xfe", 1), "UTF-8"),
        (WHOLE.decode().encode("utf-16"), "UTF-8"),
        (b"\x7fELF\x00\x00", "damaged"),
        (b"[" * 200_000, "an array"),
        (b'{"data": [' + b"[" * 200_000, "nesting deeper"),
        (b'{"a":' * 200_000, "nesting deeper"),
        (b'{"data": ["' + b"a" * 200_000, "64 KiB"),
        (b'{"data": [' + b"9" * 200_000, "64 KiB"),
        (b"//" + b"/" * 200_000, "64 KiB"),
        (b'"\\' + b'"\\' * 100_000, "64 KiB"),
    ],
)
def test_what_is_no_whole_list_is_refused_in_one_line(tmp_path, content, words):
    sentence = refused(tmp_path, content)
    assert words in sentence
    assert "list.json" in sentence
    assert "Nothing of it was used" in sentence
    assert "\n" not in sentence


def test_every_truncation_is_refused(tmp_path):
    for length in range(len(WHOLE)):
        assert "Nothing of it was used" in refused(tmp_path, WHOLE[:length])


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(UserError, match="There is no national list"):
        national_list.load(tmp_path / "absent.json")
    with pytest.raises(UserError, match="directory"):
        national_list.load(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        national_list.load("\0")


def test_deep_nesting_in_a_field_that_nobody_needs(tmp_path):
    nested = b"[" * 5000 + b"]" * 5000
    listed = load(tmp_path, WHOLE.replace(b'"max"', b'"x": ' + nested + b', "max"', 1))
    assert (len(listed.cases), listed.rejected) == (2, [])


def test_garbage_of_any_size_is_answered_in_a_bounded_list(tmp_path):
    listed = load(tmp_path, {"data": [0] * 1500 + [GOOD]})
    assert [case.index for case in listed.cases] == [1500]
    assert listed.rejected[999:] == [
        Rejection("data[999]", "is a number, not an object"),
        Rejection("further on", "500 more were rejected and are not listed"),
    ]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from([KEY, 96]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([*GOOD, "data", "x"]), inner, max_size=4)
    ),
    max_leaves=8,
)
bad_entries = json_values.filter(lambda value: not (isinstance(value, dict) and value.keys() >= without("max").keys()))
fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@fuzz
@given(bad=st.lists(bad_entries, max_size=5), data=st.data())
def test_fuzz_good_entries_survive_among_bad_ones(tmp_path, bad, data):
    entries = list(bad)
    good_at = data.draw(st.integers(0, len(entries)))
    entries.insert(good_at, GOOD)
    listed = load(tmp_path, {"data": entries})
    assert [case.index for case in listed.cases] == [good_at]
    assert [int(r.where.split("]")[0][5:]) for r in listed.rejected] == [
        index for index in range(len(entries)) if index != good_at
    ]


@fuzz
@given(
    start=st.integers(0, len(WHOLE)),
    cut=st.integers(0, 30),
    junk=st.binary(max_size=12),
    chunk=st.integers(1, 40),
)
def test_fuzz_damaged_bytes_never_crash_nor_invent(tmp_path, start, cut, junk, chunk):
    content = WHOLE[:start] + junk + WHOLE[start + cut :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_CHUNK_BYTES", chunk)
        try:
            listed = load(tmp_path, content)
        except UserError:
            return
    for case in listed.cases:
        assert 2 <= case.max <= 86400
        assert case.time_start <= case.time_end
    try:
        entries = json.loads(content.decode("utf-8-sig"))["data"]
    except ValueError:  # a comment, NaN in odd places, …: more than json accepts
        return
    assert [(case.index, case.daily_key.hex().upper(), case.max) for case in listed.cases] == [
        (case.index, entries[case.index]["daily_key"].upper(), entries[case.index].get("max", 96))
        for case in listed.cases
    ]
    assert len(listed.cases) + len(listed.rejected) == len(entries)


kinds_of_entries = st.builds(
    Case, st.just(0), st.sampled_from([b"a" * 32, b"b" * 32]), st.sampled_from([0, 86400]), st.just(90_000), st.just(96)
)


@given(old=st.lists(kinds_of_entries), new=st.lists(kinds_of_entries))
def test_difference_is_what_leads_from_one_list_to_the_next(old, new):
    def content(cases):
        return {(case.daily_key, case.span) for case in cases}

    collections = CaseCollection(), CaseCollection()
    for collection, entries in zip(collections, (old, new), strict=True):
        for index, case in enumerate(entries):
            collection.add(replace(case, index=index), "")
    before, after = (collection.cases for collection in collections)
    change = difference(before, after)
    assert content(change.added) == content(after) - content(before)
    assert content(change.removed) == content(before) - content(after)
    assert set(change.added) <= set(after)
    assert set(change.removed) <= set(before)
    assert len(change.added) == len(content(change.added))


@fuzz
@given(value=json_values, chunk=st.integers(1, 20))
def test_the_stream_gives_the_same_events_in_any_chunks(tmp_path, value, chunk):
    path = tmp_path / "value.json"
    path.write_text(json.dumps(value))
    with path.open("rb") as stream:
        whole = list(json_stream.events(stream))
    with pytest.MonkeyPatch.context() as patch, path.open("rb") as stream:
        patch.setattr(json_stream, "_CHUNK_BYTES", chunk)
        assert list(json_stream.events(stream)) == whole
