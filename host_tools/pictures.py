"""Pictures of what a token's light says, drawn from the firmware's own table: `make pictures`.

Each is a lamp and the first twelve seconds of its pattern as a bar, on one scale, so that rhythms can be compared. In a
browser a mark runs along the bar and the lamp follows it; on paper the bar says the same.
"""

from pathlib import Path

from tracing import patterns

FOLDER = Path(__file__).parents[1] / "docs" / "img" / "light"
# In the order of their numbers, from 1 on.
NAMES = (
    "ALIVE", "LOW_BATTERY", "CLOCK_UNSET", "LOG_NEARLY_FULL", "ERROR", "SYNC_MODE", "SYNCING", "DONE", "SAFE",
    "EXPOSED", "CLERK", "ASK_OFF", "GOODBYE",
)  # fmt: skip

SHOWN_MS = 12_000
_BAR_X, _BAR_Y, _BAR_HEIGHT, _PX_PER_S = 64, 10, 22, 36
_WIDTH, _HEIGHT = _BAR_X + SHOWN_MS * _PX_PER_S // 1000 + 16, 52
_INK, _UNLIT, _TICKS = "#1b2430", "#3a4656", "#9aa7b5"
_RED, _GREEN, _BLUE = patterns.RED, patterns.GREEN, patterns.BLUE
_COLOURS = {
    _RED: "#ff5a4f", _GREEN: "#3ddc84", _BLUE: "#5aa9ff", _RED | _GREEN: "#ffd23f", _RED | _BLUE: "#d08bff",
    _RED | _GREEN | _BLUE: "#ffffff",
}  # fmt: skip


def flashes(pattern: int, until_ms: int = SHOWN_MS) -> list[tuple[int, int]]:
    """When the light is on, as (from, to) in ms since the pattern began, cut off at `until_ms`."""
    player = patterns.Player()
    player.show(pattern, 0)
    lit: list[tuple[int, int]] = []
    now_ms = 0
    while now_ms < until_ms:
        colour, left_ms = player.now(now_ms)
        if not left_ms:
            break
        if colour:
            lit.append((now_ms, min(now_ms + left_ms, until_ms)))
        now_ms += left_ms
    return lit


def picture(name: str) -> str:
    """The SVG of a pattern."""
    pattern = getattr(patterns, name)
    colour = _COLOURS[patterns.entry(pattern)[0]]
    lit = flashes(pattern)
    bars = "".join(
        f'<rect x="{_x(begin_ms)}" y="{_BAR_Y}" width="{_x(end_ms - begin_ms, 0)}" height="{_BAR_HEIGHT}"/>'
        for begin_ms, end_ms in lit
    )
    seconds = range(SHOWN_MS // 1000 + 1)
    marks = "".join(f"M{_x(1000 * s)} {_BAR_Y + _BAR_HEIGHT}v{4 if s % 3 else 6}" for s in seconds)
    figures = "".join(
        f'<text x="{_x(1000 * s)}" y="{_HEIGHT - 5}">{s}{" s" if s == seconds[-1] else ""}</text>'
        for s in seconds
        if s % 3 == 0
    )
    shown_s = SHOWN_MS // 1000
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img">
<title>{name.lower().replace("_", " ")}</title>
<style>
text {{ font: 9px Helvetica, Arial, sans-serif; fill: {_TICKS}; text-anchor: middle }}
.lamp {{ animation: lamp {shown_s}s step-end infinite }}
.now {{ animation: now {shown_s}s linear infinite }}
@keyframes lamp {{ {_keyframes(lit)} }}
@keyframes now {{ from {{ opacity: 1 }} to {{ opacity: 1; transform: translateX({_x(SHOWN_MS, 0)}px) }} }}
@media (prefers-reduced-motion: reduce) {{ .lamp, .now {{ animation: none }} }}
</style>
<rect width="{_WIDTH}" height="{_HEIGHT}" rx="8" fill="{_INK}"/>
<circle cx="32" cy="26" r="14" fill="{_UNLIT}"/>
<g class="lamp" fill="{colour}"><circle cx="32" cy="26" r="20" opacity=".3"/><circle cx="32" cy="26" r="14"/></g>
<rect x="{_BAR_X}" y="{_BAR_Y}" width="{_x(SHOWN_MS, 0)}" height="{_BAR_HEIGHT}" fill="{_UNLIT}"/>
<g fill="{colour}">{bars}</g>
<path d="{marks}" stroke="{_TICKS}"/>
{figures}
<path class="now" d="M{_BAR_X} {_BAR_Y - 4}v{_BAR_HEIGHT + 8}" stroke="#fff" opacity="0"/>
</svg>
"""


def _x(ms: int, origin: int = _BAR_X) -> str:
    return f"{origin + ms * _PX_PER_S / 1000:g}"


def _keyframes(lit: list[tuple[int, int]]) -> str:
    stops = {0: 0} | {at_ms: level for begin_ms, end_ms in lit for at_ms, level in ((begin_ms, 1), (end_ms, 0))}
    return " ".join(f"{at_ms * 100 / SHOWN_MS:.4g}% {{ opacity: {level} }}" for at_ms, level in stops.items())


def file_name(name: str) -> str:
    """Where the picture of a pattern lies in FOLDER."""
    return name.lower() + ".svg"


def main() -> None:
    """Draw all pictures anew, and leave none behind of a pattern that is no more."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.svg"):
        old.unlink()
    for name in NAMES:
        (FOLDER / file_name(name)).write_text(picture(name), encoding="utf-8")


if __name__ == "__main__":
    main()
