"""Fits calibration.toml to measured RSSI and draws what came out: `make calibration`.

An encounter is imitated by taking, from the measurements at one distance, the first reception in each of 1, 4, 8 or 24
scan windows, 37.5 s apart, from a random beginning on. How good the curve is at distances that it has not seen is told
by cross-validation: every distance is left out once (its neighbours, 10 cm away, are not), and every half metre is.
Near is up to two metres; both sides weigh the same.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, brier_score_loss
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict

from host_tools.matching.calibration import Calibration, Curve

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "tests" / "vectors" / "herald-rssi" / "rssi.csv"
FITTED = Path(__file__).with_name("calibration.toml")
PICTURE = ROOT / "docs" / "img" / "calibration.png"

WINDOWS = (1, 4, 8, 24)
PERIOD_S = 37.5
NEAR_CM = 200
PER_DISTANCE = 60  # imitated encounters
_BLOCK_CM = 50
_SEED = 1
_DIGITS = 4  # in the file


@dataclass(frozen=True)
class Fit:
    """A curve, and its quality at distances left out of the fit.

    Attributes:
        balanced: balanced accuracy, one distance left out at a time; by_half_metre: half a metre at a time.
        by_mean, by_max: as `balanced`, from the mean alone and from the maximum alone.
        brier: mean square of (probability - truth), half a metre left out; 0.25 is what a coin gives.
    """

    curve: Curve
    balanced: float
    by_half_metre: float
    by_mean: float
    by_max: float
    brier: float


def measured(path: Path = MEASURED) -> dict[int, np.ndarray]:
    """Distance in cm → receptions in order of time: columns seconds, RSSI in dBm."""
    rows: dict[int, list[tuple[int, int]]] = {}
    with open(path, encoding="ascii", newline="") as stream:
        for row in csv.DictReader(stream):
            rows.setdefault(int(row["distance_cm"]), []).append((int(row["second"]), int(row["rssi_dbm"])))
    return {distance_cm: np.array(receptions) for distance_cm, receptions in sorted(rows.items())}


def level_at_2m_dbm(receptions: dict[int, np.ndarray]) -> float:
    """Mean RSSI around two metres: five distances, since one alone depends on where the walls are."""
    around = [values[:, 1].mean() for distance_cm, values in receptions.items() if abs(distance_cm - NEAR_CM) <= 20]
    return round(float(np.mean(around)), 1)


def encounters(
    receptions: dict[int, np.ndarray], windows: int, at_2m_dbm: float, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Imitated encounters: (mean and maximum in dB above the level at two metres, distance in cm)."""
    strengths, distances_cm = [], []
    for distance_cm, values in receptions.items():
        latest_s = values[-1, 0] - PERIOD_S * (windows - 1)
        for start_s in random.uniform(0, latest_s, PER_DISTANCE):
            at = np.searchsorted(values[:, 0], start_s + PERIOD_S * np.arange(windows))
            rssis_db = values[at, 1] - at_2m_dbm
            strengths.append((rssis_db.mean(), rssis_db.max()))
            distances_cm.append(distance_cm)
    return np.array(strengths), np.array(distances_cm)


def fit(receptions: dict[int, np.ndarray], windows: int) -> Fit:
    """The curve for encounters of so many windows."""
    strengths, distances_cm = encounters(receptions, windows, level_at_2m_dbm(receptions), np.random.default_rng(_SEED))
    near = distances_cm <= NEAR_CM
    halves = (distances_cm - 1) // _BLOCK_CM

    def left_out(columns: list[int], groups: np.ndarray) -> np.ndarray:
        model, kept = _model(), strengths[:, columns]
        folds = LeaveOneGroupOut()
        return np.asarray(cross_val_predict(model, kept, near, groups=groups, cv=folds, method="predict_proba"))[:, 1]

    def balanced(probabilities: np.ndarray) -> float:
        return float(balanced_accuracy_score(near, probabilities > 0.5))

    both = [0, 1] if windows > 1 else [0]  # of one value, mean and maximum are the same
    fitted = _model().fit(strengths[:, both], near)
    mean, *rest = (round(float(each), _DIGITS) for each in fitted.coef_[0])
    by_halves = left_out(both, halves)
    return Fit(
        Curve(windows, round(float(fitted.intercept_[0]), _DIGITS), mean, rest[0] if rest else 0.0),
        balanced(left_out(both, distances_cm)),
        balanced(by_halves),
        balanced(left_out([0], distances_cm)),
        balanced(left_out([1], distances_cm)),
        float(brier_score_loss(near, by_halves)),
    )


