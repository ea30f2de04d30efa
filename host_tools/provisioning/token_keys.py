"""The two roots of a fleet, and the keys that a token gets from them. SPEC.md, "Keys of a token", has the labels.

The kiosks' root lets them in and opens logs; the health authority's root opens what leads to ids of past days. Neither
can be computed from the other, and none of a token's keys leads to another token's.
"""

from dataclasses import dataclass, field

from tracing import keys, records, sealing
from tracing.state import State
from tracing.wire import short_code

from . import escrow

ROOT_BYTES = 32
SERIAL_BYTES = 8
_FINGERPRINT_BYTES = 8


@dataclass(frozen=True)
class Root:
    """What all roots have in common.

    Attributes:
        secret: 32 random bytes.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != ROOT_BYTES:
            raise ValueError(f"a root has {ROOT_BYTES} bytes, not {len(self.secret)}")

    @property
    def fingerprint(self) -> str:
        """16 hex digits by which people compare roots; they tell nothing about the secret."""
        return self._derived(b"bluezone fingerprint", _FINGERPRINT_BYTES).hex()

    def _derived(self, label: bytes, length: int) -> bytes:
        return sealing.hkdf(self.secret, b"", label, length)


class KioskRoot(Root):
    """What the kiosks of a fleet hold."""

    def sync_key(self, code: str) -> bytes:
        """The key by which token and kiosk know each other, 32 bytes.

        Args:
            code: the token's short code, all that a kiosk knows of it before.
        """
        return self._derived(b"bluezone sync key " + code.encode(), 32)

    def log_root(self, serial: bytes) -> bytes:
        """The key of segment 0 of a token's log, 32 bytes."""
        return self._derived(b"bluezone log root " + serial, 32)


class AuthorityRoot(Root):
    """What only the health authority holds."""

    def code_key(self, serial: bytes) -> bytes:
        """The key of a token's release codes, 32 bytes."""
        return self._derived(b"bluezone release code " + serial, 32)

    def escrow_keys(self, serial: bytes) -> escrow.EscrowKeys:
        """The keys that seal and open a token's escrow; the token does not have them."""
        both = self._derived(b"bluezone escrow " + serial, 48)
        return escrow.EscrowKeys(both[:16], both[16:])


@dataclass(frozen=True)
class Roots:
    """Both roots: where tokens are provisioned, and in the simulation."""

    kiosk: KioskRoot
    authority: AuthorityRoot


@dataclass(frozen=True)
class TokenKeys:
    """What a technician gives to a token.

    Attributes:
        daily_key: 32 bytes, the first one it has; first_day: the UTC day of this key (days since 1970-01-01).
        escrow: the same key, sealed for the health authority.
    """

    serial: bytes
    first_day: int
    daily_key: bytes = field(repr=False)
    sync_key: bytes = field(repr=False)
    log_root: bytes = field(repr=False)
    code_key: bytes = field(repr=False)
    escrow: bytes = field(repr=False)

    def state(self, now_s: int) -> State:
        """The state with which the token starts for the first time; `now_s` is about the time, Unix s."""
        state = State()
        state.flags = records.STATE_PROVISIONED
        state.serial = self.serial
        state.key_day = state.first_day = self.first_day
        state.daily_key = self.daily_key
        state.sync_key = self.sync_key
        state.log_key = self.log_root
        state.code_key = self.code_key
        state.escrow = self.escrow
        state.last_time_s = now_s
        return state


def token_keys(roots: Roots, serial: bytes, daily_key: bytes, first_day: int, random: bytes) -> TokenKeys:
    """All keys of one token.

    Args:
        serial: 8 bytes, never used before; daily_key: 32 random bytes, for the UTC day `first_day`.
        random: 16 bytes for the escrow, never used before.
    """
    if len(serial) != SERIAL_BYTES or len(daily_key) != keys.KEY_BYTES:
        raise ValueError(f"a serial of {len(serial)} bytes, a daily key of {len(daily_key)}")
    return TokenKeys(
        serial=serial,
        first_day=first_day,
        daily_key=daily_key,
        sync_key=roots.kiosk.sync_key(short_code(serial)),
        log_root=roots.kiosk.log_root(serial),
        code_key=roots.authority.code_key(serial),
        escrow=escrow.seal(roots.authority.escrow_keys(serial), daily_key, random),
    )
