"""What the clerk sees while several tokens are read at once."""

import io
from datetime import date

from rich.console import Console

from host_tools.errors import UserError
from host_tools.kiosk.contracts import WearerResult
from host_tools.kiosk.screens import TerminalScreen
from host_tools.link.errors import LinkLost
from host_tools.link.session import TokenInfo
from host_tools.link.synchronise import SyncResult
from host_tools.matching.risk import DayExposure
from host_tools.matching.rules import load_rules
from host_tools.matching.verdict import Verdict


def result(records, damaged, exposed):
    info = TokenInfo(bytes(8), (0, 1, 0), True, True, 2987, 7, 0, 0, 0, records, 0, 0, 0, 0, 0, 0, 145)
    rule = load_rules().rules[0]
    days = (DayExposure(date(2020, 8, 8), 0, 16, 0, 15, 16, 0.91, rule),) if exposed else ()
    told = Verdict("exposed" if exposed else "safe", days, (), rule)
    return WearerResult(info, SyncResult(info, 0, records, records, damaged), [], told, 1596873600)


def shown(job):
    """The last picture of the bars, by short code."""
    console = Console(file=io.StringIO(), width=120, force_terminal=True, color_system=None)
    with TerminalScreen(console, {"EXKAVQ": "An"}) as screen:
        job(screen)
        picture = console.render_lines(screen._bars.get_renderable())
    lines = ["".join(segment.text for segment in line) for line in picture]
    return {line.split()[0]: line for line in lines if line.strip()}


def test_each_token_has_its_own_bar():
    def job(screen):
        for code in ("EXKAVQ", "3J2824", "222222"):
            screen.found(code)
        screen.progress("EXKAVQ", 300, 1000)
        screen.progress("3J2824", 16, 64)
        screen.progress("EXKAVQ", 316, 1000)
        screen.failed("222222", LinkLost(), True)

    bars = shown(job)
    assert len(bars) == 3
    assert "An" in bars["EXKAVQ"]
    assert "316 of 1000 records" in bars["EXKAVQ"]
    assert "16 of 64 records" in bars["3J2824"]
    assert "trying again" in bars["222222"]


def test_what_a_finished_bar_says():
    def job(screen):
        screen.finished("EXKAVQ", result(12, 0, True))
        screen.finished("3J2824", result(0, 2, False))

    bars = shown(job)
    assert "12 records, F1" in bars["EXKAVQ"]
    assert "0 records (2 damaged), safe" in bars["3J2824"]


def test_no_text_is_taken_for_markup():
    def job(screen):
        screen.labels["222222"] = "An [/b] 1"
        screen.found("222222")
        screen.failed("222222", UserError("It cannot be opened: [Errno 5] [/x]"), False)

    assert "An [/b] 1" in shown(job)["222222"]
