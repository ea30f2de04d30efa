"""The radio over CircuitPython's `_bleio` on an nRF52840. Never seen on hardware yet.

What is different from adapters/radio.py, read off CircuitPython's sources (ports/nordic, 10.x):

- Nothing interrupts: whoever waits looks. Phones are served by the chip's own stack meanwhile.
- Scanning while advertising is refused (NRF_ERROR_BUSY): the two take turns.
- The iterator of a scan blocks while it is empty, and processor and radio would both draw current: the window is slept
  through and read once it is over. A scan that never says that it is complete is no matter.
- `PacketBuffer` joins small writes into one notification; a characteristic's `value`, used here, does not.
- Connecting and reading block: the button's queue must fill by itself.
"""

import os

import _bleio
from micropython import const

from adapters.bleio_connections import REFUSALS, US_PER_S, BleioConnections
from adapters.cures import never

_RESULTS_BYTES = const(8192)  # 200 Bluezone advertisements; in a crowd those that come first, others the next time
_RSSI_LEAST_DBM = const(-127)
_NAME = "Bluezone"  # the default name has two bytes of the address that the chip was made with: it would be a label


def _nothing():
    pass


class BleioRadio(BleioConnections):
    """Advertises and scans; bleio_connections.BleioConnections has the rest of the port, and the arguments.

    Attributes:
        faults: calls that the radio refused.
        restarts: how often the radio was switched off and on again to cure it.

    Whatever the radio refuses is tried again, then the radio is restarted, with a new address under the same id, and
    in the end RadioError asks for a reset of the board.
    """

    def __init__(self, ring, wait, before_block=_nothing):
        super().__init__(ring, wait, before_block)
        self._scan_failures = self._advertise_failures = 0

    def start(self):
        """Switch the radio on and register the services."""
        self._adapter.enabled = True
        self._adapter.name = _NAME
        self._register()

    def _power_cycle(self):
        self._adapter.enabled = False
        self._forget_all()
        self.start()

    # --- Identity --------------------------------------------------------------------------------------------

    def change_identity(self, bluezone_id):
        """Put a fresh random address and the id that belongs to it in place, while nothing is on the air.

        A phone that is connected knows the old pair and is sent away; the kiosk may stay.

        Raises:
            RadioError: the radio keeps its old address, restarts or not; nothing may be advertised.
        """
        self.stop()
        self._send_guest_away()
        self._identity = bluezone_id
        self._renew_address()
        self._id_value.value = bluezone_id

    def _take_address(self):
        fresh = bytearray(os.urandom(6))
        fresh[5] |= 0xC0  # little-endian: the two highest bits mark a static random address
        try:
            self._adapter.address = _bleio.Address(bytes(fresh), _bleio.Address.RANDOM_STATIC)
            return self._adapter.address.address_bytes == fresh
        except REFUSALS:
            return False

    # --- The air ---------------------------------------------------------------------------------------------

    def advertise(self, payload, interval_us, scan_response=b""):
        """Advertise `payload` every `interval_us` until `stop` or until somebody connects; connectable if nobody has.

        `advertising` is still false when the radio has refused: try again in a second.

        Args:
            interval_us: 20 ms to 10.24 s.

        Raises:
            RadioError: it refuses for good.
        """
        self._payload, self._interval_us, self._response = payload, interval_us, scan_response
        self._look()
        try:
            self._go_on_air(self._central is None)
        except REFUSALS:
            self._advertise_failures = self._failed(self._advertise_failures)
            return
        self._advertise_failures = 0
        self.advertising = True

    def stop(self):
        """Neither advertise nor scan; a scan never outlasts `scan`."""
        self.pause()

    def scan(self, duration_ms, interval_us, drain):
        """Listen without pause for `duration_ms`, one channel per `interval_us`; sightings go to the ring.

        Args:
            drain: called whenever the ring is half full.

        Returns:
            False when the scan did not begin.

        Raises:
            RadioError: scans have failed again and again, restarts or not.
        """
        self.pause()
        interval_s = interval_us / US_PER_S
        try:
            results = self._adapter.start_scan(
                buffer_size=_RESULTS_BYTES, interval=interval_s, window=interval_s, minimum_rssi=_RSSI_LEAST_DBM,
                active=False,
            )  # fmt: skip
        except REFUSALS:
            self._adapter.stop_scan()
            self._scan_failures = self._failed(self._scan_failures)
            return False
        self._scan_failures = 0
        self._wait(duration_ms, never)
        self._adapter.stop_scan()  # from here on the iterator ends where the buffer does
        self._read(results, drain)
        self._judge_silence()
        return True

    def _read(self, results, drain):
        offer = self._ring.offer
        try:
            for entry in results:
                address = entry.address
                if offer(address.type, address.address_bytes, entry.rssi, entry.advertisement_bytes):
                    drain()
        except REFUSALS:
            self.faults += 1  # no memory for a result: the rest of this window is lost
