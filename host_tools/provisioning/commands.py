"""`bluezone flash` and `bluezone update`: firmware for boards; commands for tokens and keys are registered here too."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools import command_completion
from host_tools.answers import Json
from host_tools.errors import UserError
from host_tools.provisioning import token_commands
from host_tools.provisioning.command_kit import Ports, print_outcomes
from host_tools.provisioning.key_commands import key_app

if TYPE_CHECKING:
    from host_tools.provisioning.copying import Progress
    from host_tools.provisioning.drive_flash import DriveReport
    from host_tools.provisioning.firmware_files import Builds
    from host_tools.provisioning.flash import Report
    from host_tools.provisioning.image import ChipImage, FlashImage
    from host_tools.provisioning.update import UpdateReport

_Board = Annotated[
    str,
    typer.Option(
        metavar="BOARD",
        help="A folder in boards/; by default whichever board it is.",
        autocompletion=command_completion.boards,
    ),
]
_Drives = Annotated[
    list[Path] | None,
    typer.Option("--drive", metavar="FOLDER", help="Drive of an nRF52840; several times for several."),
]
_DRIVE_BOARD = "nrf52840_circuitpython"


def register(app: typer.Typer) -> None:
    """Add the provisioning commands to the `bluezone` command."""
    app.command()(flash)
    app.command()(update)
    token_commands.register(app)
    app.add_typer(key_app(), name="key")


def flash(
    board: _Board = "",
    port: Ports = None,
    image: Annotated[
        Path | None, typer.Option(help="MicroPython (.bin) or CircuitPython (.uf2) to write first.")
    ] = None,
    image_sha256: Annotated[
        str,
        typer.Option("--image-sha256", help="SHA-256 of an image that board.toml does not list, as others found it."),
    ] = "",
    download: Annotated[
        bool, typer.Option(help="Fetch the image that BOARD's board.toml names, and write it.")
    ] = False,
    drive: _Drives = None,
    wipe: Annotated[bool, typer.Option(help="Let --image go over a token that has keys.")] = False,
    offline_image: Annotated[Path | None, typer.Option(help="Write one file for a factory instead of a board.")] = None,
    as_json: Json = False,
) -> int:
    """Copy the firmware to boards, verify it there, set their clocks and start them; all that are plugged in."""
    from host_tools.provisioning import bench
    from host_tools.provisioning.drive_flash import flash_drive
    from host_tools.provisioning.firmware_files import Builds
    from host_tools.provisioning.image_list import checked_sha256

    _check_board(board)
    vouched = checked_sha256(image_sha256)
    if download:
        image = _downloaded(board, image)
    if vouched and not image:
        raise UserError("--image-sha256 is that of an --image: name it. Nothing was changed.")
    with Builds() as builds:
        if offline_image:
            return _offline(board, image, vouched, offline_image, builds, as_json)
        if drive or _is_drive(board):
            chosen = _drives(drive)
            if image and len(chosen) > 1:
                raise UserError("With --image one board at a time: name its --drive. Nothing was changed.")
            name = board or _DRIVE_BOARD
            outcomes = bench.serve(
                chosen,
                lambda at, progress: flash_drive(name, Path(at), progress, builds, image, vouched=vouched),
            )
            return print_outcomes(outcomes, as_json, _drive_sentence)
        known = _image_for(board, image, vouched)
        outcomes = bench.serve(
            _ports(port), lambda at, progress: _flash_one(board, at, image, vouched, known, wipe, builds, progress)
        )
    return print_outcomes(outcomes, as_json, _sentence)


def update(board: _Board = "", port: Ports = None, drive: _Drives = None, as_json: Json = False) -> int:
    """Give tokens a new firmware; one that loses power meanwhile starts with the old one or the new one."""
    from host_tools.provisioning import bench
    from host_tools.provisioning.drive_flash import update_drive
    from host_tools.provisioning.firmware_files import Builds
    from host_tools.provisioning.update import Update

    _check_board(board)
    with Builds() as builds:
        if drive or _is_drive(board):
            name = board or _DRIVE_BOARD
            outcomes = bench.serve(_drives(drive), lambda at, progress: update_drive(name, Path(at), progress, builds))
            return print_outcomes(
                outcomes, as_json, lambda done: f"{_updated(done, 'verified')} Eject the drive, press reset once."
            )
        outcomes = bench.serve(_ports(port), lambda at, progress: Update(board, at, progress, builds).run())
    return print_outcomes(outcomes, as_json, lambda done: _updated(done, "started"))


def _updated(done: "UpdateReport", how: str) -> str:
    return (
        f"{done.board} on {done.port}: firmware {done.before} → {done.firmware}, {done.copied} files, "
        f"{done.bytes} bytes, {how}, {done.seconds} s."
    )


def _flash_one(
    board: str,
    port: str,
    path: Path | None,
    vouched: str,
    image: "ChipImage | None",
    wipe: bool,
    builds: "Builds",
    progress: "Progress",
) -> "Report":
    from host_tools.provisioning import ports
    from host_tools.provisioning.flash import Flash

    if path:
        ports.check_boot_loader(port)
    if not board:
        board = _board_by_chip(port) if path else ports.detect(port)
        image = _image_for(board, path, vouched)
    return Flash(board, port, progress, builds=builds, image=image, wipe=wipe, self_test=True).run()


def _board_by_chip(port: str) -> str:
    from host_tools.provisioning import ports
    from host_tools.provisioning.esp_chip import EspChip

    with EspChip(port) as chip:
        return ports.board_for_chip(chip.name)


def _image_for(board: str, path: Path | None, vouched: str) -> "ChipImage | None":
    from host_tools.provisioning.firmware_files import boards
    from host_tools.provisioning.image import read_image

    return read_image(path, board, boards()[board], vouched) if path and board else None


def _is_drive(board: str) -> bool:
    from host_tools.provisioning.firmware_files import boards

    return bool(board) and boards()[board].get("method") == "uf2"


def _drives(named: list[Path] | None) -> list[str]:
    from host_tools.provisioning.drive import drives

    chosen = [str(drive) for drive in named or drives()]
    if not chosen:
        raise UserError(
            "No drive of such a board was found. For CircuitPython press reset twice, quickly; for the firmware hold "
            "the button while you press reset. If no drive appears, take a cable that carries data and not only power."
        )
    return chosen


def _downloaded(board: str, image: Path | None) -> Path:
    from host_tools.provisioning.firmware_files import boards
    from host_tools.provisioning.image_list import downloaded

    if image or not board:
        raise UserError("--download needs --board, and no --image: it fetches that board's. Nothing was changed.")
    return downloaded(board, boards()[board])


def _offline(board: str, image: Path | None, vouched: str, out: Path, builds: "Builds", as_json: bool) -> int:
    import json

    from host_tools.provisioning.firmware_files import boards
    from host_tools.provisioning.image import flash_image, read_image

    if not board or not image:
        raise UserError("An offline image needs BOARD and --image, MicroPython for its chip. Nothing was written.")
    settings = boards()[board]
    whole = flash_image(read_image(image, board, settings, vouched), board, settings, *builds.get(board))
    try:
        out.write_bytes(whole.data)
    except OSError as error:
        raise UserError(f"The image {out} cannot be written: {error.strerror}. Name another file.") from error
    told = offline_json(board, out, whole)
    print(
        json.dumps(told)
        if as_json
        else f"{out}: {told['bytes']} bytes with {told['files']} files, read back. Write it with: "
        f"esptool write-flash 0x0 {out}; then `bluezone flash` sets the clock."
    )
    return 0


def offline_json(board: str, out: Path, image: "FlashImage") -> dict:
    """The answer of `flash --offline-image`."""
    return {
        "board": board, "image": str(out), "bytes": len(image.data), "files": image.files, "sha256": image.sha256,
    }  # fmt: skip


def _ports(port: list[str] | None) -> list[str]:
    from host_tools.provisioning import ports

    return ports.chosen(port or [])


def _check_board(board: str) -> None:
    from host_tools.provisioning.firmware_files import boards

    known = {name: settings.get("method") for name, settings in boards().items()}
    flashable = [name for name, method in known.items() if method in ("mpremote", "uf2")]
    listed = f"Boards: {', '.join(flashable)}."
    if board and board not in known:
        raise UserError(f'There is no board "{board}". {listed}')
    if board and board not in flashable:
        why = boards()[board].get("notes", {}).get("flash", "")
        told = [f"The board {board} is not flashed with this command: boards/{board}/deploy.md.", why, listed]
        raise UserError(" ".join(filter(None, told)))


def _sentence(done: "Report") -> str:
    lines = [
        f"{done.board} on {done.port} (MicroPython {done.micropython}, {done.machine}): {done.copied} of {done.files} "
        f"files copied, {done.bytes} bytes, {done.removed} old ones removed; all verified, started, {done.seconds} s."
    ]
    return "\n".join(lines + [f"Note: {note}" for note in done.notes])


def _drive_sentence(done: "DriveReport") -> str:
    return (
        f"{done.board} on {done.drive} (CircuitPython {done.circuitpython}): {done.copied} of {done.files} files "
        f"copied, {done.bytes} bytes, {done.removed} old ones removed; all verified, {done.seconds} s. Eject the "
        "drive, press reset once."
    )
