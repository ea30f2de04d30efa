"""Which Bluetooth adapter the kiosk uses: the PC's own through bleak's own backend, one that the kiosk drives itself,
or a virtual one."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bleak import BleakClient, BleakScanner

if TYPE_CHECKING:
    from .bumble_backend import Radio


@dataclass(frozen=True)
class Adapter:
    """Makes bleak's scanners and clients for one adapter.

    Attributes:
        scanner_options, client_options: passed on to BleakScanner and BleakClient.
    """

    scanner_options: dict[str, Any] = field(default_factory=dict)
    client_options: dict[str, Any] = field(default_factory=dict)

    def scanner(self, detection_callback, service_uuids: list[str]) -> BleakScanner:
        """A scanner for advertisements that name one of the services (128-bit UUID strings)."""
        return BleakScanner(
            detection_callback=detection_callback,
            service_uuids=service_uuids,
            scanning_mode="active",  # the sync service stands in the scan response
            **self.scanner_options,
        )

    def client(self, device, disconnected_callback) -> BleakClient:
        """A client for a device that a scanner has found."""
        return BleakClient(device, disconnected_callback=disconnected_callback, timeout=10.0, **self.client_options)


def real() -> Adapter:
    """The PC's adapter."""
    return Adapter()


def virtual(device) -> Adapter:
    """A Bumble device on the virtual air."""
    from .bumble_backend import Ready

    return over(Ready(device))


def hci(name: str) -> Adapter:
    """A controller that the kiosk drives itself, by Bumble's name for the way to it, such as usb:0."""
    from .hci import HciRadio

    return over(HciRadio(name))


def over(radio: "Radio") -> Adapter:
    """A Bumble device, wherever it comes from."""
    from .bumble_backend import BumbleClient, BumbleScanner

    return Adapter({"backend": BumbleScanner, "radio": radio}, {"backend": BumbleClient, "radio": radio})
