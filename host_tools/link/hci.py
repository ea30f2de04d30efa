"""A Bluetooth controller that the kiosk drives itself, through Bumble, in place of this PC's Bluetooth service: a
dongle that no other program uses, or a simulated one in another process."""

import asyncio
import contextlib

from bleak.exc import BleakError
from bumble import hci
from bumble.device import Device, DeviceConfiguration
from bumble.host import Host
from bumble.transport import open_transport
from bumble.transport.common import Transport

_BEGIN_LIMIT_S = 10.0


class HciRadio:
    """See bumble_backend.Radio.

    Args:
        name: Bumble's for the way to the controller, such as usb:0, serial:/dev/ttyACM0,115200 or unix:/run/hci.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._transport: Transport | None = None
        self._device: Device | None = None

    async def open(self) -> Device:
        """The device. A controller that has gone is looked for anew.

        Raises:
            BleakError: it is not there, or does not answer.
        """
        if not self._there():
            await self._begin()
        return self.device()

    def device(self) -> Device:
        """The device.

        Raises:
            BleakError: its controller has gone.
        """
        if self._device is None or not self._there():
            raise BleakError(f"the controller {self._name} has gone")
        return self._device

    def _there(self) -> bool:
        return self._transport is not None and not self._transport.source.terminated.done()

    async def _begin(self) -> None:
        await self._end()
        try:
            async with asyncio.timeout(_BEGIN_LIMIT_S):
                self._transport = transport = await open_transport(self._name)
                address = hci.Address.generate_static_address()
                config = DeviceConfiguration(name="kiosk", address=address, keystore=None)
                device = Device(config=config, host=Host(transport.source, transport.sink))
                await device.power_on()
        except Exception as error:  # each kind of transport has its own
            await self._end()
            raise BleakError(f"the controller {self._name} does not answer: {error or type(error).__name__}") from error
        self._device = device

    async def _end(self) -> None:
        transport, self._transport, self._device = self._transport, None, None
        if transport is not None:
            with contextlib.suppress(Exception):
                await transport.close()
