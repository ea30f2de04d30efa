"""The air between virtual controllers: who hears which packet, how strong; and the radio trace.

A Bumble link with what LocalLink leaves out: order, distance, loss, channels, scan windows, and the sender's address
as it was when the connection was made.
"""

import asyncio
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from bumble import hci, ll
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

from .propagation import Propagation, normal, uniform

if TYPE_CHECKING:
    from .controller import VirtualController

CHANNELS = 3
CHANNEL_STEP_S = 0.0006  # from the packet on one advertising channel to the next
PACKET_S = 0.0004  # on the air, about 37 bytes of payload at 1 Mbit/s

Position = tuple[float, float, str]  # metres, metres, room


class Air(LocalLink):
    """The medium.

    Args:
        where: gives a controller's position by its name.
        propagation: the signal model.
        seed: of every draw.

    Attributes:
        frames: called with (time in s, name, address, payload) for every advertising event.
        receptions: number of packets received so far.
    """

    def __init__(self, where: Callable[[str], Position], propagation: Propagation, seed: int) -> None:
        super().__init__()
        self.ordered: list[VirtualController] = []
        self.listeners: dict[VirtualController, None] = {}
        self.where = where
        self.propagation = propagation
        self.seed = seed
        self.frames: list[Callable[[float, str, str, bytes], None]] = []
        self.receptions = 0
        self._trace = 0

    @property
    def trace_digest(self) -> str:
        """Fingerprint of every reception so far: time, sender, receiver, RSSI, payload; 32 hex digits.

        A sum of hashes, so that the order of receptions at the same microsecond does not matter.
        """
        return f"{self._trace:032x}"

    def add_controller(self, controller: Any) -> None:
        super().add_controller(controller)
        self.ordered.append(controller)

    def remove_controller(self, controller: Any) -> None:
        super().remove_controller(controller)
        self.ordered.remove(controller)
        self.listeners.pop(controller, None)

    def rssi_dbm(self, sender: "VirtualController", receiver: "VirtualController", event: int) -> int:
        """Strength of advertising event number `event` of the sender at the receiver."""
        model = self.propagation
        ax, ay, a_room = self.where(sender.name)
        bx, by, b_room = self.where(receiver.name)
        mean = model.mean_dbm(((ax - bx) ** 2 + (ay - by) ** 2) ** 0.5, a_room == b_room)
        low, high = sorted((sender.number, receiver.number))
        period = int(asyncio.get_running_loop().time() / model.shadow_s)
        shadow = model.shadow_db * normal(self.seed, 1, low, high, period)
        fading = model.fading_db * normal(self.seed, 2, sender.number, receiver.number, event)
        return round(mean + shadow + fading + sender.tx_gain_db)

    def advertise(self, sender: "VirtualController", event: int, connectable: bool, payload: bytes) -> None:
        """One advertising event: three packets, one a channel; every listener gets at most one of them."""
        now_s = asyncio.get_running_loop().time()
        address = sender.le_legacy_advertiser.address
        for told in self.frames:
            told(now_s, sender.name, str(address), payload)
        if not self.listeners:
            return
        model = self.propagation
        for receiver in list(self.listeners):
            if receiver is sender or not receiver.hears(now_s, address):
                continue
            rssi_dbm = self.rssi_dbm(sender, receiver, event)
            if rssi_dbm < model.sensitivity_dbm:
                continue
            if uniform(self.seed, 3, sender.number, receiver.number, event) < model.loss:
                continue
            self.receptions += 1
            reception = f"{now_s:.6f} {sender.number} {receiver.number} {rssi_dbm} ".encode() + payload
            digest = blake2b(reception, digest_size=16).digest()
            self._trace = (self._trace + int.from_bytes(digest, "big")) % (1 << 128)
            receiver.receive(sender, address, connectable, rssi_dbm, payload)

    def send_advertising_pdu(self, sender_controller, packet) -> None:
        """Only the answer to an advertisement still comes this way: a request to connect."""
        if isinstance(packet, ll.ConnectInd):
            for controller in self.ordered:
                if controller.le_legacy_advertiser.address == packet.advertiser_address:
                    controller.on_le_connect_ind(packet)

    def find_le_controller(self, address: hci.Address) -> "VirtualController | None":
        for controller in self.ordered:
            if any(c.self_address == address for c in controller.le_connections.values()):
                return controller
        for controller in self.ordered:
            if address in (controller.random_address, controller.public_address):
                return controller
        return None

    def send_acl_data(self, sender_controller, destination_address, transport, data) -> None:
        """Hand data to the other end, from the address under which it knows the connection."""
        if transport != PhysicalTransport.LE:
            raise ValueError("this air carries Low Energy only")
        connection = sender_controller.le_connections.get(destination_address)
        receiver = self.find_le_controller(destination_address)
        if connection is not None and receiver is not None:
            receiver.on_link_acl_data(connection.self_address, transport, data)
