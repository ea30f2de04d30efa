"""The host's end of a virtual board: a MicroPython process, its Bluetooth stack on the air, button, light, battery.

The board's `bluetooth` module asks over a unix socket (boards/virtual/lockstep.py); what comes back, and when, follows
NimBLE under MicroPython. Frames, little-endian: to the host `<HB` payload bytes, operation; to the board `<HBI` payload
bytes, kind (0 answer, 1 tick, 2 radio event, 3 button, 4 measure the heap), milliseconds. An answer's payload begins
with an errno as `<h`.
"""

import asyncio
import errno
import logging
import struct
from collections.abc import Callable
from typing import ClassVar

from bumble import att, hci
from bumble.core import UUID
from bumble.device import AdvertisingType, Connection, Device, DeviceConfiguration, LegacyAdvertiser
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.gatt_client import CharacteristicProxy
from bumble.gatt_server import Server
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink

from .air import Air
from .clock import VirtualLoop
from .controller import VirtualController
from .propagation import stream

ANSWER, TICK, EVENT, BUTTON, MEASURE = range(5)

# Events of MicroPython's `bluetooth`.
CENTRAL_CONNECT, CENTRAL_DISCONNECT, GATTS_WRITE, SCAN_RESULT, SCAN_DONE = 1, 2, 3, 5, 6
PERIPHERAL_CONNECT, PERIPHERAL_DISCONNECT = 7, 8
CHARACTERISTIC_RESULT, CHARACTERISTIC_DONE, READ_RESULT, READ_DONE, MTU_EXCHANGED = 11, 12, 15, 16, 21

LONG_PRESS_S = 2.0
NOTIFY_QUEUE = 12  # packets of 251 bytes that NimBLE holds before it says ENOMEM
WATCHDOG_S = 600.0
DROP_AFTER_S = 0.2  # how long a connection lasts that "drop_connection" has chosen
DEFAULT_VALUE_BYTES = 20  # a characteristic's buffer unless gatts_set_buffer says more

log = logging.getLogger(__name__)


def make_device(name: str, controller: VirtualController) -> Device:
    """A Bumble device (host stack) on a virtual controller, with the controller's address."""
    config = DeviceConfiguration(name=name, address=controller.random_address, keystore=None)
    return Device(config=config, host=Host(controller, AsyncPipeSink(controller)))


# What may go wrong with a radio, as NimBLE shows it; `VirtualBoard.faults` says how often it still will.
FAULTS = {
    "lose_scan_done": "a scan ends and the event that says so never comes",
    "busy_scan": "gap_scan: EALREADY",
    "mute_scan": "nothing is heard until the radio has been switched off so many times",
    "refuse_address": "a new address is ignored without a word",
    "no_advertise_room": "gap_advertise: ENOMEM",
    "no_notify_room": "gatts_notify: ENOMEM",
    "drop_connection": "a connection breaks without goodbye DROP_AFTER_S after it was made",
    "disconnect_65535": "the end of a connection is reported with handle 65535",
    "lose_disconnect": "the end of a connection is not reported",
}


