"""A bleak backend over a Bumble device: the kiosk's code meets virtual tokens through the API it uses on a PC.

Pass `backend=` and `radio=` to bleak's BleakScanner and BleakClient; `adapter.over` does it.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError
from bleak.uuids import normalize_uuid_16, normalize_uuid_str
from bumble import hci
from bumble.core import AdvertisingData, BaseBumbleError, PhysicalTransport
from bumble.device import Advertisement, Connection, Device, Peer

_MTU = 517  # what BlueZ asks for on every connection


class Radio(Protocol):
    """Where the Bumble device comes from. Both raise BleakError, or OSError, when there is none."""

    async def open(self) -> Device:
        """The device; it is made ready, or made anew, if need be."""
        ...

    def device(self) -> Device:
        """The device that was opened last, if it is still there."""
        ...


class Ready:
    """A device that is always there; see Radio."""

    def __init__(self, device: Device) -> None:
        self._device = device

    async def open(self) -> Device:
        return self._device

    def device(self) -> Device:
        return self._device


def _uuid(uuid) -> str:
    return normalize_uuid_str(uuid.to_hex_str("-").lower())


def advertisement_data(advertisement: Advertisement) -> AdvertisementData:
    """bleak's view of an advertisement that Bumble has received."""
    names: list[str] = []
    manufacturer: dict[int, bytes] = {}
    service_data: dict[str, bytes] = {}
    services: list[str] = []
    tx_power: int | None = None
    ad = AdvertisingData.Type
    for kind, value in advertisement.data.ad_structures:
        value = bytes(value)
        match kind:
            case ad.MANUFACTURER_SPECIFIC_DATA if len(value) >= 2:
                manufacturer[int.from_bytes(value[:2], "little")] = value[2:]
            case ad.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS | ad.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS:
                for at in range(0, len(value) - 1, 2):
                    services.append(normalize_uuid_16(int.from_bytes(value[at : at + 2], "little")))
            case ad.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS | ad.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS:
                for at in range(0, len(value) - 15, 16):
                    services.append(str(UUID(bytes=value[at : at + 16][::-1])))
            case ad.SERVICE_DATA_16_BIT_UUID if len(value) >= 2:
                service_data[normalize_uuid_16(int.from_bytes(value[:2], "little"))] = value[2:]
            case ad.COMPLETE_LOCAL_NAME | ad.SHORTENED_LOCAL_NAME:
                names.append(value.decode("utf-8", "replace"))
            case ad.TX_POWER_LEVEL if value:
                tx_power = int.from_bytes(value[:1], "little", signed=True)
    return AdvertisementData(
        names[0] if names else None,
        manufacturer,
        service_data,
        services,
        tx_power,
        advertisement.rssi,
        (advertisement,),
    )


