"""Lines to the kiosk that say nothing, or take their time, or are too many."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from host_tools.web import line
from host_tools.web.running import listen

HERE, ELSEWHERE = ("127.0.0.1", 0), ("127.0.0.2", 0)  # Linux has the whole network; the kiosk takes one for its own
WHOLE = b"POST / HTTP/1.1\r\nhost: kiosk\r\ncontent-length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[int]:
    """A page at a port; it answers at once, whatever is still to come."""
    server = uvicorn.Server(line.server_config(PlainTextResponse("here")))
    with listen("0.0.0.0", 0) as listener:
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await task


async def opened(port: int, source: tuple[str, int]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", port, local_addr=source)


async def all_of(reader: asyncio.StreamReader) -> bytes:
    """What comes until the kiosk closes the line."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while some := await reader.read(4096):
            data += some
    return data


@pytest.mark.parametrize("said", [b"", WHOLE[:1], WHOLE[:30], WHOLE[:-2], WHOLE[:-1], WHOLE + WHOLE[:30]])
def test_a_line_on_which_no_request_comes_is_closed(monkeypatch, said):
    monkeypatch.setattr(line, "REQUEST_S", 0.2)

    async def say() -> bytes:
        async with serving() as port:
            reader, writer = await opened(port, HERE)
            writer.write(said)
            answer = await asyncio.wait_for(all_of(reader), 60)
            writer.close()
            return answer

    answer = asyncio.run(say())
    assert answer.count(b"here") == (len(said) >= len(WHOLE) - 2)


def test_a_stranger_keeps_neither_others_nor_the_kiosk_out(monkeypatch):
    monkeypatch.setattr(line, "MOST_LINES", 6)
    monkeypatch.setattr(line, "MOST_OF_ADDRESS", 4)

    async def crowd() -> None:
        async with serving() as port:
            lines = [await opened(port, ELSEWHERE) for _ in range(4)]
            for source, kept in ((ELSEWHERE, False), (("127.0.0.3", 0), True), (("127.0.0.3", 0), True),
                                 (("127.0.0.4", 0), False), (HERE, True)):  # fmt: skip
                reader, writer = await opened(port, source)
                lines.append((reader, writer))
                writer.write(WHOLE)
                if kept:
                    assert b"200 OK" in await reader.readuntil(b"here")
                else:
                    assert await all_of(reader) == b""
            for _, writer in lines:
                writer.close()

    asyncio.run(crowd())


def test_a_line_that_ends_makes_room(monkeypatch):
    monkeypatch.setattr(line, "MOST_OF_ADDRESS", 1)

    async def one_by_one() -> None:
        async with serving() as port:
            for _ in range(3):
                reader, writer = await opened(port, ELSEWHERE)
                writer.write(WHOLE.replace(b"host", b"connection: close\r\nhost"))
                assert b"200 OK" in await all_of(reader)
                writer.close()

    asyncio.run(one_by_one())
