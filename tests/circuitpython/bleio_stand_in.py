"""A stand-in for CircuitPython's `_bleio` of an nRF52840 on the virtual air; only what the firmware uses.

What it refuses and how it blocks follows ports/nordic/common-hal/_bleio and shared-module/_bleio of CircuitPython 10.
"""

import asyncio
import types
from collections import deque
from collections.abc import Iterable
from typing import Any

from bumble import gatt, hci
from bumble.core import UUID, BaseBumbleError
from bumble.device import AdvertisingType, Device, LegacyAdvertiser, Peer
from bumble.device import Connection as Link
from bumble.gatt_server import Server
from fiber import Fiber

from host_tools.simulation.air import Air
from host_tools.simulation.board import make_device
from host_tools.simulation.controller import VirtualController

NOTIFY_QUEUE = 5  # BLEIO_HVN_TX_QUEUE_SIZE
REPORT_HEAD_BYTES = 19
NO_ACCESS, OPEN = 0, 0x11
BROADCAST, READ, WRITE_NO_RESPONSE, WRITE, NOTIFY = 1, 2, 4, 8, 16


class BluetoothError(Exception):
    """As in `_bleio`."""


class Address:
    """As in `_bleio`: the bytes are little-endian."""

    PUBLIC, RANDOM_STATIC, RANDOM_PRIVATE_RESOLVABLE, RANDOM_PRIVATE_NON_RESOLVABLE = range(4)

    def __init__(self, address: bytes, address_type: int) -> None:
        assert len(address) == 6
        self.address_bytes = bytes(address)
        self.type = address_type

    @property
    def hci(self) -> hci.Address:
        return hci.Address(self.address_bytes, hci.AddressType(int(self.type != Address.PUBLIC)))


class ScanEntry:
    """One advertisement."""

    def __init__(self, address: hci.Address, kind: int, rssi: int, data: bytes) -> None:
        self.address = Address(bytes(address), int(address.is_random))
        self.advertisement_bytes = data
        self.rssi = rssi
        self.connectable = kind == 0
        self.scan_response = kind == 4


class ScanResults:
    """An iterator that blocks while there is nothing and the scan goes on."""

    def __init__(self, chip: "Chip", buffer_size: int, minimum_rssi: int) -> None:
        self._chip = chip
        self._free = buffer_size
        self._minimum_rssi = minimum_rssi
        self._entries: deque[ScanEntry] = deque()
        self.done = False

    def append(self, address: hci.Address, kind: int, rssi: int, data: bytes) -> None:
        size = REPORT_HEAD_BYTES + len(data)
        if not self.done and rssi >= self._minimum_rssi and size <= self._free:
            self._free -= size
            self._entries.append(ScanEntry(address, kind, rssi, data))

    def __iter__(self) -> "ScanResults":
        return self

    def __next__(self) -> ScanEntry:
        while not self._entries:
            if self.done:
                raise StopIteration
            self._chip.fiber.sleep(0.001)
        entry = self._entries.popleft()
        self._free += REPORT_HEAD_BYTES + len(entry.advertisement_bytes)
        return entry


class Connection:
    """A connection, whoever made it."""

    def __init__(self, chip: "Chip", link: Link) -> None:
        self._chip = chip
        self.link = link
        self.connected = True
        link.on("disconnection", self._gone)

    def _gone(self, _reason: int) -> None:
        self.connected = False

    @property
    def max_packet_length(self) -> int:
        if not self.connected:
            raise ConnectionError("Not connected")
        return self.link.att_mtu - 3

    def disconnect(self) -> None:
        """Begins to disconnect; returns at once."""
        if self.connected and not self._chip.keeps_connections:
            self._chip.spawn(self.link.disconnect())

    def discover_remote_services(self, service_uuids_whitelist: Iterable[UUID]) -> tuple["RemoteService", ...]:
        """Blocks."""
        return self._chip.wait_for(self._discover(list(service_uuids_whitelist)))

    async def _discover(self, uuids: list[UUID]) -> tuple["RemoteService", ...]:
        peer = Peer(self.link)
        services = await peer.discover_services(uuids)
        for service in services:
            await service.discover_characteristics()
        return tuple(RemoteService(self._chip, service) for service in services)


