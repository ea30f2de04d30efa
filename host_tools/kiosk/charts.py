"""Charts of a report, as SVG to be put into a page. The same data gives the same bytes."""

import io
import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Protocol, TypeVar

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.dates import DateFormatter, HourLocator, MinuteLocator
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from host_tools.matching.verdict import VIETNAM_TIME

NEAR = "#0b4f9c"
FAR = "#a9c6e8"
CASE = "#b3261e"
OTHER = "#8a94a3"
INK = "#1b2430"
LINES = "#dde3ea"

_NO_METADATA = dict.fromkeys(("Date", "Creator", "Format", "Type"))  # no date, no links
_LANE = 1.0  # height of one bar of the timeline, in the unit of its y axis
_NAME_FITS_S = 60 * 6  # a stretch as long as this has room for a name

_LOGGED_KEY = [(NEAR, "Ở gần bạn · near"), (FAR, "Ở xa · far")]
_TRUTH_KEY = [(CASE, "Sự thật: ≤ 2 m với F0 · truth, with a case"), (OTHER, "Sự thật: ≤ 2 m · truth, with others")]


@dataclass(frozen=True)
class DayHistory:
    """How many ids were heard on one day (Viet Nam time), and how many of them close by."""

    day: date
    total: int
    near: int


@dataclass(frozen=True)
class Contact:
    """One encounter as the token logged it: from when to when (Unix s), and whether it was near."""

    start_s: float
    end_s: float
    near: bool


@dataclass(frozen=True)
class TrueMeeting:
    """A stretch of time (Unix s) really spent close to `name`, who is a case or not. Only a simulation knows."""

    start_s: float
    end_s: float
    name: str
    case: bool


@dataclass(frozen=True)
class TimelineRow:
    """One wearer's row: what the token logged, above what really happened."""

    name: str
    contacts: Sequence[Contact]
    truth: Sequence[TrueMeeting]


class _Span(Protocol):
    @property
    def start_s(self) -> float: ...
    @property
    def end_s(self) -> float: ...


Span = TypeVar("Span", bound=_Span)


def _style():
    return mpl.rc_context(
        {
            "svg.fonttype": "none",  # letters stay letters: they can be searched, and the page's own font draws them
            "svg.hashsalt": "report",  # the same ids in every run
            "font.size": 9,
            "text.color": INK,
            "axes.edgecolor": LINES,
            "xtick.color": INK,
            "ytick.color": INK,
            "hatch.linewidth": 0.8,
        }
    )


def lanes(spans: Iterable[Span]) -> list[list[Span]]:
    """Spread spans over as few lanes as it takes for none to overlap, in order of time."""
    found: list[list[Span]] = []
    for span in sorted(spans, key=lambda span: (span.start_s, span.end_s)):
        free = next((lane for lane in found if lane[-1].end_s <= span.start_s), None)
        if free is None:
            found.append([span])
        else:
            free.append(span)
    return found


def history_chart(days: Sequence[DayHistory], name: str) -> str:
    """Bars per day: all contacts, and before them the close ones.

    Args:
        name: of the chart; unlike that of every other chart on the page.
    """
    with _style():
        figure = Figure(figsize=(4.6, 0.42 * (len(days) + 1.0)))
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        most = max((day.total for day in days), default=0) or 1
        for place, day in enumerate(days):
            axes.barh(place, day.total, height=0.62, color=FAR)
            axes.barh(place, day.near, height=0.34, color=NEAR)
            axes.text(day.total + most * 0.02, place, f"{day.near} / {day.total}", va="center", weight="bold")
            axes.text(-most * 0.02, place, f"{day.day:%d/%m}", va="center", ha="right")
        axes.set_xlim(-most * 0.17, most * 1.22)
        axes.set_ylim(len(days) - 0.4, -1.4)
        _legend(axes, [(NEAR, "Lượt tiếp xúc gần · close"), (FAR, "Tổng lượt tiếp xúc · total")])
        axes.set_axis_off()
        return _svg(figure, name)


