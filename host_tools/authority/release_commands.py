"""`bluezone authority code` and `bluezone authority open`: the health authority's part in a release."""

import json
from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer

from host_tools.answers import Json
from host_tools.errors import UserError
from host_tools.provisioning.key_commands import KeyFile, PassphraseFile


def add_release_commands(app: typer.Typer) -> None:
    """Add them to the commands below `bluezone authority`."""
    app.command()(code)
    app.command("open")(open_release)


def code(
    keys: KeyFile,
    serial: Annotated[str, typer.Option(help="The token's serial, 16 hex digits, as the kiosk shows it.")],
    challenge: Annotated[str, typer.Option(help="The challenge, 10 hex digits, as the kiosk shows it.")],
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Give the one-time code that lets one token release its keys, in the session that has shown the challenge."""
    from host_tools.authority.release import code_for
    from host_tools.provisioning.token_keys import SERIAL_BYTES
    from tracing.messages import CHALLENGE_BYTES

    serial_bytes = _digits("--serial", serial, SERIAL_BYTES)
    challenge_bytes = _digits("--challenge", challenge, CHALLENGE_BYTES)
    answer = code_for(_root(keys, passphrase_file), serial_bytes, challenge_bytes)
    print(json.dumps({"code": answer}) if as_json else answer)


def open_release(
    release: Annotated[Path, typer.Argument(help="The file that `bluezone release` has written.")],
    keys: KeyFile,
    from_day: Annotated[datetime, typer.Option("--from", formats=["%Y-%m-%d"], help="First UTC day to be traced.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Where infof.json and data_trace.txt go.")],
    to_day: Annotated[
        datetime | None, typer.Option("--to", formats=["%Y-%m-%d"], help="Last UTC day; by default the release's.")
    ] = None,
    passphrase_file: PassphraseFile = None,
    as_json: Json = False,
) -> None:
    """Open a release: the person's daily key and history in Bluezone's forms."""
    from host_tools.authority import release as releases
    from host_tools.authority import release_bundle

    bundle = release_bundle.load(release)
    last: date | None = to_day.date() if to_day else None
    traced = releases.trace(_root(keys, passphrase_file), bundle, from_day.date(), last)
    releases.write(traced, out)
    if as_json:
        answer = {
            "serial": bundle.serial.hex(),
            "encounters": len(traced.encounters),
            "files": [str(out / releases.INFO_NAME), str(out / releases.TRACE_NAME)],
            "entry": traced.list_entry,
        }
        print(json.dumps(answer))
        return
    print(f"{len(traced.encounters)} encounters, {out / releases.INFO_NAME}, {out / releases.TRACE_NAME}.")
    print(f"Entry of the national list: {json.dumps(traced.list_entry)}")


def _root(file: Path, passphrase_file: Path | None):
    from host_tools.provisioning import key_file
    from host_tools.provisioning.passphrase import passphrase
    from host_tools.provisioning.token_keys import AuthorityRoot

    key_file.describe(file)
    return key_file.load(file, AuthorityRoot, passphrase(passphrase_file))


def _digits(name: str, text: str, length: int) -> bytes:
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if len(data) != length:
        raise UserError(f"{name} must be {2 * length} hex digits, not {text!r}. No code was made.")
    return data
