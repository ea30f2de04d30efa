"""A browser's line to the kiosk: how many there may be, and how long one may take over a request.

Tokens are read by the same process: who opens lines and says nothing would take its files from it, one by one.
"""

import asyncio
from typing import Any

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from .guard import LOCAL_ADDRESSES

MOST_LINES, MOST_OF_ADDRESS = 300, 40  # a browser opens six, a desk has a few; a process has 1024 files
REQUEST_S = 60.0  # within which a request has come, a staff list included


class Line(H11Protocol):
    """uvicorn's, which waits for ever. A line beyond the limits is closed before a word is read from it."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # Those from elsewhere leave room for the kiosk's own browser. A proxy's lines all come from here.
        here, address = self._is_local(), self._address()
        lines = [line for line in self.connections if isinstance(line, Line) and line._is_local() == here]
        of_address = sum(line._address() == address for line in lines)
        if len(lines) > MOST_LINES or (not here and of_address > MOST_OF_ADDRESS):
            transport.abort()
        else:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._come()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._judge()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._judge()

    def _judge(self) -> None:
        """Whether a request is expected, or the rest of one."""
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._expect()
        else:
            self._come()

    def _expect(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(REQUEST_S, self.transport.abort)

    def _come(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _is_local(self) -> bool:
        return self._address() in LOCAL_ADDRESSES

    def _address(self) -> str:
        return self.client[0] if self.client else ""


def server_config(app: ASGIApp) -> uvicorn.Config:
    """How the pages are served."""
    return uvicorn.Config(
        app, http=Line, ws="none", log_config=None, access_log=False, server_header=False, proxy_headers=False,
        lifespan="off", timeout_graceful_shutdown=1,
    )  # fmt: skip
