"""Structured logs: one JSON object a line on stderr, for journald. What names a person does not get in."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

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
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(stream or sys.stderr),
        cache_logger_on_first_use=False,
    )


def _without_persons(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {key: "(left out)" if key in PERSONAL else value for key, value in event.items()}
