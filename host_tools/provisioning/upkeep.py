"""What a technician asks of a token that is there already: is it sound, how has it fared, let me in."""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from hashlib import sha256

from host_tools.provisioning import ports
from host_tools.provisioning.circuit_folder import CircuitFolder
from host_tools.provisioning.copying import Plan, Progress, Shown
from host_tools.provisioning.firmware_files import Builds
from host_tools.provisioning.flash import loadable
from host_tools.provisioning.token_board import TokenBoard
from host_tools.provisioning.token_service import TokenService, faults
from tracing.wire import short_code

_CLOCK_OFF_S = 120


@dataclass
class Verified:
    """What `verify` found. `wrong` is empty when the token is sound."""

    port: str
    board: str
    micropython: str  # version; of CircuitPython, where the board has that
    short_code: str  # "" while it is not provisioned
    firmware: str  # 12 hex digits that name the firmware on it
    newest: str  # the same of the firmware that this computer would copy
    free_bytes: int
    clock_off_s: int | None  # its clock less this computer's; None: it keeps none, or it was never set
    battery_mv: int
    self_test: dict[str, str]  # part → "" or what is wrong
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


def verify_token(
    port: str, progress: Progress, builds: Builds, button_s: int = 0, patience_s: int = 4, watch_s: int = 5
) -> Verified:
    """Compare every file of a token, ask for its clock, battery and space, and let it test itself.

    Args:
        button_s: how long to wait for a press of the button; 0: it is not tried.

    Raises:
        BoardError: the token does not answer, or has no firmware of ours.
    """
    started_s = time.monotonic()
    token = TokenBoard(port, patience_s)
    try:
        identity = token.identity()
        name = ports.board_of(identity)
        _, built = loadable(builds, name, identity)
        service = TokenService(token)
        progress("comparing its files", 0, 1)
        plan = Plan(_firmware(token, service), name, built)
        damaged = [file.device_path for file in plan.due] + _damaged_starts(token, builds.start_programs(name))
        keeps_time = identity.implementation == "micropython"  # a chip with CircuitPython keeps none through a reset
        clock = token.clock() if keeps_time else None
        off_s = round((clock - datetime.now(UTC)).total_seconds()) if clock and clock.year > 2000 else None
        who = service.identity()
        progress("self-test: watch its light", 0, 1)
        tested = service.self_test(button_s)
        found = Verified(
            port, name, ".".join(map(str, identity.version)), short_code(who.serial) if who.provisioned else "",
            str(plan.old.get("firmware", "")), plan.manifest["firmware"], token.free_bytes(), off_s,
            int(service.diagnostics()["battery_mv"]), tested,
        )  # fmt: skip
        found.wrong = _wrong(found, str(plan.old.get("state", "")), damaged)
        if keeps_time:
            found.wrong += _wrong_time(off_s)
        progress("watching its start", 0, 1)
        token.restart(watch_s)
    finally:
        token.close()
    found.seconds = round(time.monotonic() - started_s, 1)
    return found


def _firmware(token: TokenBoard, service: TokenService) -> Shown:
    return CircuitFolder(token, service.folder) if service.folder else token


def _damaged_starts(token: TokenBoard, starts: dict[str, bytes]) -> list[str]:
    if not starts:
        return []
    root = CircuitFolder(token, "")
    there = root.files("")
    return [name for name, data in starts.items() if name not in there or root.sha256(name) != sha256(data).hexdigest()]


def _wrong(found: Verified, state: str, damaged: list[str]) -> list[str]:
    wrong = faults(found.self_test)
    if state != "complete":
        wrong.append("Its firmware is not complete: run `bluezone flash`.")
    elif found.firmware != found.newest:
        wrong.append(f"It has firmware {found.firmware}, this computer has {found.newest}: run `bluezone update`.")
    elif damaged:
        wrong.append(
            f"Damaged on the token: {', '.join(damaged)}. Run `bluezone flash`; twice for one token: its flash is worn "
            "out."
        )
    if not found.short_code:
        wrong.append("It is not provisioned: run `bluezone provision`.")
    return wrong


def _wrong_time(off_s: int | None) -> list[str]:
    if off_s is None:
        return ["Its clock is not set: run `bluezone flash`, which sets it, or sync it at a kiosk."]
    return [f"Its clock is off by {off_s} s: sync it at a kiosk."] if abs(off_s) > _CLOCK_OFF_S else []


def diagnostics(port: str, progress: Progress, patience_s: int = 4) -> dict[str, int | str]:
    """How a token has fared, in numbers; none of them is about whom it has met.

    Raises:
        BoardError: it does not answer, or has no firmware of ours.
    """
    token = TokenBoard(port, patience_s)
    try:
        service = TokenService(token)
        progress("reading its diagnostics", 0, 1)
        numbers = service.diagnostics()
        who = service.identity()
        manifest = _firmware(token, service).manifest()
        token.restart(0)
    finally:
        token.close()
    return {
        "port": port,
        "short_code": short_code(who.serial) if who.provisioned else "",
        "firmware": str(manifest.get("firmware", "")),
        **numbers,
    }


def repl(port: str, run: Callable[[list[str]], int] = subprocess.call, patience_s: int = 4) -> int:
    """Interrupt a token, in the first seconds of its start if it comes to that, and hand the line to mpremote's REPL.

    Args:
        run: runs a command line.

    Returns:
        mpremote's exit status.

    Raises:
        BoardError: it does not answer.
    """
    TokenBoard(port, patience_s).leave()
    return run([sys.executable, "-m", "mpremote", "connect", port, "resume", "repl"])
