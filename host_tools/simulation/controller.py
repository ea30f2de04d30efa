"""A virtual Bluetooth controller on the air: Bumble's, with scan windows, RSSI, timing and air time as on silicon."""

import asyncio
from collections.abc import Callable

from bumble import hci
from bumble.controller import Controller, LegacyAdvertiser

from .air import CHANNEL_STEP_S, CHANNELS, PACKET_S, Air
from .propagation import stream

ADV_DELAY_S = 0.010  # the random delay that the standard adds to every advertising interval
SCAN_RESPONSE = 4  # report type

# address, report type (0 connectable, 3 not, 4 scan response), RSSI, payload
ReportSink = Callable[[hci.Address, int, int, bytes], None]


class VirtualAdvertiser(LegacyAdvertiser):
    """Legacy advertising with the interval in units of 0.625 ms and the standard's random delay."""

    def _on_timer_fired(self) -> None:
        if not self.enabled:
            return
        controller = self.controller
        assert isinstance(controller, VirtualController)
        interval_s = self.advertising_interval_min * 0.000625 + controller.random.random() * ADV_DELAY_S
        self.timer_handle = asyncio.get_running_loop().call_later(interval_s, self._on_timer_fired)
        controller.adv_events += 1
        controller.air.advertise(controller, controller.adv_events, self.advertising_type == 0, self.advertising_data)


