"""Input files: opening them, and the list of what in them could not be used."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from host_tools.errors import UserError

_LISTED = 1000


@dataclass(frozen=True, slots=True)
class Rejection:
    """A part of the input that was not used.

    Attributes:
        where: `data[3].max` in a national list, `line 17` in a log.
        why: what is wrong with it.
    """

    where: str
    why: str


class Rejections(list[Rejection]):
    """What was rejected, in the order of the file. Only the first 1000 are listed: a file of garbage of any
    size is answered in bounded memory. The others are counted, and `close` says how many."""

    def __init__(self) -> None:
        super().__init__()
        self._unlisted = 0

    def add(self, where: str, why: str) -> None:
        if len(self) < _LISTED:
            self.append(Rejection(where, why))
        else:
            self._unlisted += 1

    def close(self) -> None:
        """Call at the end of the file."""
        if self._unlisted:
            self.append(Rejection("further on", f"{self._unlisted} more were rejected and are not listed"))


@contextmanager
def reading(path: Path, what: str, name: str = "") -> Iterator[BinaryIO]:
    """Open a file for reading bytes.

    Args:
        what: how the sentence calls it, such as "national list".
        name: where the sentence says that it lies, if the path means nothing to the user.

    Raises:
        UserError: it cannot be opened or read.
    """
    name = name or str(path)
    try:
        with open(path, "rb") as stream:
            yield stream
    except FileNotFoundError:
        raise UserError(f"There is no {what} at {name}. Nothing was read; check the path.") from None
    except IsADirectoryError:
        raise UserError(f"{name} is a directory, not a {what}. Nothing was read; name the file in it.") from None
    except PermissionError:
        raise UserError(
            f"The {what} {name} may not be read by this user. Nothing was read; change its permissions."
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise UserError(f"The {what} {name} cannot be read: {error}. Nothing of it was used.") from None


def shown(value: object) -> str:
    """A value of the input as an error message shows it: quoted, and no longer than 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}…"
