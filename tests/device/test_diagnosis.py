"""What people meet at the bench: each fault on a pseudo terminal, each with its sentence."""

import threading
from pathlib import Path

import pytest
import serial
import serial.tools.list_ports
from line_faults import TALKERS, Answer, Line
from serial.tools.list_ports_common import ListPortInfo

from host_tools.errors import UserError
from host_tools.provisioning import diagnosis, ports
from host_tools.provisioning.token_board import TokenBoard


@pytest.mark.parametrize(("answer", "chatter", "sentence"), TALKERS)
def test_a_line_that_does_not_take_orders(answer: Answer, chatter: bytes, sentence: str) -> None:
    with Line(answer, chatter) as line, pytest.raises(UserError) as caught:
        TokenBoard(line.port, patience_s=0)
    assert sentence in str(caught.value)
    assert line.port in str(caught.value)


def test_a_board_that_falls_asleep_on_usb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    port = tmp_path / "ttyACM0"

    def write(self: serial.Serial, data: bytes) -> None:
        port.unlink()
        raise serial.SerialException("write failed: [Errno 5] Input/output error")

    with Line() as line:
        port.symlink_to(line.port)
        monkeypatch.setattr(serial.Serial, "write", write)
        with pytest.raises(UserError, match="not on USB any more: the board was unplugged, or it sleeps"):
            TokenBoard(str(port), patience_s=0)


def test_a_port_that_has_just_gone(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not on USB any more"):
        TokenBoard(str(tmp_path / "ttyUSB0"))


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[ListPortInfo]:
    """The serial ports that the PC claims to have."""
    found: list[ListPortInfo] = []
    monkeypatch.setattr(ports, "comports", lambda: found)
    monkeypatch.setattr(diagnosis, "comports", lambda: found)
    return found


def usb(device: str, vendor: int | None, description: str = "n/a") -> ListPortInfo:
    """A port as pyserial lists it."""
    info = ListPortInfo(device, skip_link_detection=True)
    info.vid = vendor
    info.description = description
    return info


def test_no_permission_shows_the_rule_for_this_very_board(
    plugged: list[ListPortInfo], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(self: serial.Serial) -> None:
        raise serial.SerialException(13, f"could not open port {self.port}: [Errno 13] Permission denied")

    monkeypatch.setattr(serial.Serial, "open", refuse)
    plugged.append(usb("/dev/ttyUSB0", 0x10C4))
    with pytest.raises(UserError) as caught:
        TokenBoard("/dev/ttyUSB0")
    assert 'SUBSYSTEM=="tty", ATTRS{idVendor}=="10c4", TAG+="uaccess"' in str(caught.value)
    assert "/etc/udev/rules.d/70-bluezone.rules" in str(caught.value)
    assert 'KERNEL=="ttyUSB*|ttyACM*"' in diagnosis.udev_rule("/dev/ttyUSB9")


def test_all_boards_are_found_and_other_ports_left_alone(plugged: list[ListPortInfo]) -> None:
    plugged += [
        usb("/dev/ttyUSB1", 0x1A86),
        usb("/dev/ttyACM0", 0x303A),
        usb("/dev/ttyS0", None),
        usb("/dev/x", 0x1D6B),
    ]
    assert ports.chosen([]) == ["/dev/ttyACM0", "/dev/ttyUSB1"]
    assert ports.chosen(["/dev/ttyS0"]) == ["/dev/ttyS0"]


def test_no_board_at_all_and_a_cable_without_data(plugged: list[ListPortInfo]) -> None:
    with pytest.raises(UserError, match=r"no board was found\. No serial port .* cable that carries data"):
        ports.chosen([])
    plugged.append(usb("/dev/ttyS0", None, "onboard"))
    with pytest.raises(UserError, match=r"no board was found\. Serial ports here: /dev/ttyS0 \(onboard\)"):
        ports.chosen([])
    with pytest.raises(UserError, match=r'There is no serial port "/dev/x"'):
        ports.chosen(["/dev/x"])
    with pytest.raises(UserError, match="named twice"):
        ports.chosen(["/dev/ttyS0", "/dev/ttyS0"])


def test_a_port_comes_back_after_a_reset_or_is_missed(tmp_path: Path) -> None:
    port = tmp_path / "ttyACM0"
    threading.Timer(0.3, port.touch).start()
    ports.wait_for(str(port), 20)
    with pytest.raises(UserError, match="did not come back after the reset"):
        ports.wait_for(str(tmp_path / "ttyACM1"), 0)


@pytest.fixture(autouse=True)
def short_listening(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a second is enough for a line that answers at once."""
    monkeypatch.setattr(diagnosis, "_LISTEN_S", 0.5)
