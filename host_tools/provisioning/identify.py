"""Which token is which: their lights blink one after the other, in the order of the label sheet; a press goes on."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

from host_tools.provisioning.bench import Outcome, Stopped
from host_tools.provisioning.board_error import BoardError
from host_tools.provisioning.copying import Progress
from host_tools.provisioning.token_board import TokenBoard
from host_tools.provisioning.token_service import TokenService
from tracing.wire import short_code


@dataclass
class Named:
    """A token and where it is plugged in."""

    port: str
    short_code: str

    def as_dict(self) -> dict:
        """For JSON."""
        return asdict(self)


def name_of(port: str, progress: Progress, patience_s: int = 4) -> Named:
    """Which token is at a port; it goes on with its work.

    Raises:
        BoardError: it does not answer, or has no keys.
    """
    token = TokenBoard(port, patience_s)
    try:
        progress("reading its short code", 0, 1)
        who = TokenService(token).identity()
        token.restart(0)
    finally:
        token.close()
    if not who.provisioned:
        raise BoardError(f"The board at {port} has no keys and so no label: run `bluezone provision`.")
    return Named(port, short_code(who.serial))


def in_turn(outcomes: list[Outcome[Named]], wait_s: int, say: Callable[[str], None]) -> list[Outcome[Named]]:
    """Let the tokens that were named blink, one after the other, by short code as on the label sheet of `provision`.

    Args:
        wait_s: how long each waits for its button; one that was not pressed has failed.
        say: told whose turn it is.

    Returns:
        The outcomes in this order.
    """
    outcomes = sorted(outcomes, key=lambda one: one.done.short_code if one.done else "")
    named = [(outcome, outcome.done) for outcome in outcomes if outcome.done]
    stopped = False
    for turn, (outcome, token) in enumerate(named, 1):
        try:
            if stopped:
                raise Stopped
            say(f"{turn} of {len(named)}: {token.short_code} blinks. Stick its label on, press its button.")
            beckon(token, wait_s)
        except (BoardError, KeyboardInterrupt) as error:
            stopped = stopped or isinstance(error, KeyboardInterrupt)
            outcome.done = None
            outcome.error = str(Stopped() if stopped else error)
    return outcomes


def beckon(token: Named, wait_s: int, patience_s: int = 4) -> None:
    """Let a token blink until its button is pressed.

    Args:
        wait_s: how long.

    Raises:
        BoardError: the button was not pressed, the token does not answer, or another one is at its port now.
    """
    # Opened at its turn only: the watchdog of a token that stands at its prompt resets it after ten minutes.
    board = TokenBoard(token.port, patience_s)
    try:
        service = TokenService(board)
        if short_code(service.identity().serial) != token.short_code:
            raise BoardError(f"Another token than {token.short_code} is plugged in now. Run the same command again.")
        pressed = service.beckon(wait_s)
        board.restart(0)
    finally:
        board.close()
    if not pressed:
        raise BoardError(
            f"The button of {token.short_code} was not pressed within {wait_s} s. It has no label yet: run the same "
            f"command again with --port {token.port}."
        )
