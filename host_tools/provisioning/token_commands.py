"""`bluezone provision`, `identify`, `verify`, `wipe`, `logs`, `repl`, `labels`: what technicians do with tokens."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools.answers import Json
from host_tools.errors import UserError
from host_tools.fleet.command_kit import DATABASE, Key, Where, actor, opened
from host_tools.provisioning.command_kit import FAILED, Ports, print_outcomes
from host_tools.provisioning.key_commands import PassphraseFile

if TYPE_CHECKING:
    from host_tools.provisioning.bench import Outcome
    from host_tools.provisioning.provision import Provisioned
    from host_tools.provisioning.token_keys import Roots
    from host_tools.provisioning.upkeep import Verified


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (provision, identify, verify, wipe, logs, repl, labels):
        app.command()(command)


_HOW = {
    "new": "a new token",
    "finished": "finished what an earlier run began",
    "renewed": "new keys for the next wearer",
    "kept": "a token already, keeps its keys (--wipe gives new ones)",
}


def _ports(port: list[str] | None) -> list[str]:
    from host_tools.provisioning import ports

    return ports.chosen(port or [])


def provision(
    kiosk_keys: Annotated[Path, typer.Option(help="Key file of the kiosks, made with `bluezone key new kiosk`.")],
    authority_keys: Annotated[Path, typer.Option(help="Key file of the health authority.")],
    port: Ports = None,
    unit: Annotated[str, typer.Option(help="Who gets the tokens, in your words.")] = "",
    wipe: Annotated[bool, typer.Option(help="New keys for tokens that have some; their logs are lost.")] = False,
    label_sheet: Annotated[Path | None, typer.Option("--labels", help="Write their labels: .pdf or .svg.")] = None,
    passphrase_file: PassphraseFile = None,
    authority_passphrase_file: PassphraseFile = None,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> int:
    """Give flashed boards serial, short code and keys, and enter them in the ledger; all that are plugged in."""
    from host_tools.provisioning import bench
    from host_tools.provisioning.labels import write_labels
    from host_tools.provisioning.provision import Provisioning

    if label_sheet and label_sheet.suffix.lower() not in (".pdf", ".svg"):
        raise UserError(f"Labels are written as .pdf or .svg, not {label_sheet.name}. Nothing was changed.")
    roots = _roots(kiosk_keys, authority_keys, passphrase_file, authority_passphrase_file)
    chosen = _ports(port)
    with opened(database, key_file) as office:
        provisioning = Provisioning(roots, office, actor(), unit)
        outcomes: list[Outcome[Provisioned]] = bench.serve(
            chosen, lambda at, progress: provisioning.run(at, progress, wipe)
        )
    codes = sorted(one.done.short_code for one in outcomes if one.done)  # as `identify` goes through them
    if label_sheet and codes:
        write_labels(codes, label_sheet)
    return print_outcomes(
        outcomes, as_json, lambda done: f"{done.short_code} on {done.port}: {_HOW[done.how]}, {done.seconds} s."
    )


def identify(
    port: Ports = None,
    seconds: Annotated[int, typer.Option(help="How long each waits for its button.", min=1)] = 120,
    as_json: Json = False,
) -> int:
    """Let tokens blink one after the other, in the order of the label sheet: stick the label on, press the button."""
    from host_tools.provisioning import bench
    from host_tools.provisioning.identify import in_turn, name_of

    outcomes = in_turn(bench.serve(_ports(port), name_of), seconds, lambda what: typer.echo(what, err=True))
    return print_outcomes(outcomes, as_json, lambda done: f"{done.short_code} on {done.port}: its button was pressed.")


def verify(
    port: Ports = None,
    button: Annotated[int, typer.Option(help="Wait so many seconds for a press of each button.", min=0)] = 0,
    as_json: Json = False,
) -> int:
    """Check tokens: every file, space, clock, battery, keys, and a self-test of radio, flash and light."""
    from host_tools.provisioning import bench
    from host_tools.provisioning.firmware_files import Builds
    from host_tools.provisioning.upkeep import verify_token

    with Builds() as builds:
        outcomes = bench.serve(_ports(port), lambda at, progress: verify_token(at, progress, builds, button))
    status = print_outcomes(outcomes, as_json, _verified_sentence)
    return FAILED if any(one.done and one.done.wrong for one in outcomes) else status


def _verified_sentence(done: "Verified") -> str:
    head = (
        f"{done.short_code or 'a board without keys'} on {done.port}: {done.board}, firmware {done.firmware}, "
        f"{done.free_bytes // 1024} KB free, {done.battery_mv} mV, {done.seconds} s: "
    )
    return head + ("sound." if not done.wrong else "\n  ".join(["", *done.wrong]))


def wipe(
    port: Ports = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> int:
    """Take keys and log from tokens, for good; the ledger revokes their short codes."""
    from host_tools.provisioning import bench
    from host_tools.provisioning.provision import Wiping

    chosen = _ports(port)
    if not yes and not typer.confirm(f"Wipe keys and log at {', '.join(chosen)}?", err=True):
        raise UserError("Nothing was wiped.")
    with opened(database, key_file) as office:
        wiping = Wiping(office, actor())
        outcomes = bench.serve(chosen, lambda at, progress: wiping.run(at, progress))
    return print_outcomes(
        outcomes, as_json, lambda done: f"{done.short_code or 'a board without keys'} on {done.port}: wiped."
    )


def logs(port: Ports = None, as_json: Json = False) -> int:
    """Read how tokens have fared, in numbers; nothing about whom they have met."""
    from host_tools.provisioning import bench
    from host_tools.provisioning.upkeep import diagnostics

    outcomes = bench.serve(_ports(port), lambda at, progress: diagnostics(at, progress))
    return print_outcomes(outcomes, as_json, _diagnostics_sentence)


def _diagnostics_sentence(done: "dict[str, int | str]") -> str:
    numbers = dict(done)
    port, code, board, firmware = (numbers.pop(name) for name in ("port", "short_code", "board", "firmware"))
    lines = [f"{code or 'a board without keys'} on {port}: {board}, firmware {firmware}"]
    for name, value in sorted(numbers.items()):
        lines.append(f"{name:>16}  {value}" + (_utc(int(value)) if name.endswith("_s") and value else ""))
    return "\n".join(lines)


def _utc(unix_s: int) -> str:
    from datetime import UTC, datetime

    return f" ({datetime.fromtimestamp(unix_s, UTC):%Y-%m-%d %H:%M} UTC)"


def repl(port: Annotated[str, typer.Option(help="Serial port.")] = "") -> int:
    """Interrupt a token and open its prompt (mpremote; leave it with Ctrl-]); its watchdog resets it in ten minutes."""
    from host_tools.provisioning.upkeep import repl as interrupt

    chosen = _ports([port] if port else None)
    if len(chosen) > 1:
        raise UserError(f"Several boards are plugged in: name one with --port ({', '.join(chosen)}).")
    return interrupt(chosen[0])


def labels(
    tokens: Annotated[list[str], typer.Argument(help="Short codes or serials, in the order of the sheet.")],
    out: Annotated[Path, typer.Option(help="The sheet to write: .pdf or .svg.")] = Path("labels.pdf"),
    database: Where = DATABASE,
    key_file: Key = None,
    as_json: Json = False,
) -> int:
    """Write labels of tokens in the ledger: short code and QR code, 55 on an A4 sheet."""
    import json

    from host_tools.provisioning.labels import write_labels
    from tracing.wire import short_code

    with opened(database, key_file) as office:
        codes = [short_code(office.ledger.serial(token)) for token in tokens]
    sheets = write_labels(codes, out)
    told = {"labels": codes, "sheets": sheets, "file": str(out)}
    print(json.dumps(told) if as_json else f"{len(codes)} labels on {sheets} sheets: {out}")
    return 0


def _roots(kiosk: Path, authority: Path, passphrase_file: Path | None, authority_file: Path | None) -> "Roots":
    from host_tools.provisioning import key_file
    from host_tools.provisioning.passphrase import passphrase
    from host_tools.provisioning.token_keys import AuthorityRoot, KioskRoot, Roots

    def asked(key: Path, file: Path | None) -> str:
        typer.echo(f"{key}:", err=True)
        return passphrase(file)

    first = asked(kiosk, passphrase_file)
    second = asked(authority, authority_file or passphrase_file)
    return Roots(key_file.load(kiosk, KioskRoot, first), key_file.load(authority, AuthorityRoot, second))