def timeline(rows: Sequence[TimelineRow], name: str = "timeline") -> str:
    """Who was heard when: per wearer one bar for each encounter, over the stretches of the truth."""
    with _style():
        blocks = [(row, lanes(row.contacts), lanes(row.truth)) for row in rows]
        heights = [len(heard) + 1.6 * len(true) + 1.6 for _, heard, true in blocks]
        figure = Figure(figsize=(11.0, 0.8 + 0.115 * sum(heights)))
        top, bottom = 0.42 / figure.get_figheight(), 0.32 / figure.get_figheight()
        axes = figure.add_axes((0.07, bottom, 0.91, 1 - top - bottom))
        bands = itertools.cycle(("#f6f8fb", "white"))
        y = 0.0
        for (row, heard, true), height in zip(blocks, heights, strict=True):
            axes.axhspan(y, y + height, color=next(bands))
            axes.annotate(
                row.name,
                (0, y + height / 2),
                xycoords=("axes fraction", "data"),
                xytext=(-8, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                weight="bold",
                fontsize=10,
            )
            _lanes_of_contacts(axes, heard, y + 0.8)
            _lanes_of_truth(axes, true, y + 0.8 + len(heard))
            y += height
        axes.set_ylim(y, 0)
        _time_axis(axes, rows)
        _legend(
            axes,
            _LOGGED_KEY + (_TRUTH_KEY if any(row.truth for row in rows) else []),
        )
        return _svg(figure, name)


def _lanes_of_contacts(axes: Axes, heard: list[list[Contact]], y: float) -> None:
    for place, lane in enumerate(heard):
        for near, colour, height in ((True, NEAR, 0.86), (False, FAR, 0.5)):
            bars = [(_when(c.start_s), _when(c.end_s) - _when(c.start_s)) for c in lane if c.near == near]
            axes.broken_barh(bars, (y + place + (_LANE - height) / 2, height), color=colour, linewidth=0)  # type: ignore[arg-type]


def _lanes_of_truth(axes: Axes, true: list[list[TrueMeeting]], y: float) -> None:
    for place, lane in enumerate(true):
        for meeting in lane:
            start, end = _when(meeting.start_s), _when(meeting.end_s)
            colour = CASE if meeting.case else OTHER
            low = y + place * 1.6 + 0.2
            axes.broken_barh(
                [(start, end - start)],  # type: ignore[list-item]
                (low, 1.4),
                facecolor="white",
                edgecolor=colour,
                hatch="////" if meeting.case else None,
                linewidth=0.9,
            )
            if meeting.end_s - meeting.start_s >= _NAME_FITS_S:
                axes.text(
                    start + (end - start) / 2,  # type: ignore[arg-type]
                    low + 0.7,
                    meeting.name,
                    ha="center",
                    va="center",
                    fontsize=7.5,
                    weight="bold",
                    color=colour if meeting.case else INK,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
                )


def _time_axis(axes: Axes, rows: Sequence[TimelineRow]) -> None:
    spans = list(itertools.chain.from_iterable((*row.contacts, *row.truth) for row in rows))
    if not spans:
        axes.set_xticks([])
    else:
        start_s = min(span.start_s for span in spans)
        end_s = max(span.end_s for span in spans)
        axes.set_xlim(_when(start_s), _when(end_s))  # type: ignore[arg-type]
        short = end_s - start_s <= 6 * 3600
        locator = MinuteLocator(byminute=(0, 30), tz=VIETNAM_TIME) if short else HourLocator(tz=VIETNAM_TIME)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(DateFormatter("%H:%M", tz=VIETNAM_TIME))
    axes.set_yticks([])
    axes.grid(axis="x", color=LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.tick_params(length=0)


def _when(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, VIETNAM_TIME)


def _legend(axes: Axes, entries: list[tuple[str, str]]) -> None:
    handles = [
        Patch(facecolor="white", edgecolor=colour, hatch="////" if colour == CASE else None, label=label)
        if colour in (CASE, OTHER)
        else Patch(color=colour, label=label)
        for colour, label in entries
    ]
    axes.legend(
        handles=handles,
        loc="lower left" if len(entries) > 2 else "upper left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=len(entries),
        frameon=False,
        borderaxespad=0.2,
        handlelength=1.4,
        columnspacing=1.6,
    )


def _svg(figure: Figure, name: str) -> str:
    """The bare svg element, its ids made unlike those of other charts."""
    buffer = io.StringIO()
    FigureCanvasSVG(figure).print_svg(buffer, metadata=_NO_METADATA)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", text)