class RemoteService:
    """A service of a peer."""

    def __init__(self, chip: "Chip", proxy) -> None:
        self.uuid = proxy.uuid
        self.characteristics = tuple(RemoteCharacteristic(chip, found) for found in proxy.characteristics)


class RemoteCharacteristic:
    """A characteristic of a peer; reading its value blocks."""

    def __init__(self, chip: "Chip", proxy) -> None:
        self._chip = chip
        self._proxy = proxy
        self.uuid = proxy.uuid

    @property
    def value(self) -> bytearray:
        return bytearray(self._chip.wait_for(self._proxy.read_value()))


class Attribute:
    """Who may read or write."""

    NO_ACCESS, OPEN = NO_ACCESS, OPEN


class Service:
    """A service of the token."""

    def __init__(self, chip: "Chip", uuid: UUID) -> None:
        self.uuid = uuid
        self.characteristics: list[Characteristic] = []
        chip.unpublished.append(self)


class Characteristic:
    """A characteristic of the token; setting its value notifies all who have subscribed."""

    READ, WRITE, WRITE_NO_RESPONSE, NOTIFY = READ, WRITE, WRITE_NO_RESPONSE, NOTIFY

    def __init__(
        self, chip: "Chip", service: Service, uuid: UUID, *, properties: int, read_perm: int = OPEN,
        write_perm: int = OPEN, max_length: int = 20, fixed_length: bool = False, initial_value: bytes = b"",
    ) -> None:  # fmt: skip
        self._chip = chip
        self._fixed_length = fixed_length
        self._value = bytes(initial_value)
        self.max_length = max_length
        self.can_be_subscribed = bool(properties & NOTIFY) and read_perm == OPEN
        self.packets: PacketBuffer | None = None
        permissions = gatt.Characteristic.Permissions(0)
        if read_perm == OPEN:
            permissions |= gatt.Characteristic.READABLE
        if write_perm == OPEN:
            permissions |= gatt.Characteristic.WRITEABLE
        self.gatt = gatt.Characteristic(
            uuid, gatt.Characteristic.Properties(properties), permissions,
            gatt.CharacteristicValue(read=lambda _link: self._value, write=self._written),
        )  # fmt: skip
        service.characteristics.append(self)

    def _written(self, link: Link, value: bytes) -> None:
        if len(value) <= self.max_length and self.packets:
            self.packets.write(link, value)

    @property
    def value(self) -> bytearray:
        return bytearray(self._value)

    @value.setter
    def value(self, value: bytes) -> None:
        if len(value) > self.max_length or (self._fixed_length and len(value) != self.max_length):
            raise ValueError("Value length")
        self._value = bytes(value)
        if self.can_be_subscribed and self._chip.device.connections:
            self._chip.wait_for(self._notify())

    async def _notify(self) -> None:
        queue = self._chip.device.host.le_acl_packet_queue
        while queue is not None and queue.pending >= NOTIFY_QUEUE:
            await asyncio.sleep(0.001)
        await self._chip.device.notify_subscribers(self.gatt, self._value)


class PacketBuffer:
    """What centrals write, packet by packet. It belongs to the first that writes until that one has gone."""

    def __init__(self, characteristic: Characteristic, *, buffer_size: int, max_packet_size: int) -> None:
        self._packets: deque[bytes] = deque(maxlen=buffer_size)  # the oldest one makes room
        self._owner: Link | None = None
        characteristic.packets = self

    def write(self, link: Link, packet: bytes) -> None:
        if self._owner is None:
            self._owner = link
            link.on("disconnection", lambda _reason: setattr(self, "_owner", None))
        if link is self._owner:
            self._packets.append(bytes(packet))

    def readinto(self, buf: bytearray) -> int:
        if not self._packets:
            return 0
        packet = self._packets.popleft()
        buf[: len(packet)] = packet
        return len(packet)


