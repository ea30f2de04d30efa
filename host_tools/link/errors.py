"""What can go wrong between kiosk and token, in sentences."""

from host_tools.errors import UserError
from tracing import kiosk_messages as wire


class SessionError(UserError):
    """A sync session that did not come to its end. What has been stored stays stored, and the next one resumes."""


class SessionRefused(SessionError):
    """The token said no; the session may go on. `code` is one of kiosk_messages.ERROR_*."""

    def __init__(self, code: int):
        super().__init__(_REFUSALS.get(code, f"The token refused, with a code this kiosk does not know ({code})."))
        self.code = code


class SessionBroken(SessionError):
    """The token said something that cannot be, or the session was left in the middle: connect anew."""


class StrangeToken(SessionError):
    """The token has not shown that it belongs to this kiosk's fleet; nothing was asked of it."""

    def __init__(self) -> None:
        super().__init__(
            "This token does not have a key of this kiosk's fleet: it belongs to another one, or was never "
            "provisioned. Nothing was read. A technician must provision it, or name this kiosk the right key file."
        )


class LogSealed(SessionError):
    """The token's records open with none of this kiosk's keys."""

    def __init__(self) -> None:
        super().__init__(
            "None of this token's records opens with this kiosk's key: the token was not provisioned anew as a whole. "
            "Nothing was stored, and the token keeps its log. Call the technician."
        )


class LinkLost(SessionError):
    """The connection ended."""

    def __init__(self, what: str = "The connection to the token was lost.") -> None:
        super().__init__(f"{what} What was read so far is kept. Hold the token near the kiosk and try again.")


class AnswerTimeout(SessionError):
    """The token did not answer in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"The token has not answered for {seconds:.0f} seconds. What was read so far is kept. Ask the wearer to "
            "press its button again, then try again."
        )


class SessionTooLong(SessionError):
    """The token answers, but so slowly that others would wait for it."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"Reading this token has taken longer than {seconds / 60:.0f} minutes and was ended. What was read so far "
            "is kept. Hold the token near the kiosk and press its button again; the kiosk goes on where it was."
        )


class LogRestarted(SessionError):
    """The token's log ends before what is already stored under its serial."""

    def __init__(self) -> None:
        super().__init__(
            "This token's log ends before records that are already stored under its serial: it was reset. "
            "Nothing was stored. A technician must provision it again, with a new serial."
        )


_REFUSALS = {
    wire.ERROR_NOT_IN_SYNC_MODE: "The token is not in sync mode. Ask the wearer to press its button, then try again.",
    wire.ERROR_BUSY: "Another kiosk is reading this token. Try again when it has finished.",
    wire.ERROR_STATE: "The token did not expect this request. Try again; what was read so far is kept.",
    wire.ERROR_VERSION: "The token and this kiosk speak different versions. Update the older of the two.",
    wire.ERROR_RANGE: "The token refused a time or a place in its log. Check the kiosk's clock, then try again.",
    wire.ERROR_KEY: "The token does not accept this kiosk's key. Nothing was read. Check the kiosk's key file.",
    wire.ERROR_CODE: (
        "The token does not accept this code. Nothing was released. Check each letter; ask the authority again if need "
        "be."
    ),
}
