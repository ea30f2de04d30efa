"""The time, as the fleet asks for it, and whether it can be right."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from host_tools.errors import UserError

Clock = Callable[[], int]  # Unix s

DIFFER_S = 120  # two machines' clocks may
EARLIEST_S = 1_577_836_800  # 2020-01-01 UTC: before any Bluezone id
BELIEVED_AFTER_S = 600  # a clock that was set back is believed after so long: it can be put right until then


def system_clock() -> int:
    """This machine's."""
    return int(time.time())


class ClockWrong(UserError):
    """The kiosk's clock cannot be right: no token's clock is set by it."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why} Nothing was read, and no token's clock was set. Set the kiosk's clock, then try again."
        )


def check(now_s: float, latest_sync_s: int = 0, published_s: int | None = None) -> None:
    """Whether a clock can be right.

    Args:
        latest_sync_s: when any kiosk of the fleet last finished a sync; 0: never.
        published_s: when the authority signed the list that is in use, if it did.

    Raises:
        ClockWrong: it lags behind what has happened already.
    """
    for what, at_s, whose in (
        ("the last sync was at", latest_sync_s, "another kiosk's"),
        ("the list in use was published at", published_s or 0, "the authority's"),
        ("it cannot be before", EARLIEST_S + DIFFER_S, ""),
    ):
        if now_s < at_s - DIFFER_S:
            at_s -= 0 if whose else DIFFER_S
            why = f"This kiosk's clock says {_moment(now_s)}, but {what} {_moment(at_s)} (UTC)."
            if whose:
                why += f" If it is right, {whose} was ahead: an admin can say so, in the settings."
            raise ClockWrong(why)


class ClockWatch:
    """Notices that the clock is set back while the kiosk runs.

    Args:
        now: Unix s; steady: seconds that only go forward, at the same pace.
    """

    def __init__(self, now: Callable[[], float], steady: Callable[[], float]) -> None:
        self._now = now
        self._steady = steady
        self._lead_s: float | None = None
        self._doubted_s: float | None = None

    def believe(self) -> None:
        """Somebody has looked: the clock is right. From any thread."""
        self._lead_s = None

    def check(self) -> None:
        """To be called every now and then; the first time is believed.

        Raises:
            ClockWrong: it has been set back, less than BELIEVED_AFTER_S ago.
        """
        steady_s = self._steady()
        lead_s = self._now() - steady_s
        before_s = self._lead_s
        back_s = 0 if before_s is None else before_s - lead_s
        if back_s > DIFFER_S:
            if self._doubted_s is None:
                self._doubted_s = steady_s
            if steady_s - self._doubted_s < BELIEVED_AFTER_S:
                raise ClockWrong(f"This kiosk's clock was set back by {back_s / 60:.0f} minutes while it was running.")
        self._doubted_s = None
        self._lead_s = lead_s


def _moment(unix_s: float) -> str:
    return f"{datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M}"
