"""The kiosk's simulated Bluetooth controller, for a kiosk in another process: on a socket, as HCI.

Whoever connects has the controller until the line ends; its links then break, as when a dongle is pulled out.
"""

import asyncio
from pathlib import Path
from typing import Any

from bumble import hci, ll
from bumble.transport.common import PacketParser

from .controller import VirtualController


class AdapterSocket:
    """A controller that can be plugged in and out.

    Args:
        controller: of the world; its own host is put aside.
        path: of the socket.

    Attributes:
        name: what HciRadio takes.
        used: how often somebody has connected.
    """

    def __init__(self, controller: VirtualController, path: Path) -> None:
        self.name = f"unix:{path}"
        self.used = 0
        self._controller = controller
        self._path = path
        self._server: asyncio.Server | None = None
        self._line: _Line | None = None

    async def plug_in(self) -> None:
        """Kiosks can connect."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.get_running_loop().create_unix_server(lambda: _Line(self), str(self._path))

    def pull_out(self) -> None:
        """The line ends, and no other begins."""
        if self._server is not None:
            self._server.close()
            self._server = None
        if self._line is not None:
            self._line.hang_up()

    def taken(self, line: "_Line") -> None:
        """Somebody has connected: of two, the later one has it."""
        if self._line is not None:
            self._line.hang_up()
        self.used += 1
        self._line = line
        self._controller.set_packet_sink(line)

    def left(self, line: "_Line") -> None:
        """The line has ended."""
        if self._line is line:
            self._line = None
            self._controller.set_packet_sink(None)
            self._silence()

    def received(self, line: "_Line", packet: bytes) -> None:
        """The host says something."""
        if self._line is line:
            self._controller.on_packet(packet)

    def _silence(self) -> None:
        controller = self._controller
        controller.on_hci_reset_command(hci.HCI_Reset_Command())
        why = hci.HCI_ErrorCode.CONNECTION_TIMEOUT_ERROR
        for connection in list(controller.le_connections.values()):
            if controller.air.find_le_controller(connection.peer_address) is not None:  # else it has gone as well
                connection.send_ll_control_pdu(ll.TerminateInd(why))
            controller.on_le_disconnected(connection, why)


class _Line(asyncio.Protocol):
    """One host; a packet sink of the controller and of the parser, one for each direction."""

    def __init__(self, socket: AdapterSocket) -> None:
        self._socket = socket
        self._transport: Any = None
        self._parser = PacketParser(_Received(socket, self))

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._socket.taken(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._socket.left(self)

    def on_packet(self, packet: bytes) -> None:
        self._transport.write(packet)

    def hang_up(self) -> None:
        self._transport.abort()
        self._socket.left(self)


class _Received:
    def __init__(self, socket: AdapterSocket, line: _Line) -> None:
        self._socket = socket
        self._line = line

    def on_packet(self, packet: bytes) -> None:
        self._socket.received(self._line, packet)
