"""Structured logs: one JSON object a line on stderr, for journald. What names a person does not get in."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog
from structlog.tracebacks import ExceptionDictTransformer

# Whatever is called so stays out, by mistake or not.
PERSONAL = frozenset({"name", "staff_number", "address", "phone", "email", "password", "code", "person", "encounters"})


def configure(stream: TextIO | None = None) -> None:
    """Once, at the kiosk's start."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_persons,
            # Where it went wrong, never with what: local variables are people's.
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Libraries()], level=logging.WARNING)


class _Libraries(logging.Handler):
    """What libraries log by Python's own means comes in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage(), library=record.name, exc_info=record.exc_info or None
        )


def _without_persons(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: "(left out)" if key in PERSONAL else value for key, value in event.items()}
