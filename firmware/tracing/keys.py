"""Bluezone's key chain: base id -> daily keys -> sub keys -> BluezoneIDs.

Source: the public Bluezone v2 clients; checked against six identifiers that real phones had on the air on
2020-08-08 (tests/vectors/bluezone-2020-08-08). SPEC.md, "Identifiers", has the worked example.
"""

import hashlib

KEY_BYTES = 32
ID_BYTES = 12
DAY_S = 86400
# The clients' server setting MaxNumberSubKeyPerDay; the national list carries its own value in `max`.
SLOTS_PER_DAY = 96
SLOT_S = DAY_S // SLOTS_PER_DAY

_SUB_KEY_LABEL = b"bluzonesubkey"  # the clients' spelling
_ID_FROM = (0, 4, 8, 12, 16, 18, 20, 22, 24, 26, 28, 30)

sha256 = getattr(hashlib, "sha256", None) or (lambda data: hashlib.new("sha256", data))  # CircuitPython has only `new`


def next_daily_key(daily_key):
    """The key of the following UTC day. 32 bytes in, 32 bytes out; there is no way back."""
    return sha256(daily_key).digest()


def daily_key_after(daily_key, days):
    """The key `days` UTC days after that of `daily_key`. days >= 0."""
    while days > 0:
        daily_key = next_daily_key(daily_key)
        days -= 1
    return daily_key


def first_sub_key(daily_key):
    """Sub key 0 of the day: 32 bytes."""
    return sha256(daily_key + _SUB_KEY_LABEL).digest()


def next_sub_key(sub_key):
    """Sub key i + 1 from sub key i: 32 bytes."""
    return sha256(sub_key).digest()


def bluezone_id(sub_key):
    """The 12 bytes that go on the air: bytes 0, 4, 8, 12, 16, 18, … 30 of the sub key."""
    return bytes([sub_key[i] for i in _ID_FROM])


def day_ids(daily_key, count=SLOTS_PER_DAY):
    """Yield the `count` BluezoneIDs of a day in the order they are on the air.

    Id i is on the air from `day_start + i * (86400 / count)` for 86400 / count seconds.
    """
    sub_key = first_sub_key(daily_key)
    yield bluezone_id(sub_key)
    for _ in range(count - 1):
        sub_key = next_sub_key(sub_key)
        yield bluezone_id(sub_key)


def day_of(unix_s):
    """Days since 1970-01-01 UTC of a Unix time in seconds."""
    return unix_s // DAY_S


def slot_of(unix_s):
    """Index 0..95 of the quarter of an hour (UTC) in which a Unix time lies."""
    return unix_s % DAY_S // SLOT_S


class KeyChain:
    """The token's own identifiers, walked forward only.

    Keeps one daily key and one sub key: a token that is opened tells nothing of the days before the one it holds.

    Args:
        daily_key: 32 bytes, the key of day `day`.
        day: days since 1970-01-01 UTC.
    """

    def __init__(self, daily_key, day):
        if len(daily_key) != KEY_BYTES:
            raise ValueError("a daily key has 32 bytes, not %d" % len(daily_key))
        self.daily_key = bytes(daily_key)
        self.day = day
        self._slot = -1
        self._sub_key = b""

    def id_at(self, unix_s):
        """The BluezoneID on the air at `unix_s`, 12 bytes; moves the chain to that slot.

        A time before the chain's day (a clock that was wrong and has been corrected backwards) uses the chain's day
        at that time of day: keys of past days are gone for good, and the day is never walked back.
        """
        ahead = day_of(unix_s) - self.day
        if ahead > 0:
            self.daily_key = daily_key_after(self.daily_key, ahead)
            self.day += ahead
            self._slot = -1
        slot = slot_of(unix_s)
        if self._slot < 0 or slot < self._slot:
            self._sub_key = first_sub_key(self.daily_key)
            self._slot = 0
        while self._slot < slot:
            self._sub_key = next_sub_key(self._sub_key)
            self._slot += 1
        return bluezone_id(self._sub_key)
