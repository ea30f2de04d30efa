"""Lists and logs of garbage of any size, poured through a pipe into their readers, and how much memory that takes.

    python tests/host/list_floods.py MEGABYTES KIND…

pours 1 MB of each kind first, then so many, and prints for each {"kind": …, "outcome": …, "rejected": …, "grown_mb": …,
"peak_mb": …, "seconds": …}: the sentence, or the number of cases or sightings; by how much the peak of the process's
memory grew over that of the 1 MB; that peak.
"""

import contextlib
import itertools
import json
import os
import random
import resource
import sys
import threading
import time
from collections.abc import Iterator

from host_tools.errors import UserError
from host_tools.matching import national_list, trace_log

GOOD = b'{"daily_key":"%064X","time_start":1596844800,"time_end":1596931200,"max":96},'
HEAD, TAIL = b'{"data":[', b"0]}"

# What comes between head and tail, again and again.
FLOODS = {
    "numbers": (HEAD, b"1234567890,", TAIL),
    "bad entries": (HEAD, b'{"daily_key":"?","time_start":NaN,"time_end":[1,{"a":2}],"max":1e999},', TAIL),
    "NaN": (HEAD, b"NaN,-Infinity,1e99999,", TAIL),
    "one entry again and again": (HEAD, GOOD % 1, TAIL),
    "comments": (HEAD, b"0,// not JSON\n", TAIL),
    "blanks": (HEAD, b" \n\t", TAIL),
    "fields of one entry": (HEAD + b"{", b'"daily_key":"?","x":[[],{}],', b'"max":96}]}'),
    "fields of no list": (b"{", b'"data of old":["?",null],', b'"data":[]}'),
    "texts of 60 kB": (HEAD, b'"' + b"a" * 60_000 + b'",', TAIL),
    "one text": (HEAD + b'"', b"a", b'"]}'),
    "one number": (HEAD, b"9", b"]}"),
    "one word": (HEAD, b"a", b"]}"),
    "one comment": (b"//", b"/", b"\n{}"),
    "nesting": (HEAD, b"[", b"]]}"),
    "nested objects": (b"{", b'"data":{', b"}}"),
    "escapes": (HEAD + b'"', b"\\", b'"]}'),
    "nothing": (b"", b"\x00", b""),
    "log of bad lines": (b"", b"A\tB\t-71\t1596866191387\n", b""),
    "log of blank lines": (b"", b"        \t        \r\n", b""),
    "log of one line": (b"", b"A", b""),
}


def flood(kind: str, size_bytes: int) -> Iterator[bytes]:
    """About so many bytes of one kind, in pieces of about 1 MB; "bytes" are random ones, "cases" are usable."""
    if kind == "bytes":
        source = random.Random(1)
        yield from (source.randbytes(1 << 20) for _ in range(size_bytes >> 20))
        return
    if kind == "cases":
        yield HEAD
        for first in range(0, size_bytes // len(GOOD % 0), 8192):
            yield b"".join(GOOD % number for number in range(first, first + 8192))
        yield TAIL
        return
    head, again, tail = FLOODS[kind]
    piece = again * max(1, (1 << 20) // len(again))
    yield head
    yield from itertools.repeat(piece, size_bytes // len(piece))
    yield tail


def pour(kind: str, size_bytes: int, into: int) -> None:
    with contextlib.suppress(BrokenPipeError), open(into, "wb", buffering=0) as stream:
        for piece in flood(kind, size_bytes):
            view = memoryview(piece)
            while view:
                view = view[stream.write(view) :]


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read(kind: str, megabytes: int) -> tuple[str | int, int]:
    """(sentence, or number of cases or sightings; number of what was rejected)"""
    readable, writable = os.pipe()
    thread = threading.Thread(target=pour, args=(kind, megabytes << 20, writable))
    thread.start()
    try:
        if kind.startswith("log"):
            log = trace_log.load(f"/dev/fd/{readable}")
            return len(log.sightings), len(log.rejected)
        listed = national_list.load(f"/dev/fd/{readable}")
        return len(listed.cases), len(listed.rejected)
    except UserError as error:
        return str(error), 0
    finally:
        os.close(readable)
        thread.join()


def main(megabytes: int, kinds: list[str]) -> None:
    for kind in kinds:
        read(kind, 1)
    for kind in kinds:
        before_bytes, begun_s = peak_bytes(), time.monotonic()
        outcome, rejected = read(kind, megabytes)
        measured = {
            "kind": kind,
            "outcome": outcome,
            "rejected": rejected,
            "grown_mb": round((peak_bytes() - before_bytes) / 1e6, 1),
            "peak_mb": round(peak_bytes() / 1e6, 1),
            "seconds": round(time.monotonic() - begun_s, 1),
        }
        print(json.dumps(measured), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