class VirtualBoard(asyncio.Protocol):
    """One virtual board, from the moment its process says hello.

    Args:
        name: of the token; positions go by it.
        air: the medium.
        number: unique on the air.
        battery_mv: called for the battery's voltage.
        now_s: called for the time of the scenario, Unix s.

    Attributes:
        drift_ppm: by how many millionths its counter runs fast; set it before the process starts.
        chip_ahead_s: by how much the chip's own clock, which outlives a reset, is ahead of the scenario's.
        light: (time in s, pattern) of everything the light has shown.
        faults: kind, one of FAULTS → how many more times it happens.
        radio_starts: how often the radio has been switched on.
        on_reset: called with the reason when the board asks for a reset, or its watchdog has starved.
        switched_off: the wearer has switched the token off; its process can be ended.
        busy, until_ms: see clock.Participant.
        settled: a future that is done once the board has started and sleeps for the first time.
        gone: a future that is done once its process has ended.
    """

    def __init__(
        self,
        name: str,
        air: Air,
        number: int,
        battery_mv: Callable[[], int] = lambda: 3000,
        now_s: Callable[[], float] = lambda: asyncio.get_running_loop().time(),
    ) -> None:
        self.name = name
        self.controller = VirtualController(name, air, number)
        self.device = make_device(name, self.controller)
        self.battery_mv = battery_mv
        self.now_s = now_s
        self.drift_ppm = 0
        self.chip_ahead_s = 0.0
        self.light: list[tuple[float, int]] = []
        self.faults: dict[str, int] = {}
        self.radio_starts = 0
        self.on_reset: Callable[[str], None] | None = None
        self.switched_off = False
        self.busy = True
        self.until_ms: int | None = None
        self.gone = asyncio.get_running_loop().create_future()
        self.settled = asyncio.get_running_loop().create_future()
        self._random = stream(air.seed, f"entropy/{name}")
        self._sent = 0
        self._pending = bytearray()
        self._transport: asyncio.Transport | None = None
        self._values: dict[int, bytes] = {}
        self._limits: dict[int, int] = {}
        self._characteristics: dict[int, Characteristic] = {}
        self._remote: dict[tuple[int, int], CharacteristicProxy] = {}
        self._radio_on = False
        self._watchdog: asyncio.TimerHandle | None = None
        self._scan_end: asyncio.TimerHandle | None = None
        self._connect_end: asyncio.TimerHandle | None = None
        self._connecting: hci.Address | None = None
        self._tasks: set[asyncio.Task] = set()
        self.controller.report_sink = self._report
        self.device.on("connection", self._connected)

    # --- The line --------------------------------------------------------------------------------------------

    def join(self) -> None:
        """The process is about to start: time waits for it from now on."""
        self._loop().boards.append(self)

    def replace(self, before: "VirtualBoard") -> None:
        """The same hardware starts anew: what is wrong with it stays, and randomness goes on."""
        self.faults = before.faults
        self.drift_ppm = before.drift_ppm
        self.chip_ahead_s = before.chip_ahead_s
        self._random = before._random
        self.controller.random = before.controller.random

    def attach(self, transport: asyncio.Transport) -> None:
        """The process has said hello: answer."""
        self._transport = transport
        self._feed_watchdog(b"")
        self._send(ANSWER, b"\0\0")

    def _fails(self, kind: str) -> bool:
        left = self.faults.get(kind, 0)
        if left:
            self.faults[kind] = left - 1
        return left > 0

    def _loop(self) -> VirtualLoop:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        return loop

    def _send(self, kind: int, payload: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._sent += 1
        self.busy = True
        self.until_ms = None
        now_ms = self._loop().now_ms * (1_000_000 + self.drift_ppm) // 1_000_000
        self._transport.write(struct.pack("<HBI", len(payload), kind, now_ms) + payload)

    def wake(self) -> None:
        self._send(TICK, b"")

    def press(self, seconds: float = LONG_PRESS_S) -> None:
        """Press the button for so long; by default until the token goes into sync mode."""
        self._send(BUTTON, b"\1")
        asyncio.get_running_loop().call_later(seconds, self._send, BUTTON, b"\0")

    async def heap(self) -> tuple[int, int]:
        """(bytes in use after a collection, highest use seen since the start, garbage included) of the board."""
        self._heap = asyncio.get_running_loop().create_future()
        self._send(MEASURE, b"")
        return await self._heap

    def feed(self, data: bytes) -> None:
        """Bytes from the board."""
        self._pending += data
        while len(self._pending) >= 3:
            length, operation = struct.unpack_from("<HB", self._pending)
            if len(self._pending) < 3 + length:
                return
            payload = bytes(self._pending[3 : 3 + length])
            del self._pending[: 3 + length]
            if operation == 1:
                until_ms, received = struct.unpack("<II", payload)
                if received == self._sent & 0xFFFFFFFF:
                    self.busy = False
                    self.until_ms = -(-until_ms * 1_000_000 // (1_000_000 + self.drift_ppm))
                    if not self.settled.done():
                        self.settled.set_result(None)
                continue
            try:
                if operation in _NEED_RADIO and not self._radio_on:
                    raise OSError(errno.ENODEV, "the radio is off")
                result = self._OPERATIONS[operation](self, payload)
                self._send(ANSWER, b"\0\0" + (result or b""))
            except OSError as error:
                self._send(ANSWER, struct.pack("<h", error.errno or errno.EIO))

    def hung_up(self) -> None:
        """The process has ended: nothing of it stays on the air. Once is enough."""
        if self.gone.done():
            return
        self.gone.set_result(None)
        self.busy = False
        self.until_ms = None
        boards = self._loop().boards
        if self in boards:
            boards.remove(self)
        if self._watchdog:
            self._watchdog.cancel()
        self._silence()
        self.controller.air.remove_controller(self.controller)

    def _silence(self) -> None:
        # Nothing of this board stays on the air, and nothing of it is reported.
        self._radio_on = False
        self._stop_advertising(b"")
        self.controller.stop_scan()
        for timer in (self._scan_end, self._connect_end):
            if timer:
                timer.cancel()
        self._scan_end = self._connect_end = self._connecting = None
        for task in self._tasks:
            task.cancel()
        for connection in list(self.controller.le_connections.values()):
            self._break(connection.handle)

    def _break(self, handle: int) -> None:
        self.controller.on_hci_disconnect_command(hci.HCI_Disconnect_Command(connection_handle=handle, reason=0x08))

    def _event(self, event: int, payload: bytes = b"") -> None:
        if not self._radio_on:
            return
        self._send(EVENT, bytes([event]) + payload)

    def _spawn(self, coroutine) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- The air ---------------------------------------------------------------------------------------------

    def _active(self, payload: bytes) -> bytes:
        """Off and on: connections, services and the random address are gone, as with NimBLE."""
        if payload[0] == 0:
            self._silence()
            self._fails("mute_scan")
        elif payload[0] == 1 and not self._radio_on:
            self._radio_on = True
            self.radio_starts += 1
            self.device.gatt_server = Server(self.device)
            self._values.clear()
            self._limits.clear()
            self._characteristics.clear()
            # The same one after every start: a firmware that advertised under it could be recognised for ever.
            factory = bytes(self.controller.public_address)[:5] + b"\xc0"
            self._take_address(hci.Address(factory, hci.Address.RANDOM_DEVICE_ADDRESS))
        return bytes([self._radio_on])

    def _take_address(self, address: hci.Address) -> None:
        self.controller.random_address = self.device.random_address = address

    def _address(self, _payload: bytes) -> bytes:
        return b"\1" + bytes(self.controller.random_address)[::-1]

    def _address_mode(self, payload: bytes) -> None:
        if payload[0] not in (1, 3):
            raise OSError(errno.EINVAL, "address mode")
        if self.controller.le_legacy_advertiser.enabled or self.controller.le_scan_enable:
            return  # as NimBLE: silently ignored
        if not self._fails("refuse_address"):
            self._take_address(self.controller.new_random_address())

    def _advertise(self, payload: bytes) -> None:
        interval_us, connectable, length = struct.unpack_from("<IBB", payload)
        data, response = payload[6 : 6 + length], payload[6 + length :]
        if length > 31 or len(response) > 31:
            raise OSError(errno.EINVAL, "advertising data")
        if self._fails("no_advertise_room"):
            raise OSError(errno.ENOMEM, "no room for an advertisement")
        kind = AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE if connectable else AdvertisingType.UNDIRECTED_SCANNABLE
        # The device must know how it advertises, for the addresses of connections that come of it.
        self.device.legacy_advertiser = LegacyAdvertiser(
            self.device, kind, hci.OwnAddressType.RANDOM, hci.Address.ANY, auto_restart=False
        )
        advertiser = self.controller.le_legacy_advertiser
        advertiser.advertising_interval_min = round(interval_us / 625)
        advertiser.advertising_type = int(kind)
        advertiser.own_address_type = hci.Address.RANDOM_DEVICE_ADDRESS
        advertiser.advertising_data = data
        advertiser.scan_response_data = response
        advertiser.start()

    def _stop_advertising(self, _payload: bytes) -> None:
        self.controller.le_legacy_advertiser.stop()
        self.device.legacy_advertiser = None

    def _scan(self, payload: bytes) -> None:
        duration_ms, interval_us, window_us, active = struct.unpack("<IIIB", payload)
        if self.controller.le_scan_enable or self._connecting or self._fails("busy_scan"):
            raise OSError(errno.EALREADY, "scanning or connecting")
        self.controller.start_scan(interval_us / 1e6, window_us / 1e6, bool(active))
        if duration_ms:
            self._scan_end = asyncio.get_event_loop().call_later(duration_ms / 1000, self._scan_over)

    def _stop_scan(self, _payload: bytes) -> None:
        if self.controller.le_scan_enable:
            self._scan_over()

    def _scan_over(self) -> None:
        if self._scan_end:
            self._scan_end.cancel()
            self._scan_end = None
        self.controller.stop_scan()
        if not self._fails("lose_scan_done"):
            self._event(SCAN_DONE)

    def _report(self, address: hci.Address, kind: int, rssi_dbm: int, data: bytes) -> None:
        if self.faults.get("mute_scan"):
            return
        head = bytes([int(address.is_random)]) + bytes(address)[::-1] + struct.pack("<Bb", kind, rssi_dbm)
        self._event(SCAN_RESULT, head + data)

    # --- Connections -----------------------------------------------------------------------------------------

    def _connected(self, connection: Connection) -> None:
        central = connection.role == hci.Role.CENTRAL
        peer = bytes([int(connection.peer_address.is_random)]) + bytes(connection.peer_address)[::-1]
        handle = struct.pack("<H", connection.handle)
        if central:
            self._connecting = None
            if self._connect_end:
                self._connect_end.cancel()

        def gone(_reason) -> None:
            if not self._fails("lose_disconnect"):
                told = b"\xff\xff" if self._fails("disconnect_65535") else handle
                self._event(PERIPHERAL_DISCONNECT if central else CENTRAL_DISCONNECT, told + peer)

        if self._fails("drop_connection"):
            asyncio.get_running_loop().call_later(DROP_AFTER_S, self._break, connection.handle)

        connection.on("disconnection", gone)
        connection.on(
            "connection_att_mtu_update",
            lambda *_: self._event(MTU_EXCHANGED, handle + struct.pack("<H", connection.att_mtu)),
        )
        self._event(PERIPHERAL_CONNECT if central else CENTRAL_CONNECT, handle + peer)

    def _connection(self, handle: int) -> Connection:
        connection = self.device.connections.get(handle)
        if connection is None:
            raise OSError(errno.ENOTCONN, "no such connection")
        return connection

    def _connect(self, payload: bytes) -> None:
        address_type, limit_ms = struct.unpack_from("<BI", payload)
        if self.controller.le_scan_enable or self._connecting:
            raise OSError(errno.EALREADY, "scanning or connecting")
        kind = hci.Address.RANDOM_DEVICE_ADDRESS if address_type else hci.Address.PUBLIC_DEVICE_ADDRESS
        address = hci.Address(payload[5:11][::-1], kind)
        self._connecting = address
        self.device.connect_own_address_type = hci.OwnAddressType.RANDOM
        self._connect_end = asyncio.get_event_loop().call_later(limit_ms / 1000, self._connect_failed)
        self._spawn(
            self.device.send_async_command(
                hci.HCI_LE_Create_Connection_Command(
                    le_scan_interval=96, le_scan_window=96, initiator_filter_policy=0,
                    peer_address_type=address.address_type, peer_address=address,
                    own_address_type=hci.OwnAddressType.RANDOM, connection_interval_min=24,
                    connection_interval_max=40, max_latency=0, supervision_timeout=72,
                    min_ce_length=0, max_ce_length=0,
                )
            )
        )  # fmt: skip

    def _cancel_connect(self, _payload: bytes) -> None:
        if self._connecting:
            self._connect_failed()

    def _connect_failed(self) -> None:
        if self._connect_end:
            self._connect_end.cancel()
        address = self._connecting
        self._connecting = None
        if address is None:
            return
        self._spawn(self.device.send_sync_command(hci.HCI_LE_Create_Connection_Cancel_Command()))
        peer = bytes([int(address.is_random)]) + bytes(address)[::-1]
        self._event(PERIPHERAL_DISCONNECT, struct.pack("<H", 0xFFFF) + peer)

    def _disconnect(self, payload: bytes) -> None:
        self._spawn(self._connection(struct.unpack("<H", payload)[0]).disconnect())

    def _discover(self, payload: bytes) -> None:
        handle, _first, _last = struct.unpack_from("<HHH", payload)
        connection = self._connection(handle)
        self._spawn(self._discovering(connection, UUID.from_bytes(payload[6:])))

    async def _discovering(self, connection: Connection, uuid: UUID) -> None:
        handle = struct.pack("<H", connection.handle)
        client = connection.gatt_client
        try:
            await client.discover_services()
            found = await client.discover_characteristics([uuid], None)
        except Exception as error:  # the peer has gone or answers nonsense; NimBLE reports a status
            log.debug("discovery failed: %r", error)
            found = []
        for proxy in found:
            self._remote[connection.handle, proxy.handle] = proxy
            fields = struct.pack("<HHH", proxy.end_group_handle, proxy.handle, int(proxy.properties))
            self._event(CHARACTERISTIC_RESULT, handle + fields)
        self._event(CHARACTERISTIC_DONE, handle + b"\0\0")

    def _read_remote(self, payload: bytes) -> None:
        handle, value = struct.unpack("<HH", payload)
        self._spawn(self._reading(self._connection(handle), value))

    async def _reading(self, connection: Connection, value: int) -> None:
        head = struct.pack("<HH", connection.handle, value)
        status = 0
        try:
            data = await connection.gatt_client.read_value(value)
            self._event(READ_RESULT, head + data)
        except Exception as error:
            log.debug("read failed: %r", error)
            status = 1
        self._event(READ_DONE, head + struct.pack("<H", status))

    # --- GATT server -----------------------------------------------------------------------------------------

    def _register(self, payload: bytes) -> bytes:
        at = 0
        handles = b""
        while at < len(payload):
            count, uuid = payload[at], UUID.from_bytes(payload[at + 1 : at + 17])
            at += 17
            characteristics = []
            for _ in range(count):
                flags = payload[at]
                characteristics.append(self._characteristic(UUID.from_bytes(payload[at + 1 : at + 17]), flags))
                at += 17
            self.device.add_service(Service(uuid, characteristics))
            for characteristic in characteristics:
                self._characteristics[characteristic.handle] = characteristic
                self._values[characteristic.handle] = b""
                handles += struct.pack("<H", characteristic.handle)
        return handles

    def _characteristic(self, uuid: UUID, flags: int) -> Characteristic:
        def read(_connection) -> bytes:
            return self._values[characteristic.handle]

        def write(connection, value: bytes) -> None:
            limit = self._limits.get(characteristic.handle, DEFAULT_VALUE_BYTES)
            self._values[characteristic.handle] = bytes(value)[:limit]
            self._event(GATTS_WRITE, struct.pack("<HH", connection.handle, characteristic.handle))

        access = Characteristic.READABLE | Characteristic.WRITEABLE
        characteristic = Characteristic(
            uuid, Characteristic.Properties(flags), access, CharacteristicValue(read=read, write=write)
        )
        return characteristic

    def _set_buffer(self, payload: bytes) -> None:
        handle, length = struct.unpack("<HH", payload)
        self._limits[handle] = length

    def _read(self, payload: bytes) -> bytes:
        return self._values[struct.unpack("<H", payload)[0]]

    def _write(self, payload: bytes) -> None:
        handle = struct.unpack_from("<H", payload)[0]
        self._values[handle] = payload[2:]

    def _notify(self, payload: bytes) -> None:
        connection_handle, value_handle = struct.unpack_from("<HH", payload)
        connection = self._connection(connection_handle)
        queue = self.device.host.le_acl_packet_queue
        if self._fails("no_notify_room") or (queue is not None and queue.pending >= NOTIFY_QUEUE):
            raise OSError(errno.ENOMEM, "no room for a notification")
        value = payload[4 : 4 + connection.att_mtu - 3]
        notification = att.ATT_Handle_Value_Notification(attribute_handle=value_handle, attribute_value=value)
        self.device.gatt_server.send_gatt_pdu(connection, bytes(notification))

    # --- The rest of the board -------------------------------------------------------------------------------

    def _entropy(self, payload: bytes) -> bytes:
        return self._random.randbytes(struct.unpack("<H", payload)[0])

    def _battery(self, _payload: bytes) -> bytes:
        return struct.pack("<H", self.battery_mv())

    def _show(self, payload: bytes) -> None:
        self.light.append((asyncio.get_running_loop().time(), payload[0]))

    def _keep_time(self, payload: bytes) -> None:
        self.chip_ahead_s = struct.unpack("<I", payload)[0] - self.now_s()

    def _off(self, _payload: bytes) -> None:
        self.switched_off = True

    def _reset(self, _payload: bytes) -> None:
        self._ask_for_reset("asked for")

    def _feed_watchdog(self, _payload: bytes) -> None:
        if self._watchdog:
            self._watchdog.cancel()
        self._watchdog = asyncio.get_running_loop().call_later(WATCHDOG_S, self._ask_for_reset, "watchdog")

    def _ask_for_reset(self, reason: str) -> None:
        if self.on_reset:
            self.on_reset(reason)

    def _measured(self, payload: bytes) -> None:
        self._heap.set_result(struct.unpack("<II", payload))

    _OPERATIONS: ClassVar = {
        10: _active, 11: _address, 12: _address_mode, 13: _advertise, 14: _stop_advertising, 15: _scan,
        16: _stop_scan, 17: _connect, 18: _cancel_connect, 19: _disconnect, 20: _discover, 21: _read_remote,
        22: _register, 23: _set_buffer, 24: _read, 25: _write, 26: _notify, 30: _entropy, 31: _battery, 32: _show,
        33: _measured, 34: _off, 35: _reset, 36: _feed_watchdog, 37: _keep_time,
    }  # fmt: skip


_NEED_RADIO = range(11, 27)
