"""`bluezone flash`, the command line around flash.py, and `bluezone key`."""

import json
import os
from typing import Annotated

import typer

from host_tools.errors import UserError

from .key_commands import key_app


def register(app: typer.Typer) -> None:
    """Add the provisioning commands to the `bluezone` command."""
    app.add_typer(key_app(), name="key")

    @app.command()
    def flash(
        board: Annotated[str, typer.Option(help="Name of a folder in boards/.")] = "",
        port: Annotated[str, typer.Option(help="Serial port of the board, such as /dev/ttyUSB0.")] = "",
        as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
    ) -> None:
        """Copy the firmware to a board with mpremote, verify it there, set the clock and start it."""
        from rich.console import Console
        from rich.progress import Progress

        from host_tools.provisioning.flash import Flash

        _check_board(board)
        _check_port(port)
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("looking at the board", total=None)
            report = Flash(
                board,
                port,
                lambda what, done, total: bar.update(task, description=what, completed=done, total=total),
            ).run()
        if as_json:
            print(json.dumps(report.as_dict()))
            return
        print(
            f"{report.board} on {report.port} (MicroPython {report.micropython}, {report.machine}): "
            f"{report.copied} of {report.files} files copied, {report.bytes} bytes, {report.removed} old ones removed; "
            f"all verified, started, {report.seconds} s."
        )
        for note in report.notes:
            print(f"Note: {note}")


def _flashable() -> list[str]:
    from host_tools.provisioning.firmware_files import boards

    return [name for name, settings in boards().items() if settings.get("method") == "mpremote"]


def _boards_sentence() -> str:
    return f"Boards for mpremote: {', '.join(_flashable()) or 'none'}."


def _check_board(board: str) -> None:
    from host_tools.provisioning.firmware_files import boards

    if not board:
        raise UserError(
            f"BOARD is missing. {_boards_sentence()} Example: make flash BOARD=esp32_generic PORT=/dev/ttyUSB0"
        )
    if board not in boards():
        raise UserError(f'There is no board "{board}". {_boards_sentence()}')
    if board not in _flashable():
        raise UserError(f"The board {board} is not flashed with mpremote. {_boards_sentence()}")


def _check_port(port: str) -> None:
    from serial.tools.list_ports import comports

    found = {info.device: info.description for info in comports()}
    if port and (port in found or os.path.exists(port)):
        return
    listed = ", ".join(
        device if description in (None, "", "n/a") else f"{device} ({description})"
        for device, description in sorted(found.items())
    )
    raise UserError(
        (f'There is no serial port "{port}". ' if port else "PORT is missing. ")
        + (
            f"Serial ports here: {listed}. "
            if listed
            else "No serial port was found: plug the board in, with a cable that carries data and not only power. "
        )
        + _boards_sentence()
    )
