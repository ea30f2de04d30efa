"""How many Bluezone users are around the kiosk now. Ids are kept for half a minute, and only counted.

An iPhone in the background is not heard so: it names no service that a scanner could ask for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bleak.uuids import normalize_uuid_16

from host_tools.link.adapter import Adapter
from tracing.keys import ID_BYTES
from tracing.wire import PHONE_SERVICE_UUID, advertisement

# The 16-bit service and the company stand in the payload least significant byte first.
_PAYLOAD = advertisement(bytes(ID_BYTES))
BLUEZONE_UUID = normalize_uuid_16(_PAYLOAD[5] | _PAYLOAD[6] << 8)
COMPANY = _PAYLOAD[9] | _PAYLOAD[10] << 8
HEARD_S = 30.0  # Android advertises every other 15 s
NEAR_DBM = -70  # what tokens take for 2 m; see host_tools/matching/rules.toml
_MOST = 2000  # devices: more cannot be, or are not what they say


@dataclass(slots=True)
class _Heard:
    at_s: float
    rssi_dbm: float


class Around:
    """Counts.

    Args:
        clock: seconds that only go forward.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._heard: dict[bytes | str, _Heard] = {}

    def note(self, address: str, advertisement: Any) -> None:
        """An advertisement has been heard (bleak's AdvertisementData)."""
        services = {uuid.lower() for uuid in advertisement.service_uuids}
        if BLUEZONE_UUID not in services and PHONE_SERVICE_UUID.lower() not in services:
            return
        ident = advertisement.manufacturer_data.get(COMPANY, b"")
        key = ident if len(ident) == ID_BYTES else address
        before = self._heard.get(key)
        if before is None:
            if len(self._heard) >= _MOST:
                self.counts()
            if len(self._heard) < _MOST:
                self._heard[key] = _Heard(self._clock(), advertisement.rssi)
        else:
            before.at_s = self._clock()
            before.rssi_dbm += (advertisement.rssi - before.rssi_dbm) / 4

    def counts(self) -> tuple[int, int]:
        """(near, farther away)."""
        oldest_s = self._clock() - HEARD_S
        self._heard = {key: heard for key, heard in self._heard.items() if heard.at_s >= oldest_s}
        near = sum(heard.rssi_dbm >= NEAR_DBM for heard in self._heard.values())
        return near, len(self._heard) - near


@dataclass(frozen=True)
class WatchingAdapter(Adapter):
    """An adapter whose one scanner also hears who is around: two scanners would stop each other."""

    around: Around | None = None

    def scanner(self, detection_callback, service_uuids: list[str]):
        around = self.around
        if around is None:
            return super().scanner(detection_callback, service_uuids)
        wanted = {uuid.lower() for uuid in service_uuids}

        def heard(device, advertisement) -> None:
            around.note(device.address, advertisement)
            if any(uuid.lower() in wanted for uuid in advertisement.service_uuids):
                detection_callback(device, advertisement)

        return super().scanner(heard, [*service_uuids, BLUEZONE_UUID, PHONE_SERVICE_UUID.lower()])


def watching(adapter: Adapter, around: Around) -> WatchingAdapter:
    """The same adapter, with ears for who is around."""
    return WatchingAdapter(adapter.scanner_options, adapter.client_options, around)
