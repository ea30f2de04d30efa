"""`bluezone key`: makes and shows the files that hold a fleet's two roots."""

import json
from pathlib import Path
from typing import Annotated

import typer

from host_tools.answers import Json
from host_tools.errors import UserError

KeyFile = Annotated[Path, typer.Option("--keys", help="Key file, made with `bluezone key new`.")]
PassphraseFile = Annotated[
    Path | None,
    typer.Option(help="File with the passphrase in its first line; by default BLUEZONE_PASSPHRASE, else a prompt."),
]


def key_app() -> typer.Typer:
    """The commands below `bluezone key`."""
    app = typer.Typer(no_args_is_help=True, help="Files with the two roots of a fleet.")

    @app.command()
    def new(
        kind: Annotated[str, typer.Argument(help="`kiosk`: for the kiosks of a fleet. `authority`: for it alone.")],
        file: Annotated[Path, typer.Argument(help="The file to make.")],
        passphrase_file: PassphraseFile = None,
        as_json: Json = False,
    ) -> None:
        """Make a root of 32 random bytes and write it to FILE, encrypted under a passphrase."""
        from host_tools.provisioning import key_file
        from host_tools.provisioning.passphrase import passphrase

        if kind not in key_file.KINDS:
            raise UserError(f"There is no kind {kind!r} of key: `kiosk` or `authority`. Nothing was done.")
        key_file.save(file, key_file.new_root(kind), passphrase(passphrase_file, new=True))
        _tell(file, as_json)
        if not as_json:
            print("Keep a copy of the file and of the passphrase in two places: neither can be made again.")

    @app.command()
    def show(file: Annotated[Path, typer.Argument(help="A key file.")], as_json: Json = False) -> None:
        """Tell whose root FILE holds, and its fingerprint; never the root."""
        _tell(file, as_json)

    return app


def _tell(file: Path, as_json: bool) -> None:
    from host_tools.provisioning import key_file

    data = key_file.describe(file)
    if as_json:
        print(json.dumps({"file": str(file), "kind": data["kind"], "fingerprint": data["fingerprint"]}))
        return
    print(f"{file}: root of the {data['kind']}, fingerprint {data['fingerprint']}")
