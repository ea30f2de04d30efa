"""Several boards at once: each has its thread, its progress bar, and its own fate."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from typing import Generic, TypeVar

from host_tools.errors import UserError
from host_tools.provisioning.board_error import BrokenOff
from host_tools.provisioning.copying import Progress

Done = TypeVar("Done")


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
    """Do the same work at every port, all at once. Ctrl-C lets each board end the step that it is at, and no other.

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
    running: list[Future[None]] = []
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

        try:
            for outcome in outcomes:
                running.append(pool.submit(one, outcome))
            wait(running)
        except KeyboardInterrupt:
            stop.set()
            bars.console.print("Stopping: each board ends the step that it is at …")
    for ended in running:
        ended.result()  # raises what is no UserError
    return outcomes
