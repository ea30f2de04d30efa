"""Releases that a health officer begins on a page: the token's next visit is for the release, not for a sync.

What was released stays in memory alone. It goes when it was fetched or deleted, after KEEP_S, and with the process.
"""

import asyncio
import math
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from host_tools.authority import release_bundle
from host_tools.authority.release_bundle import Release
from host_tools.errors import UserError
from host_tools.fleet import audit
from host_tools.fleet.desk import TurnedAway
from host_tools.fleet.office import Office
from host_tools.link.session import KioskSession
from host_tools.storage.store import Encounter
from tracing.wire import SHORT_CODE_LETTERS, short_code

from .release import CODE_LETTERS, TRIES, CodesRefused, release_in

MOST = 8  # at once, those that have ended included
PRESS_WITHIN_S = 600.0
SESSION_S = 285.0  # the token hangs up after 300 s, whatever is being said
KEEP_S = 900.0
_REST_S = 3.0  # after a visit that came to nothing: another device may have called itself by that code

State = Literal["waiting", "reading", "code", "checking", "done", "fetched", "failed"]
_HERE: tuple[State, ...] = ("reading", "code", "checking")
UNDER_WAY: tuple[State, ...] = ("waiting", *_HERE)


class ReleaseError(UserError):
    """What cannot be done with a release now."""


class _CalledOff(ReleaseError):
    """Somebody has cancelled it."""


class ReleaseScreen(Protocol):
    """What the wearer sees of it, by the short code on the token's label."""

    def handing_over(self, code: str) -> None:
        """The token is here for its release."""

    def handed_over(self, code: str, released: bool) -> None:
        """The visit is over."""


@dataclass(frozen=True, slots=True)
class Handover:
    """One release, as it stands at a moment.

    Attributes:
        number: by which pages name it.
        serial, code: of the token that the officer has named, and on its label.
        until_s: when the state ends by itself, Unix s; 0: as the session ends.
        problem: why it failed, or what went wrong before; a sentence.
        challenge: what the authority's code must fit, 5 bytes; empty before the token has told it.
        encounters: how many were released.
    """

    number: int
    serial: bytes
    code: str
    begun_by: str
    state: State = "waiting"
    until_s: int = 0
    problem: str = ""
    challenge: bytes = b""
    tries_left: int = TRIES
    encounters: int = 0


@dataclass(slots=True)
class _Job:
    """`seen` is replaced as a whole; times are of the event loop."""

    seen: Handover
    press_by_s: float
    rest_until_s: float = 0.0
    session_ends_s: float = 0.0
    actor: str = ""  # who gave the code
    answer: "asyncio.Future[str] | None" = None
    file: bytes = b""
    timer: asyncio.TimerHandle | None = None


