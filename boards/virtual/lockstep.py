"""The virtual board's line to the host process, and its time.

Time stands still while this program runs; it moves when the program sleeps, by the host's word (DESIGN.md, "Virtual
time"). host_tools/simulation/board.py is the other end and has the table of frames.
"""

import os
import socket
import struct

from micropython import const

_HEAD = const("<HBI")  # payload bytes, kind, milliseconds since the start of the simulation
_HEAD_BYTES = const(7)
_ANSWER = const(0)

_socket = socket.socket(1, socket.SOCK_STREAM)  # AF_UNIX, which this port takes as a raw sockaddr
_buf = bytearray(160)  # the longest frame is an answer with a request of 64 bytes
_view = memoryview(_buf)
_waiting = []  # events that came while a call waited for its answer

now_ms = 0
_received = 0
_handlers = [None] * 8  # by kind of frame


def connect():
    """Say hello to the host named by BOARD_SOCKET."""
    _socket.connect(struct.pack("H", 1) + os.getenv("BOARD_SOCKET", "").encode() + b"\0")
    call(0, os.getenv("BOARD_NAME", "").encode())


def on(kind, handler):
    """Let `handler(payload)` have every frame of a kind; the payload is borrowed and zeroed afterwards."""
    _handlers[kind] = handler


def _read(length, at):
    end = at + length
    while at < end:
        got = _socket.readinto(_view[at:end])
        if not got:
            raise SystemExit  # the host has gone
        at += got


def _frame():
    global now_ms, _received
    _read(_HEAD_BYTES, 0)
    length, kind, now_ms = struct.unpack_from(_HEAD, _buf, 0)
    _read(length, _HEAD_BYTES)
    _received += 1
    return kind, length


def call(operation, payload=b""):
    """Ask the host; returns the answer's payload, borrowed until the next call.

    Raises:
        OSError: the number the host answered with.
    """
    _socket.write(struct.pack("<HB", len(payload), operation) + payload)
    while True:
        kind, length = _frame()
        if kind == _ANSWER:
            error = struct.unpack_from("<h", _buf, _HEAD_BYTES)[0]
            if error:
                raise OSError(error)
            return _view[_HEAD_BYTES + 2 : _HEAD_BYTES + length]
        _waiting.append((kind, bytes(_view[_HEAD_BYTES : _HEAD_BYTES + length])))


def _deliver(kind, payload):
    handler = _handlers[kind]
    if handler:
        handler(payload)


def idle(until_ms):
    """Let time go on until `until_ms`, or until an event has been delivered, whichever is first."""
    if _waiting:
        while _waiting:
            kind, payload = _waiting.pop(0)
            _deliver(kind, memoryview(bytearray(payload)))
        return
    if until_ms <= now_ms:
        return
    _socket.write(struct.pack("<HBII", 8, 1, until_ms, _received & 0xFFFFFFFF))
    kind, length = _frame()
    _deliver(kind, _view[_HEAD_BYTES : _HEAD_BYTES + length])
    for i in range(_HEAD_BYTES, _HEAD_BYTES + length):
        _buf[i] = 0  # boards re-use their buffers: whoever kept the payload shall notice
