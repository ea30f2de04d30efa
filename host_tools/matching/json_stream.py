"""JSON of any size as a stream of events, with the slips that people and programs make in hand-kept lists.

Tolerated: a byte order mark, `//` comments outside of texts, and the words NaN and Infinity, which arrive
as texts (so that whoever wants a number there rejects that one value, not the file). Memory stays bounded
whatever the file holds.
"""

import codecs
import re
from collections.abc import Iterator
from typing import Any, Protocol

import ijson

COMMENT = "comment"

_CHUNK_BYTES = 1 << 16
_TOKEN_LIMIT_BYTES = 1 << 16
_DEPTH_LIMIT = 10_000

# What a chunk has to be searched for. Text, comment and word also match when they reach the chunk's end and
# may go on in the next one. Quantifiers over unbounded text are possessive and words are only tried from
# their beginning, so that no input takes quadratic time.
_TOKEN = re.compile(
    rb"""
      (?P<text>    "[^"\\]*+ (?:\\.[^"\\]*+)*+ (?P<end>"|\\?\Z) )
    | (?P<comment> //[^\n]*+ (?P<newline>\n|\Z) )
    | (?P<open>    /\Z | (?<![\w.+-])[\w.+-]++\Z )
    | (?P<odd>     (?<![\w.+-])(?: -?(?:NaN|Infinity) | -?[\d.]++[eE][+-]?\d{4,}+ | [\d.eE+-]{60,}+ ) )
    """,
    re.VERBOSE | re.DOTALL,
)


class Readable(Protocol):
    """What is needed of a stream of bytes."""

    def read(self, size: int, /) -> bytes: ...


class BrokenJson(Exception):
    """The text is not JSON from here on. The message says why and in which line."""


def events(stream: Readable) -> Iterator[tuple[str, Any]]:
    """The file as (event, value) pairs: those of `ijson.basic_parse`, and (COMMENT, line number).

    Integers come as int, other numbers as Decimal, and a number of absurd length or exponent as text.

    Raises:
        BrokenJson: after all events before the damage. A text, number or comment of more than 64 KiB and
            nesting deeper than 10,000 are damage too.
    """
    found = ijson.sendable_list()
    parser = ijson.basic_parse_coro(found)
    depth = 0
    line = 1
    for data, comment_line in _pieces(stream):
        problem = _send(parser, data) if data else ""  # to the parser, nothing means the end
        for event, value in found:
            if event in ("start_map", "start_array"):
                depth += 1
            elif event in ("end_map", "end_array"):
                depth -= 1
            yield event, value
        del found[:]
        if problem:
            raise BrokenJson(f"{problem} in line {line} or after")
        if depth > _DEPTH_LIMIT:
            raise BrokenJson(f"nesting deeper than {_DEPTH_LIMIT} levels in line {line} or after")
        line += data.count(b"\n")
        if comment_line:
            yield COMMENT, comment_line
    try:
        parser.close()
    except ijson.JSONError as error:
        raise BrokenJson(f"{_reason(error)} in line {line}") from None
    yield from found


def _send(parser: Any, data: bytes) -> str:
    """Feed the parser; returns what it objects to, or "" when all is well."""
    try:
        parser.send(data)
    except ijson.JSONError as error:
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    """yajl's message without its picture of the place."""
    reason = error.args[0] if error.args else ""
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    first_line = text.split("\n", 1)[0].strip().rstrip(".")
    return "unexpected end" if "premature EOF" in first_line else first_line.removeprefix("parse error: ")


def _pieces(stream: Readable) -> Iterator[tuple[bytes, int]]:
    """Plain JSON in pieces, each with the line number of the comment that followed it, or 0."""
    carry = b""
    line = 1
    for chunk in _utf8_chunks(stream):
        final = not chunk
        buffer = carry + chunk
        carry = b""
        parts: list[bytes] = []
        at = 0
        counted = 0
        for token in _TOKEN.finditer(buffer):
            kind = token.lastgroup
            if not final and (kind == "open" or token["end"] in (b"", b"\\") or token["newline"] == b""):
                carry = token[0]
                buffer = buffer[: token.start()]
                break
            if kind == "comment":
                parts.append(buffer[at : token.start()])
                line += buffer.count(b"\n", counted, token.start())
                yield b"".join(parts), line
                parts = []
                at = counted = token.end() - len(token["newline"])
            elif kind == "odd":
                parts += buffer[at : token.start()], b'"', token[0], b'"'
                at = token.end()
        parts.append(buffer[at:])
        yield b"".join(parts), 0
        line += buffer.count(b"\n", counted)
        if len(carry) > _TOKEN_LIMIT_BYTES:
            raise BrokenJson(f"a text, number or comment of more than 64 KiB in line {line}")


def _utf8_chunks(stream: Readable) -> Iterator[bytes]:
    """The file in chunks, checked to be UTF-8 and freed from a byte order mark; ends with an empty chunk."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    head = stream.read(3)
    chunk = (b"" if head == codecs.BOM_UTF8 else head) + stream.read(_CHUNK_BYTES)
    checked_bytes = 0
    while True:
        try:
            decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            raise BrokenJson(f"not UTF-8 text near byte {checked_bytes + error.start}") from None
        yield chunk
        if not chunk:
            return
        checked_bytes += len(chunk)
        chunk = stream.read(_CHUNK_BYTES)
