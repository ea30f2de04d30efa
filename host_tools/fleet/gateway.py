"""The way of a message to a gateway: apprise, within a time limit."""

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import apprise

Send = Callable[[str, str, str], bool]  # apprise URL, title, text → whether the gateway took it
SAMPLES = {"mail": "an@example.vn", "phone": "+84905123456"}  # by kind of address


class NoWay(Exception):
    """There is no such gateway, or it knows no such address: trying again helps nobody."""


class TooSlow(Exception):
    """The gateway has not answered in time; it may have taken the message."""


def known(url: str) -> bool:
    """Whether apprise knows what to do with a URL."""
    return _service(url) is not None


def send_by_apprise(url: str, title: str, text: str) -> bool:
    """Hand a message to a gateway.

    Raises:
        NoWay: the URL is none that apprise knows.
    """
    service = _service(url)
    if service is None:
        raise NoWay
    return bool(service.notify(body=text, title=title))


def within(seconds: float, send: Send, url: str, title: str, text: str) -> bool:
    """Send, but wait for no longer than this. apprise limits each step of a connection, not the whole.

    Raises:
        TooSlow: the time is over. The thread that waits is left to itself.
        Exception: whatever `send` raises.
    """
    outcome: list[bool | Exception] = []

    def run() -> None:
        try:
            outcome.append(send(url, title, text))
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=run, daemon=True, name="gateway")  # a daemon: it does not keep a kiosk from ending
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TooSlow
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _service(url: str) -> "apprise.NotifyBase | None":
    import apprise

    # It would write URLs into the log, and with them passwords and addresses.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    found = apprise.Apprise.instantiate(url, suppress_exceptions=True)
    return found if isinstance(found, apprise.NotifyBase) else None