class VirtualController(Controller):
    """One radio.

    Args:
        name: of the device; the air looks its position up by it.
        air: the medium.
        number: unique; keys the draws of fading and loss.
        bytes_per_s: throughput of one connection (both directions share nothing).

    Attributes:
        report_sink: takes advertising reports in place of HCI packets, when set.
        tx_gain_db: how much stronger than a token this device sends.
        adv_events: advertising events sent so far.
        data_bytes: of connections, sent so far, with the headers of L2CAP and above.
    """

    # No extended advertising: the boards have none, and hosts then use the legacy commands throughout.
    le_features = Controller.le_features & ~hci.LeFeatureMask.LE_EXTENDED_ADVERTISING
    le_acl_data_packet_length = 251
    total_num_le_acl_data_packets = 12

    def __init__(self, name: str, air: Air, number: int, bytes_per_s: float = 40_000.0) -> None:
        self.random = stream(air.seed, f"controller/{name}")
        public = bytes([0xC0, 0xDE, 0, 0, number >> 8 & 0xFF, number & 0xFF])
        super().__init__(name, link=air, public_address=hci.Address(public, hci.Address.PUBLIC_DEVICE_ADDRESS))
        self.air = air
        self.number = number
        self.bytes_per_s = bytes_per_s
        self.tx_gain_db = 0.0
        self.adv_events = 0
        self.data_bytes = 0
        self.report_sink: ReportSink | None = None
        self.le_legacy_advertiser = VirtualAdvertiser(self)
        self._scan_since_s = 0.0
        self._air_free_at_s: dict[int, float] = {}
        self.new_random_address()

    def new_random_address(self) -> hci.Address:
        """Take a fresh static random address; returns it."""
        raw = bytearray(self.random.randbytes(6))
        raw[5] |= 0xC0
        self.random_address = hci.Address(bytes(raw), hci.Address.RANDOM_DEVICE_ADDRESS)
        return self.random_address

    # --- Scanning --------------------------------------------------------------------------------------------

    def start_scan(self, interval_s: float, window_s: float, active: bool) -> None:
        """Scan `window_s` of every `interval_s`, on the next advertising channel each interval."""
        self.le_scan_interval = round(interval_s / 0.000625)
        self.le_scan_window = round(window_s / 0.000625)
        self.le_scan_type = int(active)
        self._scanning(True)

    def stop_scan(self) -> None:
        """Stop scanning."""
        self._scanning(False)

    def _scanning(self, on: bool) -> None:
        self.le_scan_enable = on
        self._scan_since_s = asyncio.get_running_loop().time()
        self._listen()

    def _listen(self) -> None:
        if self.le_scan_enable or self.pending_le_connection:
            self.air.listeners[self] = None
        else:
            self.air.listeners.pop(self, None)

    def hears(self, now_s: float, address: hci.Address) -> bool:
        """Whether a packet of an advertising event that begins now falls into an open window on its channel."""
        pending = self.pending_le_connection
        if pending and pending.peer_address == address:
            return True
        if not self.le_scan_enable:
            return False
        interval_s = self.le_scan_interval * 0.000625
        window_s = self.le_scan_window * 0.000625
        for channel in range(CHANNELS):
            since_s = now_s + channel * CHANNEL_STEP_S - self._scan_since_s
            if int(since_s / interval_s) % CHANNELS == channel and since_s % interval_s + PACKET_S <= window_s:
                return True
        return False

    def receive(
        self,
        sender: "VirtualController",
        address: hci.Address,
        connectable: bool,
        rssi_dbm: int,
        payload: bytes,
    ) -> None:
        """An advertisement has arrived: report it, ask for more when scanning actively, connect if wanted."""
        if self.le_scan_enable:
            self._report(address, 0 if connectable else 3, rssi_dbm, payload)
            response = sender.le_legacy_advertiser.scan_response_data
            if self.le_scan_type and connectable and response:
                self._report(address, SCAN_RESPONSE, rssi_dbm, response)
        pending = self.pending_le_connection
        # Of several who answer one advertisement, the first is taken: it ends the advertising.
        wanted = pending and connectable and pending.peer_address == address
        if wanted and sender.le_legacy_advertiser.enabled:
            self.create_le_connection(address)
            self._listen()

    def _report(self, address: hci.Address, kind: int, rssi_dbm: int, payload: bytes) -> None:
        if self.report_sink:
            self.report_sink(address, kind, rssi_dbm, payload)
            return
        event = hci.HCI_LE_Advertising_Report_Event
        report = event.Report(
            event_type=event.EventType(kind),
            address_type=address.address_type,
            address=address,
            data=payload,
            rssi=rssi_dbm,
        )
        self.send_hci_packet(event([report]))

    # --- HCI -------------------------------------------------------------------------------------------------

    def on_hci_le_set_scan_enable_command(self, command):
        result = super().on_hci_le_set_scan_enable_command(command)
        self._scanning(self.le_scan_enable)
        return result

    def on_hci_le_create_connection_command(self, command) -> None:
        super().on_hci_le_create_connection_command(command)
        self._listen()

    def on_hci_le_create_connection_cancel_command(self, _command):
        pending = self.pending_le_connection
        if pending is None:
            return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        self.pending_le_connection = None
        self._listen()
        self.send_hci_packet(
            hci.HCI_LE_Connection_Complete_Event(
                status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                connection_handle=0,
                role=hci.Role.CENTRAL,
                peer_address_type=pending.peer_address.address_type,
                peer_address=pending.peer_address,
                connection_interval=0,
                peripheral_latency=0,
                supervision_timeout=0,
                central_clock_accuracy=0,
            )
        )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)

    def on_hci_reset_command(self, _command):
        self.le_legacy_advertiser.stop()
        self.pending_le_connection = None
        self._scanning(False)
        return super().on_hci_reset_command(_command)

    def on_hci_acl_data_packet(self, packet: hci.HCI_AclDataPacket) -> None:
        """Data takes its time on the air, one packet after the other; only then is it delivered and completed."""
        loop = asyncio.get_running_loop()
        handle = packet.connection_handle
        self.data_bytes += len(packet.data)
        start_s = max(loop.time(), self._air_free_at_s.get(handle, 0.0))
        done_s = start_s + len(packet.data) / self.bytes_per_s
        self._air_free_at_s[handle] = done_s
        loop.call_at(done_s, self._deliver_acl, packet)

    def _deliver_acl(self, packet: hci.HCI_AclDataPacket) -> None:
        connection = self.find_le_connection_by_handle(packet.connection_handle)
        if connection:
            connection.on_hci_acl_data_packet(packet)
