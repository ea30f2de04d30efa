"""Makes pages from templates, in Vietnamese or English. Both stand side by side in the templates: `t("vi", "en")`."""

from collections.abc import Callable
from datetime import date, datetime
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined

from host_tools.matching.explanation import bands_words
from host_tools.matching.verdict import VIETNAM_TIME
from tracing.wire import short_code

from .failures import WORDS
from .history import history_svg, shown
from .vietnamese import vietnamese

Language = Literal["vi", "en"]


def language(text: str | None) -> Language:
    """The language that a browser asked for by name; Vietnamese unless it is English."""
    return "en" if text == "en" else "vi"


def _chooser(lang: Language) -> Callable[[Any, Any], Any]:
    return lambda vietnamese, english: english if lang == "en" else vietnamese


def _moment(unix_s: int) -> str:
    return f"{datetime.fromtimestamp(unix_s, VIETNAM_TIME):%H:%M · %d/%m/%Y}"


def _day(day: date) -> str:
    return f"{day:%d/%m/%Y}"


class Pages:
    """The templates of this package."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("host_tools.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(moment=_moment, day=_day, code=short_code, bands=bands_words, shown=shown)
        self._environment.globals.update(history_svg=history_svg, failures=WORDS)

    def render(self, name: str, lang: Language, **context: Any) -> str:
        """A page as HTML.

        Args:
            name: of the template, without ".html".
        """
        in_words = vietnamese if lang == "vi" else str  # an error's sentence; None: there is no translation
        template = self._environment.get_template(f"{name}.html")
        return template.render(lang=lang, t=_chooser(lang), in_words=in_words, **context)
