"""`bluezone authority`: keys and lists; for what a positive person releases, see release_commands."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from host_tools.answers import Json
from host_tools.authority.release_commands import add_release_commands
from host_tools.errors import UserError
from host_tools.matching.list_options import Kind
from host_tools.provisioning.key_commands import PassphraseFile

if TYPE_CHECKING:
    from host_tools.authority.lists import Publication

_Folder = Annotated[Path, typer.Argument(help="The authority's folder: keys, and the lists in public/.")]
_Port = Annotated[
    int, typer.Option(min=0, max=65535, help="Where to serve, on this computer only; 0: any that is free.")
]
_Seconds = Annotated[float | None, typer.Option(help="How long to serve; without it until Ctrl-C.")]
_PORT = 8443
_DEMO_PASSPHRASE = "only for demonstrations"


def register(app: typer.Typer) -> None:
    """Add `authority` with its subcommands."""
    group = typer.Typer(
        no_args_is_help=True, help="A small health authority: signs lists, serves them, opens releases."
    )
    for command in (init, publish, serve, demo):
        group.command()(command)
    add_release_commands(group)
    app.add_typer(group, name="authority")


def init(folder: _Folder, passphrase_file: PassphraseFile = None, as_json: Json = False) -> None:
    """Make the authority's key pair; the private key lies encrypted under a passphrase."""
    from host_tools.authority.signing import make_keys
    from host_tools.provisioning.passphrase import passphrase

    public_key = make_keys(folder, passphrase(passphrase_file, new=True))
    if as_json:
        print(json.dumps({"public_key": str(public_key)}))
        return
    print(
        f"The keys are in {folder}. Give {public_key} to every kiosk; keep the rest, and the passphrase, to yourself."
    )


def publish(
    folder: _Folder,
    entries: Annotated[Path, typer.Option(help="New entries, in the format of the national list.")],
    passphrase_file: PassphraseFile = None,
    kind: Kind = "F0",
    as_json: Json = False,
) -> None:
    """Add entries to a list and sign it as a new version."""
    import time

    from host_tools.authority import lists, signing
    from host_tools.matching.list_options import checked_kind
    from host_tools.provisioning.passphrase import passphrase

    new = lists.read_entries(entries)
    key = signing.private_key(folder, passphrase(passphrase_file))
    published = lists.publish(folder, checked_kind(kind), new, key, int(time.time()))
    print(json.dumps(_as_dict(published)) if as_json else _words(published))


def serve(
    folder: _Folder,
    port: _Port = _PORT,
    certificate: Annotated[Path | None, typer.Option(help="PEM with key and certificate; without it: http.")] = None,
    seconds: _Seconds = None,
    as_json: Json = False,
) -> None:
    """Serve the lists and their signatures on this computer."""
    _serve(folder, port, certificate, seconds, as_json, {})


def demo(
    folder: _Folder = Path("build/authority"), port: _Port = _PORT, seconds: _Seconds = None, as_json: Json = False
) -> None:
    """Sign lists of made-up cases and serve them over https, with keys that are made for it."""
    import time

    from host_tools.authority import demo_lists

    now_s = int(time.time())
    made = demo_lists.make(folder, _DEMO_PASSPHRASE, now_s)
    if not as_json:
        for published in made.published:
            print(_words(published))
        print("The cases are made up, and the passphrase is in the source: for demonstrations only.")
    _serve(
        folder, port, made.certificate, seconds, as_json,
        {"public_key": str(made.public_key), "trusted": str(made.trusted)},
    )  # fmt: skip


def _serve(
    folder: Path, port: int, certificate: Path | None, seconds: float | None, as_json: bool, more: dict[str, str]
) -> None:
    from threading import Event

    from host_tools.authority.lists import PUBLIC
    from host_tools.authority.server import served, serving

    public = folder / PUBLIC
    lists = sorted(name for name in served(public) if name.endswith(".json"))
    if not lists:
        raise UserError(f"{folder} has no list to serve. Begin with `bluezone authority publish`.")
    with serving(public, port, certificate) as address:
        if as_json:
            print(json.dumps({"address": address, "lists": lists, **more}), flush=True)
        else:
            print(f"Serving on {address} (Ctrl-C ends it): {', '.join(lists)}")
            if more:
                print(
                    f"Try: SSL_CERT_FILE={more['trusted']} bluezone match --log data_trace.txt "
                    f"--cases {address}F0.json --list-key {more['public_key']}"
                )
        try:
            Event().wait(seconds)
        except KeyboardInterrupt:
            print()


def _as_dict(published: "Publication") -> dict[str, object]:
    return {
        "kind": published.kind,
        "version": published.version,
        "added": published.added,
        "entries": published.entries,
        "list": str(published.path),
    }


def _words(published: "Publication") -> str:
    return (
        f"{published.path}: version {published.version}, {published.entries} entries, "
        f"{published.added} of them new, signed."
    )
