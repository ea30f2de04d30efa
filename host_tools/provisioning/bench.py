"""Several boards at once: each has its thread, its progress bar, and its own fate."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from host_tools.errors import UserError
from host_tools.provisioning.copying import Progress

Done = TypeVar("Done")


@dataclass
class Outcome(Generic[Done]):
    """What became of one board: `done`, or `error` in a sentence."""

    port: str
    done: Done | None = None
    error: str = ""


def serve(ports: Sequence[str], work: Callable[[str, Progress], Done], show: bool | None = None) -> list[Outcome[Done]]:
    """Do the same work at every port, all at once.

    Args:
        work: called with a port and what to tell of its progress; a UserError of its is that board's outcome.
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
    with (
        Bars(*columns, console=console, transient=True, disable=not shown) as bars,
        ThreadPoolExecutor(max_workers=max(len(ports), 1)) as pool,
    ):

        def one(port: str) -> Outcome[Done]:
            bar = bars.add_task("looking at the board", total=None, port=port)
            outcome: Outcome[Done] = Outcome(port)
            try:
                outcome.done = work(
                    port, lambda what, done, total: bars.update(bar, description=what, completed=done, total=total)
                )
                bars.update(bar, description="done", completed=1, total=1)
            except UserError as error:
                outcome.error = str(error)
                bars.update(bar, description="failed")
            return outcome

        if len(ports) == 1:
            return [one(ports[0])]  # in this thread, which Ctrl-C stops
        return list(pool.map(one, ports))
