"""Phones with Bluezone v2 on the virtual air: Bumble devices with the clients' payloads and timing.

Source of payloads and Android's timing: the public clients, as in SPEC.md, "Bluezone on the air". The iPhone's
intervals are not in the sources; Apple's recommended 152.5 ms in the foreground, about 1 s in the background, and a
scan of a tenth of the time are assumed.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from bumble import hci
from bumble.core import UUID, BaseBumbleError
from bumble.device import AdvertisingType, Connection, Device, Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service

from tracing import phone_wire, wire
from tracing.keys import SLOT_S, KeyChain, day_of

from .air import Air
from .board import make_device
from .controller import VirtualController
from .propagation import stream

STORE_EVERY_MS = 5000  # the clients store a peer at most so often
CONNECT_LIMIT_S = 10.0
CONNECT_AGAIN_S = 60.0


@dataclass(frozen=True)
class PhoneSighting:
    """A row of a phone's contact log."""

    own_id: bytes
    peer_id: bytes
    rssi_dbm: int
    time_ms: int


class Phone:
    """What both phones share: keys, the served characteristic, the contact log.

    Args:
        name: positions go by it.
        air, number: see VirtualController.
        base_id: 32 bytes, of the day on which the simulation begins.
        start_s: Unix time at which the simulation begins.
        now_s: gives the Unix time.

    Attributes:
        log: the contact log, as the app would export it.
    """

    tx_gain_db = 0.0

    def __init__(
        self, name: str, air: Air, number: int, base_id: bytes, start_s: int, now_s: Callable[[], float]
    ) -> None:
        self.name = name
        self.base_id = base_id
        self.log: list[PhoneSighting] = []
        self.now_s = now_s
        self.random = stream(air.seed, f"phone/{name}")
        self.controller = VirtualController(name, air, number)
        self.controller.tx_gain_db = self.tx_gain_db
        self.device: Device = make_device(name, self.controller)
        self._keys = KeyChain(base_id, day_of(start_s))
        self._stored_ms: dict[bytes, int] = {}
        self._read_ids: dict[hci.Address, tuple[bytes, int]] = {}
        self._tried_s: dict[hci.Address, float] = {}
        self._found = [0]
        self._tasks: set[asyncio.Task] = set()

    @property
    def own_id(self) -> bytes:
        """The BluezoneID of this moment."""
        return self._keys.id_at(int(self.now_s()))

    async def start(self) -> None:
        """Switch on and live until cancelled."""
        value = CharacteristicValue(read=lambda _connection: self.own_id)
        characteristic = Characteristic(
            UUID(wire.ID_CHARACTERISTIC_UUID),
            Characteristic.Properties.READ,
            Characteristic.READABLE,
            value,
        )
        self.device.add_service(Service(UUID(wire.PHONE_SERVICE_UUID), [characteristic]))
        await self.device.power_on()
        self.controller.report_sink = self._report
        self.device.on("connection", self._connected)
        self._spawn(self._advertise())
        self._spawn(self._scan())

    def stop(self) -> None:
        """Switch off."""
        for task in self._tasks:
            task.cancel()
        self.controller.le_legacy_advertiser.stop()
        self.controller.stop_scan()

    def _spawn(self, coroutine) -> None:
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _connected(self, connection: Connection) -> None:
        """Phones keep advertising while somebody reads their id."""

    async def _advertise(self) -> None:
        raise NotImplementedError

    async def _scan(self) -> None:
        raise NotImplementedError

    async def _on_air(self, payload: bytes, interval_ms: float) -> None:
        self.device.random_address = self.controller.random_address
        await self.device.start_advertising(
            AdvertisingType.UNDIRECTED_CONNECTABLE_SCANNABLE,
            advertising_data=payload,
            scan_response_data=b"",
            advertising_interval_min=interval_ms,
            advertising_interval_max=interval_ms,
        )

    def _report(self, address: hci.Address, kind: int, rssi_dbm: int, data: bytes) -> None:
        what = wire.classify(data, len(data), self._found)
        if what == wire.BLUEZONE_ID:
            at = self._found[0]
            self._heard(data[at : at + 12], rssi_dbm)
        elif what == wire.BLUEZONE_PHONE:
            ident, until_s = self._read_ids.get(address, (b"", 0))
            now_s = self.now_s()
            if now_s < until_s:
                self._heard(ident, rssi_dbm)
            elif now_s - self._tried_s.get(address, 0.0) > CONNECT_AGAIN_S:
                self._tried_s[address] = now_s
                self._spawn(self._read_id(address))

    async def _read_id(self, address: hci.Address) -> None:
        try:
            connection = await self.device.connect(address, timeout=CONNECT_LIMIT_S)
        except (TimeoutError, BaseBumbleError):
            return
        try:
            async with Peer(connection) as peer:
                await peer.request_mtu(512)
                found = peer.get_characteristics_by_uuid(UUID(wire.ID_CHARACTERISTIC_UUID))
                if found:
                    ident = bytes(await peer.gatt_client.read_value(found[0]))
                    slot = int(self.now_s()) // SLOT_S
                    if len(ident) == 12:
                        self._read_ids[address] = (ident, (slot + 1) * SLOT_S)
            await connection.disconnect()
        except (TimeoutError, BaseBumbleError, asyncio.CancelledError):
            return

    def _heard(self, peer_id: bytes, rssi_dbm: int) -> None:
        time_ms = int(self.now_s() * 1000)
        if time_ms - self._stored_ms.get(peer_id, -STORE_EVERY_MS) >= STORE_EVERY_MS:
            self._stored_ms[peer_id] = time_ms
            self.log.append(PhoneSighting(self.own_id, peer_id, rssi_dbm, time_ms))