class BumbleScanner(BaseBleakScanner):
    """bleak's scanner interface on a Bumble device."""

    def __init__(self, detection_callback, service_uuids, scanning_mode, *, radio: Radio, **_kwargs: Any) -> None:
        super().__init__(detection_callback, service_uuids)
        self._radio = radio
        self._device: Device | None = None
        self._active = scanning_mode == "active"

    async def start(self) -> None:
        self.seen_devices = {}
        self._device = device = await self._radio.open()
        device.on("advertisement", self._advertisement)
        try:
            await device.start_scanning(active=self._active, filter_duplicates=False)
        except Exception:
            device.remove_listener("advertisement", self._advertisement)
            raise

    async def stop(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.remove_listener("advertisement", self._advertisement)
            if self._radio.device() is device:
                await device.stop_scanning()

    def _advertisement(self, advertisement: Advertisement) -> None:
        address = advertisement.address.to_string(False)
        data = advertisement_data(advertisement)
        device = self.create_or_update_device(address, address, data.local_name, advertisement.address, data)
        if self.is_allowed_uuid(data.service_uuids):
            self.call_detection_callbacks(device, data)


class BumbleClient(BaseBleakClient):
    """bleak's client interface on a Bumble device."""

    def __init__(self, address_or_ble_device, *, radio: Radio, **kwargs: Any) -> None:
        super().__init__(address_or_ble_device, **kwargs)
        self._radio = radio
        if isinstance(address_or_ble_device, BLEDevice):
            self._peer_address: hci.Address = address_or_ble_device.details
            self._name = address_or_ble_device.name
        else:
            self._peer_address = hci.Address(address_or_ble_device)
            self._name = None
        self._connection: Connection | None = None
        self._peer: Peer | None = None
        self._subscribers: dict[int, Callable[[bytes], None]] = {}

    @property
    def name(self) -> str:
        return self._name or self.address

    @property
    def mtu_size(self) -> int:
        return self._connected().att_mtu

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    def _connected(self) -> Connection:
        if self._connection is None:
            raise BleakError("not connected")
        return self._connection

    async def connect(self, pair: bool, **_kwargs: Any) -> None:
        try:
            self._connection = await self._radio.device().connect(
                self._peer_address, transport=PhysicalTransport.LE, timeout=self._timeout
            )
        except (TimeoutError, BaseBumbleError) as error:
            raise BleakDeviceNotFoundError(self.address, f"no connection: {error!r}") from error
        self._connection.on("disconnection", self._gone)
        try:
            self._peer = Peer(self._connection)
            await self._peer.request_mtu(_MTU)
            self.services = await self._discover(self._peer)
        except (TimeoutError, BaseBumbleError) as error:
            await self.disconnect()
            raise BleakError(f"the connection was lost during discovery: {error!r}") from error

    async def _discover(self, peer: Peer) -> BleakGATTServiceCollection:
        collection = BleakGATTServiceCollection()
        for service in await peer.discover_services():
            bleak_service = BleakGATTService(service, service.handle, _uuid(service.uuid))
            collection.add_service(bleak_service)
            for found in await service.discover_characteristics():
                properties = list(gatt_char_props_to_strs(int(found.properties)))
                characteristic = BleakGATTCharacteristic(
                    found,
                    found.handle,
                    _uuid(found.uuid),
                    properties,
                    lambda: self.mtu_size - 3,
                    bleak_service,
                )
                collection.add_characteristic(characteristic)
                for descriptor in await found.discover_descriptors():
                    collection.add_descriptor(
                        BleakGATTDescriptor(descriptor, descriptor.handle, _uuid(descriptor.type), characteristic)
                    )
        return collection

    def _gone(self, _reason) -> None:
        self._connection = None
        self._subscribers = {}
        if self._disconnected_callback:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        if self._connection:
            await self._connection.disconnect()

    async def pair(self, *_args: Any, **_kwargs: Any) -> None:
        await self._connected().pair()

    async def unpair(self) -> None:
        """Nothing is kept, so nothing is forgotten."""

    async def _ask(self, request):
        self._connected()
        try:
            return await request
        except (TimeoutError, BaseBumbleError, asyncio.CancelledError) as error:
            if self._connection is None:
                raise BleakError("the connection was lost") from error
            if isinstance(error, asyncio.CancelledError):
                raise
            raise BleakError(repr(error)) from error

    def _client(self):
        assert self._peer is not None
        return self._peer.gatt_client

    async def read_gatt_char(self, characteristic, *, use_cached: bool = False, **_kwargs: Any) -> bytearray:
        return bytearray(await self._ask(self._client().read_value(characteristic.obj)))

    async def read_gatt_descriptor(self, descriptor, *, use_cached: bool = False, **_kwargs: Any) -> bytearray:
        return bytearray(await self._ask(self._client().read_value(descriptor.obj)))

    async def write_gatt_char(self, characteristic, data, response: bool) -> None:
        await self._ask(self._client().write_value(characteristic.obj, bytes(data), with_response=response))

    async def write_gatt_descriptor(self, descriptor, data) -> None:
        await self._ask(self._client().write_value(descriptor.obj, bytes(data), with_response=True))

    async def start_notify(self, characteristic, callback, **_kwargs: Any) -> None:
        def subscriber(value: bytes) -> None:
            callback(bytearray(value))

        self._subscribers[characteristic.handle] = subscriber
        await self._ask(characteristic.obj.subscribe(subscriber, prefer_notify=True))

    async def stop_notify(self, characteristic) -> None:
        subscriber = self._subscribers.pop(characteristic.handle, None)
        if subscriber:
            await self._ask(characteristic.obj.unsubscribe(subscriber))