class Adapter:
    """The one adapter."""

    def __init__(self, chip: "Chip") -> None:
        self._chip = chip
        self._results: ScanResults | None = None
        self._enabled = False
        self._connecting = False
        self.name = "CIRCUITPY1a2b"

    # --- State -----------------------------------------------------------------------------------------------

    @property
    def enabled(self) -> bool:
        return self._enabled

    @enabled.setter
    def enabled(self, enabled: bool) -> None:
        if enabled == self._enabled:
            return
        self._enabled = enabled
        if not enabled:
            self.stop_advertising()
            self.stop_scan()
            self._chip.forget_all()

    @property
    def address(self) -> Address:
        return Address(bytes(self._chip.controller.random_address), Address.RANDOM_STATIC)

    @address.setter
    def address(self, address: Address) -> None:
        busy = self.advertising or self._results is not None or self._connecting
        if busy or self._chip.refuses_addresses or address.address_bytes[5] >> 6 != 3:
            raise BluetoothError("Could not set address")
        self._chip.controller.random_address = self._chip.device.random_address = address.hci

    @property
    def connected(self) -> bool:
        return bool(self._chip.connections)

    @property
    def connections(self) -> tuple[Connection, ...]:
        return tuple(self._chip.connections.values())

    # --- Advertising -----------------------------------------------------------------------------------------

    @property
    def advertising(self) -> bool:
        return self._chip.controller.le_legacy_advertiser.enabled

    def start_advertising(
        self, data: bytes, *, scan_response: bytes | None = None, connectable: bool = True, interval: float = 0.1
    ) -> None:
        assert self._enabled
        if self.advertising:
            raise BluetoothError("Already advertising.")
        if not 0.02 <= interval <= 10.24:
            raise ValueError("interval must be in range 0.02-10.24")
        if len(data) > 31 or len(scan_response or b"") > 31:
            raise ValueError("it would become an extended advertisement, which phones of 2020 do not see")
        self._chip.publish()
        device = self._chip.device
        if connectable:
            kind = AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE
        elif scan_response:
            kind = AdvertisingType.UNDIRECTED_SCANNABLE
        else:
            kind = AdvertisingType.UNDIRECTED
        device.legacy_advertiser = LegacyAdvertiser(
            device, kind, hci.OwnAddressType.RANDOM, hci.Address.ANY, auto_restart=False
        )
        advertiser = self._chip.controller.le_legacy_advertiser
        advertiser.advertising_interval_min = round(interval / 0.000625)
        advertiser.advertising_type = int(kind)
        advertiser.own_address_type = hci.Address.RANDOM_DEVICE_ADDRESS
        advertiser.advertising_data = bytes(data)
        advertiser.scan_response_data = bytes(scan_response or b"")
        advertiser.start()

    def stop_advertising(self) -> None:
        self._chip.controller.le_legacy_advertiser.stop()

    # --- Scanning --------------------------------------------------------------------------------------------

    def start_scan(
        self, prefixes: bytes = b"", *, buffer_size: int = 512, extended: bool = False, timeout: float = 0.0,
        interval: float = 0.1, window: float = 0.1, minimum_rssi: int = -80, active: bool = True,
    ) -> ScanResults:  # fmt: skip
        if self._results is not None and not self._results.done:
            raise BluetoothError("Scan already in progress. Stop with stop_scan.")
        if self.advertising or self._chip.refuses_scans:
            raise BluetoothError("Unknown system firmware error: 0011")  # NRF_ERROR_BUSY
        if not 0.0025 <= interval <= 40.959375 or window > interval or (timeout and timeout < interval):
            raise ValueError("interval, window, timeout")
        self._results = ScanResults(self._chip, buffer_size, minimum_rssi)
        self._chip.controller.start_scan(interval, window, active)
        return self._results

    def stop_scan(self) -> None:
        if self._results is not None:
            self._chip.controller.stop_scan()
            self._results.done = True
            self._results = None

    def report(self, address: hci.Address, kind: int, rssi: int, data: bytes) -> None:
        """From the air."""
        if self._results is not None:
            self._results.append(address, kind, rssi, data)

    # --- Connecting ------------------------------------------------------------------------------------------

    def connect(self, address: Address, *, timeout: float) -> Connection:
        """Blocks."""
        self._connecting = True
        try:
            link = self._chip.wait_for(
                self._chip.device.connect(address.hci, own_address_type=hci.OwnAddressType.RANDOM, timeout=timeout)
            )
        finally:
            self._connecting = False
        self.stop_advertising()  # any new connection ends it
        return self._chip.connections[link.handle]