class AndroidPhone(Phone):
    """Bluezone on Android: 15 s of advertising at 100 ms, 15 s rest; 40 s of scanning, 260 s rest."""

    tx_gain_db = -3.0  # advertises at low power

    ADVERTISE_S, REST_S, INTERVAL_MS = 15.0, 15.0, 100.0
    SCAN_S, SCAN_REST_S = 40.0, 260.0
    BATCH_S = 10.0  # every other scan reports in batches: a device once in each

    _batch: set[bytes] | None = None

    async def _advertise(self) -> None:
        await asyncio.sleep(self.random.uniform(0, self.ADVERTISE_S + self.REST_S))
        while True:
            # Android takes a new private address for every start.
            self.controller.new_random_address()
            await self._on_air(wire.advertisement(self.own_id), self.INTERVAL_MS)
            await asyncio.sleep(self.ADVERTISE_S)
            await self.device.stop_advertising()
            await asyncio.sleep(self.REST_S)

    async def _scan(self) -> None:
        await asyncio.sleep(self.random.uniform(0, self.SCAN_S + self.SCAN_REST_S))
        batches = False
        while True:
            # LOW_LATENCY: window and interval of 4.096 s
            self.controller.start_scan(4.096, 4.096, active=True)
            for _ in range(int(self.SCAN_S / self.BATCH_S)):
                self._batch = set() if batches else None
                await asyncio.sleep(self.BATCH_S)
            self.controller.stop_scan()
            batches = not batches
            await asyncio.sleep(self.SCAN_REST_S)

    def _report(self, address: hci.Address, kind: int, rssi_dbm: int, data: bytes) -> None:
        if self._batch is not None:
            key = bytes(address)
            if key in self._batch:
                return
            self._batch.add(key)
        super()._report(address, kind, rssi_dbm, data)


class IPhone(Phone):
    """Bluezone on iOS: no id in the advertisement; whoever hears it connects and reads.

    Args:
        background: true while another app is in front: the service moves into Apple's overflow area.
    """

    FOREGROUND_MS, BACKGROUND_MS = 152.5, 1022.5
    SCAN_INTERVAL_S, SCAN_WINDOW_S = 0.300, 0.030

    def __init__(self, *args, background: bool = False) -> None:
        super().__init__(*args)
        self.background = background
        self._serving = 0

    def _connected(self, connection: Connection) -> None:
        if connection.role == hci.Role.PERIPHERAL:
            self._spawn(self._go_on())

    async def _go_on(self) -> None:
        await self._on_air(phone_wire.phone_advertisement(self.background), self._interval_ms)

    @property
    def _interval_ms(self) -> float:
        return self.BACKGROUND_MS if self.background else self.FOREGROUND_MS

    async def _advertise(self) -> None:
        while True:
            # iOS changes its resolvable address about every 15 minutes, at no time known to others.
            await self.device.stop_advertising()
            self.controller.new_random_address()
            await self._go_on()
            await asyncio.sleep(self.random.uniform(800, 1000))

    async def _scan(self) -> None:
        self.controller.start_scan(self.SCAN_INTERVAL_S, self.SCAN_WINDOW_S, active=False)
        await asyncio.Event().wait()
