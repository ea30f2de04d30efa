"""The key of a person who released it, in `infof.json` as `bluezone authority open` writes it: whose ids were whose."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from host_tools.errors import UserError
from host_tools.matching.inputs import reading
from tracing import keys

_LIMIT_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class ReleasedKey:
    """A daily key (32 bytes) and its UTC day (days since 1970-01-01). Earlier days are not known."""

    daily_key: bytes
    day: int

    def ids_on(self, days: Iterable[int]) -> set[bytes]:
        """The 96 ids of each of these UTC days; none for days before the key's."""
        found: set[bytes] = set()
        daily_key, day = self.daily_key, self.day
        for wanted in sorted(set(days)):
            if wanted >= self.day:
                daily_key, day = keys.daily_key_after(daily_key, wanted - day), wanted
                found.update(keys.day_ids(daily_key))
        return found


def load(path: Path) -> ReleasedKey:
    """Read a released key.

    Raises:
        UserError: the file cannot be read, or holds no key.
    """
    with reading(path, "released key") as stream:
        content = stream.read(_LIMIT_BYTES)
    try:
        data = json.loads(content)
        daily_key, start_s = bytes.fromhex(data["daily_key"]), data["time_start"]
        if len(daily_key) != keys.KEY_BYTES:
            raise ValueError(f"a key of {len(daily_key)} bytes")
        if type(start_s) is not int or not 0 <= start_s < 1 << 32:
            raise ValueError(f"{start_s!r} in place of a time")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} holds no released key, or it is damaged ({error}). Nothing was compared; name the infof.json that "
            "`bluezone authority open` has written."
        ) from None
    return ReleasedKey(daily_key, keys.day_of(start_s))
