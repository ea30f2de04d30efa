"""A person found positive releases keys and history: with the token's button and the health authority's code."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from rich.console import Console

from host_tools.authority import release_bundle
from host_tools.authority.release_bundle import Release
from host_tools.errors import UserError
from host_tools.fleet import audit
from host_tools.fleet.office import Office
from host_tools.link.adapter import Adapter, real
from host_tools.link.bluetooth import FoundToken, connected, tokens_in_sync_mode
from host_tools.link.errors import SessionError, SessionRefused
from host_tools.link.session import KioskSession
from host_tools.link.synchronise import synchronise
from host_tools.provisioning.token_keys import KioskRoot
from host_tools.storage.store import Encounter, Store
from tracing.kiosk_messages import ERROR_CODE
from tracing.wire import SHORT_CODE_BYTES

KEEP_ALIVE_S = 8.0  # while somebody is on the phone with the authority the token hears a request now and then
CODE_LETTERS = 8
TRIES = 3  # the token's limit for each press of the button

# Called with serial, challenge, and what was wrong with the code before; returns the next one.
AskForCode = Callable[[bytes, bytes, str], Awaitable[str]]


class CodesRefused(UserError):
    """The token has refused as many codes as it takes."""

    def __init__(self) -> None:
        super().__init__(
            f"The token has refused {TRIES} codes and hangs up. Its log is stored; nothing was released. Let the "
            "wearer press the button again, and ask the authority for a code to the new challenge."
        )


async def release(
    adapter: Adapter,
    code: str,
    root: KioskRoot,
    store: Store,
    now: Callable[[], float],
    ask: AskForCode,
    patience_s: float = 60.0,
) -> Release:
    """Sync a token, then let it release its escrow.

    Args:
        code: the short code on its label.
        now: Unix seconds.
        patience_s: how long to wait for it to be in sync mode.

    Raises:
        UserError: the token was not found, a session error, or the database failed. What was read is kept.
    """
    token = await _find(adapter, code, patience_s)
    async with connected(adapter, token) as transport:
        return await release_in(KioskSession(transport, root, code), store, now, ask, store.encounters)


async def release_in(
    session: KioskSession,
    store: Store,
    now: Callable[[], float],
    ask: AskForCode,
    history: Callable[[bytes], list[Encounter]],
) -> Release:
    """The whole of one session: the log is stored first, then the token releases its escrow for a code.

    Args:
        history: what of a token's log (by serial) is released; may raise UserError, then no challenge is asked for.
            Called in a thread.

    Raises:
        CodesRefused: no code was right.
        UserError: a session error, the database failed, or what `ask` and `history` raise. What was read is kept.
    """
    serial = (await synchronise(session, store, now)).info.serial
    encounters = await asyncio.to_thread(history, serial)
    challenge = await session.challenge()
    first_day, escrow = await _hand_over(session, lambda wrong: ask(serial, challenge, wrong))
    with contextlib.suppress(SessionError):
        await session.bye()  # the escrow is here: a link that is lost now costs nothing
    return Release(serial, int(now()), first_day, escrow, encounters)


async def _hand_over(session: KioskSession, ask: Callable[[str], Awaitable[str]]) -> tuple[int, bytes]:
    wrong = ""
    for _ in range(TRIES):
        try:
            return await session.release(await _awake(session, ask(wrong)))
        except SessionRefused as refusal:
            if refusal.code != ERROR_CODE:
                raise
            wrong = str(refusal)
    raise CodesRefused


async def _find(adapter: Adapter, code: str, patience_s: float) -> FoundToken:
    try:
        async with asyncio.timeout(patience_s), tokens_in_sync_mode(adapter) as found:
            while True:
                token = await found.get()
                if token.short_code == code:
                    return token
    except TimeoutError:
        raise UserError(
            f"No token {code} was in sync mode within {patience_s:.0f} seconds. Nothing was read or released. Ask the "
            "wearer to press the button until the light answers, then try again."
        ) from None


async def _awake(session: KioskSession, answer: Awaitable[str]) -> str:
    waiting = asyncio.ensure_future(answer)
    try:
        while not (await asyncio.wait({waiting}, timeout=KEEP_ALIVE_S))[0]:
            await session.info()
        return "".join(waiting.result().split()).upper()
    finally:
        waiting.cancel()


# --- On a terminal ---------------------------------------------------------------------------------------------


def release_here(
    code: str, out: Path, office: Office, actor: str, root: KioskRoot, patience_s: float
) -> dict[str, object]:
    """Release a token near this PC into the file `out`; returns what was done, for machines.

    Args:
        actor: whom the audit names.

    Raises:
        UserError: see `release`; or the file exists or cannot be written.
    """
    if len(code) != SHORT_CODE_BYTES:
        raise UserError(f"A token's code has {SHORT_CODE_BYTES} letters, not {code!r}. Nothing was done.")
    if out.exists():
        raise UserError(f"{out} exists already and was left as it is. Name another file.")
    console = Console(stderr=True)
    console.print(f"Waiting for {code}: ask the wearer to press the button until the light answers.")
    found = asyncio.run(release(real(), code, root, office.store, time.time, _Prompt(console), patience_s))
    release_bundle.write(out, found)
    with office.database.writing() as connection:
        audit.note(connection, office.now(), actor, "release", found.serial, encounters=len(found.encounters))
    console.print(f"{len(found.encounters)} encounters and the sealed key are in {out}, for the health authority only.")
    return {"file": str(out), "serial": found.serial.hex(), "encounters": len(found.encounters)}


class _Prompt:
    """Asks the person at the keyboard, in a thread that ends with the program."""

    def __init__(self, console: Console) -> None:
        self._console = console

    async def __call__(self, serial: bytes, challenge: bytes, wrong: str) -> str:
        if wrong:
            self._console.print(wrong)
        self._console.print(
            f"Tell the health authority: serial {serial.hex().upper()}, challenge {challenge.hex().upper()}."
        )
        while len("".join(code := await self._line())) != CODE_LETTERS:
            self._console.print(f"The code has {CODE_LETTERS} letters.")
        return "".join(code)

    async def _line(self) -> list[str]:
        loop = asyncio.get_running_loop()
        read = loop.create_future()

        def finish(line: str) -> None:
            if not read.done():
                read.set_result(line.split())

        def wait() -> None:
            try:
                line = self._console.input("Its code: ")
            except EOFError:
                line = ""
            loop.call_soon_threadsafe(finish, line)

        threading.Thread(target=wait, daemon=True).start()
        return await read