class ReleaseDesk:
    """All releases of a kiosk; see contracts.Releases. All methods belong to the kiosk's event loop.

    Args:
        now: Unix seconds.
    """

    def __init__(self, office: Office, screen: ReleaseScreen, now: Callable[[], float]) -> None:
        self._office = office
        self._screen = screen
        self._now = now
        self._jobs: dict[int, _Job] = {}
        self._last = 0

    # --- The officer -------------------------------------------------------------------------------------------

    def all(self) -> list[Handover]:
        """Those under way and those that have just ended, oldest first."""
        return [job.seen for job in self._jobs.values()]

    def look(self, number: int) -> Handover:
        """Raises ReleaseError when it is over and forgotten."""
        return self._job(number).seen

    async def begin(self, actor: str, serial: bytes) -> Handover:
        """Hold a token's next visit for a release.

        Raises:
            ReleaseError: there is one of this token already, or there are too many.
            StorageError: the audit cannot take it; nothing was begun.
        """
        code = short_code(serial)
        for job in list(self._jobs.values()):
            if job.seen.code == code:
                if job.seen.state in UNDER_WAY or job.file:
                    raise ReleaseError(
                        f"There is a release of token {code} already. Nothing was begun. Finish that one, or cancel it."
                    )
                self._forget(job)
        if len(self._jobs) >= MOST:
            ended = [job for job in self._jobs.values() if job.seen.state not in UNDER_WAY and not job.file]
            if not ended:
                raise ReleaseError(
                    f"{MOST} releases are under way or wait to be fetched. Nothing was begun. Finish one first."
                )
            self._forget(ended[0])
        self._last += 1
        job = _Job(Handover(self._last, serial, code, actor), math.inf, rest_until_s=math.inf)
        self._jobs[self._last] = job  # its place is taken; it begins when the audit has it
        try:
            await self._note(actor, "begin release", serial)
        except BaseException:
            self._forget(job)
            raise
        job.press_by_s = asyncio.get_running_loop().time() + PRESS_WITHIN_S
        job.rest_until_s = 0.0
        self._wait(job)
        return job.seen

    def enter_code(self, actor: str, number: int, text: str) -> None:
        """The authority's code, as the officer has typed it.

        Raises:
            ReleaseError: none is wanted now, or it can be none; no try is lost.
        """
        job = self._job(number)
        letters = "".join(letter for letter in text if letter.isalnum()).upper()
        if job.seen.state != "code" or job.answer is None or job.answer.done():
            raise ReleaseError("No code is wanted now. Nothing was sent to the token. Look at the release again.")
        if len(letters) != CODE_LETTERS or not set(letters) <= set(SHORT_CODE_LETTERS):
            raise ReleaseError(
                f"A code has {CODE_LETTERS} letters out of {SHORT_CODE_LETTERS}. Nothing was sent to the token, and no "
                "try is lost. Ask the authority again."
            )
        job.actor = actor
        job.answer.set_result(letters)
        self._turn(job, "checking")

    async def cancel(self, actor: str, number: int) -> None:
        """Call a release off, or delete what was released."""
        job = self._job(number)
        await self._note(actor, "delete release" if job.file else "cancel release", job.seen.serial)
        self._forget(job)

    async def fetch(self, actor: str, number: int) -> bytes:
        """What was released, as the content of its file, once.

        Raises:
            ReleaseError: it has been fetched, or is not there yet.
        """
        job = self._job(number)
        if not job.file:
            raise ReleaseError("There is no file to fetch. Nothing was handed out. Look at the release again.")
        file, job.file = job.file, b""
        try:
            await self._note(actor, "fetch release", job.seen.serial, encounters=job.seen.encounters)
        except BaseException:
            job.file = file if number in self._jobs else b""
            raise
        if number in self._jobs:
            self._turn(job, "fetched", KEEP_S, self._forget)
        return file

    # --- The kiosk ---------------------------------------------------------------------------------------------

    def holds(self, code: str) -> bool:
        return any(job.seen.code == code and job.seen.state in UNDER_WAY for job in self._jobs.values())

    def ready(self, code: str) -> bool:
        return self._waiting(code) is not None

    async def serve(self, code: str, session: AbstractAsyncContextManager[KioskSession]) -> None:
        job = self._waiting(code)
        if job is None:
            return
        job.session_ends_s = asyncio.get_running_loop().time() + SESSION_S
        self._turn(job, "reading")
        self._screen.handing_over(code)
        try:
            async with session as opened:
                found = await release_in(
                    opened, self._office.store, self._now,
                    lambda _serial, challenge, wrong: self._ask(job, challenge, wrong),
                    lambda serial: self._history(job, serial),
                )  # fmt: skip
            await self._released(job, found)
        except UserError as error:
            await self._went_wrong(job, error)
        finally:
            if job.seen.state in _HERE:
                self._fail(job, "The kiosk has stopped reading this token. Nothing was released. Begin again.")
            self._screen.handed_over(code, job.seen.state == "done")

    def _history(self, job: _Job, serial: bytes) -> list[Encounter]:
        if serial != job.seen.serial:
            raise TurnedAway(
                f"Another token has the short code {job.seen.code} too, and came. Its log is stored; nothing was "
                "released. Begin again with the serial of the right one."
            )
        return self._office.desk.encounters(serial, int(self._now()))

    async def _ask(self, job: _Job, challenge: bytes, wrong: str) -> str:
        if job.seen.number not in self._jobs:
            raise _CalledOff("The release was cancelled. Nothing was released.")
        if wrong:
            await self._refused(job)
        job.answer = asyncio.get_running_loop().create_future()
        job.seen = replace(job.seen, challenge=challenge, problem=wrong)
        self._turn(job, "code", job.session_ends_s - asyncio.get_running_loop().time(), self._too_late)
        return await job.answer

    async def _refused(self, job: _Job) -> None:
        job.seen = replace(job.seen, tries_left=job.seen.tries_left - 1)
        await self._note(job.actor, "release code refused", job.seen.serial, tries_left=job.seen.tries_left)

    async def _released(self, job: _Job, found: Release) -> None:
        if job.seen.number not in self._jobs:
            return
        await self._note(job.actor, "release", found.serial, encounters=len(found.encounters))
        if job.seen.number not in self._jobs:  # cancelled meanwhile
            return
        job.file = release_bundle.encoded(found)
        job.seen = replace(job.seen, encounters=len(found.encounters), problem="")
        self._turn(job, "done", KEEP_S, self._forget)

    async def _went_wrong(self, job: _Job, error: UserError) -> None:
        loop_s = asyncio.get_running_loop().time()
        if job.seen.challenge or isinstance(error, TurnedAway) or loop_s >= job.press_by_s:
            self._fail(job, str(error))
            if isinstance(error, CodesRefused):
                await self._refused(job)
        elif job.seen.number in self._jobs:
            job.rest_until_s = loop_s + _REST_S
            job.seen = replace(job.seen, problem=str(error))
            self._wait(job)

    # --- One release -------------------------------------------------------------------------------------------

    def _job(self, number: int) -> _Job:
        job = self._jobs.get(number)
        if job is None:
            raise ReleaseError(
                f"Release {number} is over: it was cancelled, or has ended more than {KEEP_S / 60:.0f} minutes ago. "
                "Nothing is kept of it but the kiosk's audit. Begin again if need be."
            )
        return job

    def _waiting(self, code: str) -> _Job | None:
        loop_s = asyncio.get_running_loop().time()
        for job in self._jobs.values():
            if job.seen.code == code and job.seen.state == "waiting" and loop_s >= job.rest_until_s:
                return job
        return None

    def _wait(self, job: _Job) -> None:
        self._turn(job, "waiting", job.press_by_s - asyncio.get_running_loop().time(), self._nobody)

    def _nobody(self, job: _Job) -> None:
        self._fail(
            job,
            f"The button was not pressed within {PRESS_WITHIN_S / 60:.0f} minutes, or the token was not read. Nothing "
            "was released. Begin again.",
        )

    def _too_late(self, job: _Job) -> None:
        problem = (
            "The token waits five minutes for a code, and they are over. Its log is stored; nothing was released. "
            "Begin again, and ask the authority for a code to the new challenge."
        )
        if job.answer is not None and not job.answer.done():
            job.answer.set_exception(ReleaseError(problem))

    def _fail(self, job: _Job, problem: str) -> None:
        if job.seen.number in self._jobs:
            job.seen = replace(job.seen, problem=problem)
            self._turn(job, "failed", KEEP_S, self._forget)

    def _turn(self, job: _Job, state: State, lasts_s: float = 0.0, then: Callable[[_Job], None] | None = None) -> None:
        if job.timer is not None:
            job.timer.cancel()
            job.timer = None
        until_s = 0
        if then is not None:
            job.timer = asyncio.get_running_loop().call_later(lasts_s, then, job)
            until_s = int(self._now() + lasts_s)
        job.seen = replace(job.seen, state=state, until_s=until_s)

    def _forget(self, job: _Job) -> None:
        self._jobs.pop(job.seen.number, None)
        job.file = b""
        if job.timer is not None:
            job.timer.cancel()
        if job.answer is not None and not job.answer.done():
            job.answer.set_exception(_CalledOff("The release was cancelled. Nothing was released."))

    async def _note(self, actor: str, action: str, serial: bytes, **detail: int) -> None:
        def write() -> None:
            with self._office.database.writing() as connection:
                audit.note(connection, self._office.now(), actor, action, serial, **detail)

        await asyncio.to_thread(write)