class Chip:
    """The radio of one board.

    Attributes:
        fiber: the program that runs on the board; its calls block.
        refuses_addresses, refuses_scans, keeps_connections: faults.
    """

    def __init__(self, name: str, air: Air, number: int) -> None:
        self.controller = VirtualController(name, air, number)
        self.device: Device = make_device(name, self.controller)
        self.adapter = Adapter(self)
        self.connections: dict[int, Connection] = {}
        self.unpublished: list[Service] = []
        self.refuses_addresses = self.refuses_scans = self.keeps_connections = False
        self.fiber: Fiber
        self._tasks: set[asyncio.Task] = set()
        self.device.on("connection", self._connected)
        self.controller.report_sink = self.adapter.report

    def module(self) -> types.ModuleType:
        """`_bleio` for this board's firmware."""
        module: Any = types.ModuleType("_bleio")
        module.adapter = self.adapter
        module.UUID = UUID
        module.Service = lambda uuid: Service(self, uuid)
        module.Attribute = Attribute
        chip = self

        class OwnCharacteristic:
            READ, WRITE, WRITE_NO_RESPONSE, NOTIFY = READ, WRITE, WRITE_NO_RESPONSE, NOTIFY

            @staticmethod
            def add_to_service(service: Service, uuid: UUID, **options) -> Characteristic:
                return Characteristic(chip, service, uuid, **options)

        module.Characteristic = OwnCharacteristic
        module.PacketBuffer = PacketBuffer
        module.Address = Address
        module.BluetoothError = BluetoothError
        return module

    def _connected(self, link: Link) -> None:
        self.connections[link.handle] = Connection(self, link)
        link.on("disconnection", lambda _reason: self.connections.pop(link.handle, None))

    def publish(self) -> None:
        """Tell the stack about new services."""
        for service in self.unpublished:
            self.device.add_service(gatt.Service(service.uuid, [found.gatt for found in service.characteristics]))
        self.unpublished.clear()

    def forget_all(self) -> None:
        """The stack is off: no services, no connections."""
        self.drop_links()
        self.connections.clear()
        self.unpublished.clear()
        self.device.gatt_server = Server(self.device)

    def drop_links(self) -> None:
        """End all connections as a radio does that is no longer there."""
        for link in list(self.controller.le_connections.values()):
            self.controller.on_hci_disconnect_command(
                hci.HCI_Disconnect_Command(connection_handle=link.handle, reason=0x08)
            )

    def off(self) -> None:
        """The power is off."""
        self.controller.le_legacy_advertiser.stop()
        self.controller.stop_scan()
        self.drop_links()
        for task in self._tasks:
            task.cancel()
        self.controller.air.remove_controller(self.controller)

    def spawn(self, coroutine) -> None:
        """Let something happen in the background."""
        task = asyncio.ensure_future(_quietly(coroutine))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def wait_for(self, coroutine) -> Any:
        """Block the program until the coroutine is done; its failures are the stack's."""
        try:
            return self.fiber.wait_for(coroutine)
        except (TimeoutError, BaseBumbleError, asyncio.CancelledError) as error:
            raise BluetoothError(str(error)) from error


async def _quietly(coroutine) -> None:
    try:
        await coroutine
    except (TimeoutError, BaseBumbleError):
        return
