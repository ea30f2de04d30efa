"""The contact history as an inline SVG: one bar a day, the close contacts inside all contacts.

Classes only, no style attributes: the pages' policy forbids them. The figures stand in the picture as text.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

from host_tools.kiosk.charts import DayHistory

SHOWN_DAYS = 14
_LEAST_STEPS = 7  # few days do not become broad beams
_STEP, _BAR, _HEIGHT, _TOP, _LINE = 40, 32, 84, 24, 22


def shown(days: Sequence[DayHistory]) -> Sequence[DayHistory]:
    """The last SHOWN_DAYS of these days, which are ordered oldest first."""
    return days[-SHOWN_DAYS:]


def history_svg(days: Sequence[DayHistory], label: str) -> Markup:
    """A chart: all contacts stand above the bar of a day, the close ones below it, then the day of the month.

    Args:
        days: oldest first.
        label: what the chart is called by a screen reader; the figures follow it.
    """
    most = max((day.total for day in days), default=0) or 1
    figures = "; ".join(f"{day.day:%d/%m}: {day.total} ({day.near})" for day in days)
    width, base = _STEP * max(len(days), _LEAST_STEPS), _TOP + _HEIGHT
    parts = [
        f'<svg class="history" viewBox="0 0 {width} {base + 2 * _LINE + 6}" preserveAspectRatio="xMinYMid" role="img" '
        f'aria-label="{escape(label)}. {escape(figures)}">'
    ]
    for place, day in enumerate(days):
        left, middle = _STEP * place + (_STEP - _BAR) // 2, _STEP * place + _STEP // 2
        total, near = _HEIGHT * day.total // most, _HEIGHT * day.near // most
        parts += (
            f'<rect class="total" x="{left}" y="{base - total}" width="{_BAR}" height="{total}" rx="4"/>',
            f'<rect class="near" x="{left}" y="{base - near}" width="{_BAR}" height="{near}" rx="3"/>',
            f'<text x="{middle}" y="{base - total - 5}">{day.total}</text>',
            f'<text class="close" x="{middle}" y="{base + _LINE - 2}">{day.near}</text>',
            f'<text class="day" x="{middle}" y="{base + 2 * _LINE}">{day.day:%d}</text>',
        )
    parts.append(f'<path class="base" d="M0 {base}H{width}"/></svg>')
    return Markup("".join(parts))