def _model() -> LogisticRegression:
    return LogisticRegression(class_weight="balanced")


def toml(fits: list[Fit], at_2m_dbm: float) -> str:
    """The content of calibration.toml."""
    head = (
        "# Written by `make calibration` (calibrate.py) from tests/vectors/herald-rssi; see its README.\n"
        "# Fitted on two phones in one room, not on tokens. balanced_accuracy: within two metres or not, at distances\n"
        "# left out of the fit, one at a time; half_metres: half a metre left out at a time.\n"
        f"at_2m_dbm = {at_2m_dbm}\n"
    )
    return head + "".join(
        f"\n[[curve]]\nwindows = {f.curve.windows}\nintercept = {f.curve.intercept}\nmean = {f.curve.mean}\n"
        f"max = {f.curve.max}\nbalanced_accuracy = {f.balanced:.3f}\nhalf_metres = {f.by_half_metre:.3f}\n"
        f"brier = {f.brier:.3f}\n"
        for f in fits
    )


def draw(receptions: dict[int, np.ndarray], fits: list[Fit], path: Path) -> None:
    """The measurements, and how often encounters at each distance are called near by the fitted curves."""
    at_2m_dbm = level_at_2m_dbm(receptions)
    calibration = Calibration(at_2m_dbm, tuple(f.curve for f in fits))
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.2, 3.9), dpi=150, layout="constrained")
        left, right = figure.subplots(1, 2)
        distances_cm = np.array(list(receptions))
        for low, high, alpha in ((1, 99, 0.18), (25, 75, 0.45)):
            edges = np.array([np.percentile(values[:, 1], (low, high)) for values in receptions.values()])
            left.fill_between(distances_cm, edges[:, 0], edges[:, 1], alpha=alpha, color="#0b4f9c", linewidth=0)
        medians = [np.median(values[:, 1]) for values in receptions.values()]
        left.plot(distances_cm, medians, color="#0b4f9c", label="median; half and 98 % of the receptions")
        left.set(title="RSSI that was measured, phone to phone", xlabel="distance, cm", ylabel="RSSI, dBm")
        for each, colour in zip(fits, ("#a9c6e8", "#5a93d1", "#0b4f9c", "#062a54"), strict=True):
            strengths, cm = encounters(receptions, each.curve.windows, at_2m_dbm, np.random.default_rng(_SEED + 1))
            told = np.array([calibration.probability(mean, peak, each.curve.windows) for mean, peak in strengths])
            means = [told[cm == distance].mean() for distance in distances_cm]
            words = f"{each.curve.windows} window{'s' * (each.curve.windows > 1)}: {each.balanced:.2f}"
            right.plot(distances_cm, means, color=colour, label=words)
        right.set(title="P(within 2 m) that is told: mean", xlabel="distance, cm", ylim=(0, 1))
        right.legend(title="balanced accuracy", frameon=False, loc="lower left")
        left.legend(frameon=False, loc="lower left")
        for axes in (left, right):
            axes.axvline(NEAR_CM, color="#b3261e", linewidth=1, linestyle="--")
        FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})


def main() -> None:
    """Fit, write, draw, and print the table."""
    receptions = measured()
    fits = [fit(receptions, windows) for windows in WINDOWS]
    FITTED.write_text(toml(fits, level_at_2m_dbm(receptions)), encoding="utf-8")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    draw(receptions, fits, PICTURE)
    print("Balanced accuracy, within 2 m or not, one distance (or half a metre) left out; two phones, one room")
    print("windows  mean and max  half metres  mean alone  max alone  Brier")
    for f in fits:
        print(
            f"{f.curve.windows:7}  {f.balanced:12.3f}  {f.by_half_metre:11.3f}  {f.by_mean:10.3f}  {f.by_max:9.3f}"
            f"  {f.brier:.3f}"
        )
    print(f"{FITTED.relative_to(ROOT)} and {PICTURE.relative_to(ROOT)} are written.")


if __name__ == "__main__":
    main()
