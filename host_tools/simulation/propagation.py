"""How strong a signal arrives: path loss by distance, walls, slow shadowing of bodies, fast fading per packet.

Model: log-distance path loss (exponent `exponent`, `at_1m_dbm` at one metre); `wall_db` when the two are in different
rooms; a shadowing term per pair that holds for `shadow_s` seconds; a fading term per packet. Computed, not measured;
the figures are of the order reported for phones indoors (exponent 2 to 2.5, 4 to 6 dB of deviation).
"""

import math
from dataclasses import dataclass
from random import Random
from statistics import NormalDist

_NORMAL = NormalDist()


@dataclass(frozen=True)
class Propagation:
    """Parameters of the model; see the module's text. All in dB, dBm, metres, seconds."""

    at_1m_dbm: float = -59.0
    exponent: float = 2.2
    wall_db: float = 14.0
    shadow_db: float = 2.5
    shadow_s: float = 60.0
    fading_db: float = 3.0
    loss: float = 0.15  # share of packets that collisions and interference take, whatever their strength
    sensitivity_dbm: float = -94.0

    def mean_dbm(self, distance_m: float, same_room: bool) -> float:
        """Strength without shadowing and fading."""
        fall_db = 10 * self.exponent * math.log10(max(distance_m, 0.1))
        return self.at_1m_dbm - fall_db - (0 if same_room else self.wall_db)


def uniform(*key: int) -> float:
    """A number in (0, 1) that depends on nothing but the key: the same packet fades the same in every run."""
    mixed = hash(key) & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    mixed ^= mixed >> 31
    return (mixed + 0.5) / 2**64


def normal(*key: int) -> float:
    """A standard normal number that depends on nothing but the key."""
    return _NORMAL.inv_cdf(uniform(*key))


def stream(seed: int, name: str) -> Random:
    """A random stream of its own for each thing that needs one, so that their order does not matter."""
    return Random(f"{seed}/{name}")
