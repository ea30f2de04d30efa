"""Tokens over Bluetooth: finds those in sync mode and carries the fragments of a session, through bleak."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bleak.backends.device import BLEDevice

from host_tools.errors import UserError
from tracing.wire import (
    SHORT_CODE_BYTES,
    SHORT_CODE_LETTERS,
    SYNC_CONTROL_UUID,
    SYNC_DATA_UUID,
    SYNC_SERVICE_UUID,
)

from .adapter import Adapter
from .errors import LinkLost

_ATT_HEADER_BYTES = 3
# Services of this PC that restart, and strangers' devices, may leave any call without an answer.
_SCANNER_LIMIT_S = 15.0
CONNECT_LIMIT_S = 20.0  # with all that is asked before the session; nobody else is connected meanwhile
_DISCONNECT_LIMIT_S = 10.0

# An adapter that is pulled out and a Bluetooth service that ends make bleak raise more than its own errors: EOFError of
# a closed bus, AssertionError of what it takes for granted, and those of its backends. To the kiosk they are all one.


class AdapterMissing(UserError):
    """This PC's Bluetooth cannot be used."""


@dataclass(frozen=True)
class FoundToken:
    """A token in sync mode.

    Attributes:
        short_code: the six letters on its label; empty when the scan response has not been received yet, or names
            something else.
    """

    device: BLEDevice
    short_code: str
    rssi_dbm: int

    @property
    def address(self) -> str:
        """Changes with every slot; good for telling two tokens apart while they are here."""
        return self.device.address


@contextlib.asynccontextmanager
async def tokens_in_sync_mode(adapter: Adapter) -> AsyncIterator["asyncio.Queue[FoundToken]"]:
    """Scan while the context lasts; the queue gets every advertisement of a token in sync mode.

    Raises:
        AdapterMissing: the adapter is missing, switched off, or not allowed.
    """
    found: asyncio.Queue[FoundToken] = asyncio.Queue()

    def detected(device: BLEDevice, advertisement) -> None:
        found.put_nowait(FoundToken(device, _short_code(advertisement.local_name or ""), advertisement.rssi))

    scanner = adapter.scanner(detected, [SYNC_SERVICE_UUID])
    try:
        async with asyncio.timeout(_SCANNER_LIMIT_S):
            await scanner.start()
    except Exception as error:
        raise AdapterMissing(
            f"The Bluetooth adapter cannot scan ({error or type(error).__name__}). Nothing was read. Check that it is "
            "plugged in and on."
        ) from error
    try:
        yield found
    finally:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_SCANNER_LIMIT_S):
                await scanner.stop()


def _short_code(name: str) -> str:
    # Anybody can advertise any name, and this one is going to be on the clerk's screen.
    return name if len(name) == SHORT_CODE_BYTES and set(name) <= set(SHORT_CODE_LETTERS) else ""


class BleakTransport:
    """A connection to one token; see channel.Transport."""

    def __init__(self, client) -> None:
        self._client = client
        self._control = client.services.get_characteristic(SYNC_CONTROL_UUID)
        self.receive: asyncio.Queue[bytes | None] = asyncio.Queue()

    @property
    def mtu_payload(self) -> int:
        """What fits into one write."""
        try:
            return self._client.mtu_size - _ATT_HEADER_BYTES
        except Exception as error:
            raise LinkLost from error

    async def write(self, fragment: bytes) -> None:
        """Send one fragment and wait until the token has it."""
        try:
            await self._client.write_gatt_char(self._control, fragment, response=True)
        except Exception as error:
            raise LinkLost from error


@contextlib.asynccontextmanager
async def connected(adapter: Adapter, token: FoundToken) -> AsyncIterator[BleakTransport]:
    """Connect to a token for as long as the context lasts.

    Raises:
        LinkLost: no connection, or what answered is no token.
    """
    transport: BleakTransport | None = None

    def gone(_client) -> None:
        if transport is not None:
            transport.receive.put_nowait(None)

    client = adapter.client(token.device, gone)
    try:
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                await client.connect()
                if client.services.get_characteristic(SYNC_DATA_UUID) is None:
                    raise LinkLost("The device that answered is not a token.")
                transport = BleakTransport(client)
                receive = transport.receive
                await client.start_notify(SYNC_DATA_UUID, lambda _source, data: receive.put_nowait(bytes(data)))
        except LinkLost:
            raise
        except Exception as error:
            raise LinkLost("The token was found but could not be connected.") from error
        yield transport
    finally:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_DISCONNECT_LIMIT_S):
                await client.disconnect()
