"""Several boards at once: each has its thread, its progress bar, and its own fate."""

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, current_thread, main_thread
from types import FrameType
from typing import Generic, TypeVar

from host_tools.errors import UserError
from host_tools.provisioning.board_error import BrokenOff
from host_tools.provisioning.copying import Progress

Done = TypeVar("Done")
_LOOK_S = 0.2  # how late Ctrl-C may be answered with a word


class Stopped(BrokenOff):
    """The technician has pressed Ctrl-C."""

    def __init__(self) -> None:
        super().__init__("Stopped.")


@dataclass
class Outcome(Generic[Done]):
    """What became of one board: `done`, or `error` in a sentence."""

    port: str
    done: Done | None = None
    error: str = ""


def serve(ports: Sequence[str], work: Callable[[str, Progress], Done], show: bool | None = None) -> list[Outcome[Done]]:
    """Do the same work at every port, all at once. Ctrl-C lets each board end its step, however often it is pressed.

    Args:
        work: called with a port and what to tell of its progress before each step, which raises Stopped after Ctrl-C;
            a UserError of its is that board's outcome.
        show: whether bars are drawn; None: where there is a terminal.

    Returns:
        One outcome a port, in the order of `ports`.
    """
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    columns = (TextColumn("{task.fields[port]}"), BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    shown = console.is_terminal if show is None else show
    stop = Event()
    outcomes: list[Outcome[Done]] = [Outcome(port, error=str(Stopped())) for port in ports]
    with (
        Bars(*columns, console=console, transient=True, disable=not shown) as bars,
        ThreadPoolExecutor(max_workers=max(len(ports), 1)) as pool,
    ):

        def one(outcome: Outcome[Done]) -> None:
            bar = bars.add_task("", total=None, port=outcome.port)

            def progress(what: str, done: int, total: int) -> None:
                if stop.is_set():
                    raise Stopped
                bars.update(bar, description=what, completed=done, total=total)

            try:
                progress("looking at the board", 0, 1)
                outcome.done = work(outcome.port, progress)
                outcome.error = ""
                bars.update(bar, description="done", completed=1, total=1)
            except UserError as error:
                outcome.error = str(error)
                bars.update(bar, description="failed")

        with _interrupts_set(stop):
            running = [pool.submit(one, outcome) for outcome in outcomes]
            told = False
            while wait(running, _LOOK_S).not_done:
                if stop.is_set() and not told:
                    bars.console.print("Stopping: each board ends the step that it is at …")
                    told = True
    for ended in running:
        ended.result()  # raises what is no UserError
    return outcomes


@contextmanager
def _interrupts_set(stop: Event) -> Iterator[None]:
    # An exception would come anywhere, a second one while the first is dealt with: what the boards have got would then
    # be known to nobody.
    if current_thread() is not main_thread():
        yield
        return

    def interrupted(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
