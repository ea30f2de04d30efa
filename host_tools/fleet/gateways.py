"""The ways by which alerts leave: which are set, and a message to try one. See alerts.Alerts.set_gateway."""

from host_tools.errors import UserError

from . import audit, settings
from .alerts import ANSWER_S, KINDS, address_url, kind_of
from .gateway import Send, send_by_apprise, within
from .office import Office

_TITLE = "Bluezone: thử / test"
_TEXT = (
    "Tin thử của kiosk Bluezone: cảnh báo sẽ đến theo đường này.\n\n"
    "A test by a Bluezone kiosk: alerts will come this way. Nobody has been in contact with anybody."
)


def services(office: Office) -> dict[str, str | None]:
    """By kind of address, the service that its gateway is of (the scheme of its URL, such as "mailtos"); None: not set.

    The rest of a URL holds passwords and is never told.
    """
    with office.database.reading() as connection:
        sealed = {kind: settings.get(connection, f"gateway.{kind}") for kind in KINDS}
    return {
        kind: office.vault.open("gateway", each).partition("://")[0] if each is not None else None
        for kind, each in sealed.items()
    }


def send_test(office: Office, actor: str, address: str, send: Send = send_by_apprise) -> None:
    """Send a message to an address by the gateway for its kind.

    Raises:
        UserError: none is set, or it did not take the message.
    """
    kind = kind_of(address)
    with office.database.reading() as connection:
        sealed = settings.get(connection, f"gateway.{kind}")
    if sealed is None:
        raise UserError(
            f"No gateway for addresses of kind {kind} is set. Nothing was sent. Set it with `bluezone fleet gateway "
            f"set {kind}`."
        )
    try:
        url = address_url(office.vault.open("gateway", sealed), address)
        taken = within(ANSWER_S, send, url, _TITLE, _TEXT)
    except Exception as error:  # whatever a gateway's library does
        raise UserError(f"The gateway for {kind} failed: {type(error).__name__}. Correct its URL.") from error
    with office.database.writing() as connection:
        audit.note(connection, office.now(), actor, "test gateway", kind=kind, taken=taken)
    if not taken:
        raise UserError(
            f"The gateway for {kind} did not take the message. Check its URL, its password and this machine's network; "
            "the URL that is set was kept."
        )
