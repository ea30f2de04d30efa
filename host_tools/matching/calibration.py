"""From RSSI to the probability of having been within two metres, by a curve fitted to measurements.

The measurements are of two phones, not of tokens (calibration.toml says which). What carries over is how uncertain RSSI
is; where the curve lies for a token is put right by the RSSI expected at two metres and by the board's offset.
"""

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

# The measurements are of one room and one pair of phones, so nothing is told more surely than this.
SUREST = 0.95


@dataclass(frozen=True, slots=True)
class Curve:
    """A logistic curve for encounters of `windows` scan windows or more; strengths in dB above those at two metres."""

    windows: int
    intercept: float
    mean: float
    max: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Attributes:
    at_2m_dbm: mean RSSI at two metres in the measurements.
    curves: by ascending number of windows, the first for one.
    """

    at_2m_dbm: float
    curves: tuple[Curve, ...]

    def probability(self, mean_db: float, max_db: float, windows: int) -> float:
        """P(within 2 m), if that is as likely as not before anything is heard.

        Args:
            mean_db, max_db: over the encounter, above the mean RSSI at two metres.
            windows: in how many scan windows it was heard, 1 or more.
        """
        curve = next((curve for curve in reversed(self.curves) if curve.windows <= windows), self.curves[0])
        exponent = curve.intercept + curve.mean * mean_db + curve.max * max_db
        probability = 1 / (1 + math.exp(-max(-50.0, min(50.0, exponent))))
        return max(1 - SUREST, min(SUREST, probability))


@cache
def load_calibration() -> Calibration:
    """The calibration that comes with the product."""
    content = tomllib.loads(files("host_tools.matching").joinpath("calibration.toml").read_text("utf-8"))
    curves = (Curve(c["windows"], c["intercept"], c["mean"], c["max"]) for c in content["curve"])
    return Calibration(content["at_2m_dbm"], tuple(sorted(curves, key=lambda curve: curve.windows)))
