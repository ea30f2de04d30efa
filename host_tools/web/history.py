"""The contact history as an inline SVG: one bar a day, the close contacts inside all contacts.

Classes only, no style attributes: the pages' policy forbids them. The figures stand in the picture as text.
"""

from collections.abc import Sequence

from markupsafe import Markup, escape

from host_tools.kiosk.charts import DayHistory

SHOWN_DAYS = 14
_STEP, _BAR, _HEIGHT, _TOP, _BOTTOM = 64, 44, 120, 22, 26


def history_svg(days: Sequence[DayHistory], label: str) -> Markup:
    """A chart of the last SHOWN_DAYS of these days.

    Args:
        days: oldest first.
        label: what the chart is called by a screen reader; the figures follow it.
    """
    shown = days[-SHOWN_DAYS:]
    most = max((day.total for day in shown), default=0) or 1
    figures = "; ".join(f"{day.day:%d/%m}: {day.total} ({day.near})" for day in shown)
    width = _STEP * max(len(shown), 4)
    parts = [
        f'<svg class="history" viewBox="0 0 {width} {_TOP + _HEIGHT + _BOTTOM}" role="img" '
        f'aria-label="{escape(label)}. {escape(figures)}">'
    ]
    base = _TOP + _HEIGHT
    for place, day in enumerate(shown):
        left, middle = _STEP * place + (_STEP - _BAR) // 2, _STEP * place + _STEP // 2
        total, near = _HEIGHT * day.total // most, _HEIGHT * day.near // most
        parts += (
            f'<rect class="total" x="{left}" y="{base - total}" width="{_BAR}" height="{total}" rx="4"/>',
            f'<rect class="near" x="{left + 8}" y="{base - near}" width="{_BAR - 16}" height="{near}" rx="3"/>',
            f'<text x="{middle}" y="{base - total - 6}">{day.total} · {day.near}</text>',
            f'<text x="{middle}" y="{base + 19}">{day.day:%d/%m}</text>',
        )
    parts.append(f'<path class="base" d="M0 {base}H{width}"/></svg>')
    return Markup("".join(parts))
