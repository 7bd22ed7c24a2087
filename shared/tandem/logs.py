"""Logging: JSON lines, or colour at a terminal. Never a password."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Literal, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from tandem.log_output import LogOutput

LONGEST_LINE: Final = 64 * 1024
"""Characters. In a longer line each text is cut: what handlers raise has no limit."""

LONGEST_TEXT: Final = 4096
"""Characters of each text in such a line."""

SUBJECT: Final[ContextVar[Callable[[], Mapping[str, str]]]] = ContextVar("SUBJECT")
"""What all lines of a context name. Asked only when there is a line."""

# What may hold a password is a URL with a login.
LOGIN_IN_URL: Final = re.compile(r"(://[^:/@\s]*:)[^@\s]+@(?:[^@/\s]*@)*")


def configure(
    service: str,
    *,
    form: Literal["json", "console"] | None = None,
    level: int = logging.INFO,
    out: TextIO | None = None,
) -> LogOutput:
    """Set logging up for the process. Called once, by an entry point.

    Args:
        service: stands on every line.
        form: unset: `console` at a terminal, else `json`.
        level: the least that is logged.
        out: standard output by default.
    """
    out = out or sys.stdout
    _accept_anything(out)
    form = form or ("console" if out.isatty() else "json")
    shared = _shared_processors(service)
    rendering = _rendering_processors(form, out)
    output = LogOutput(out)
    lines: Any = output
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(lines),
        cache_logger_on_first_use=True,
    )
    _route_standard_logging(shared, rendering, lines)
    return output


def _accept_anything(out: TextIO) -> None:
    """What handlers raise is logged, and its text may be one that no encoding takes."""
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")


def hide_passwords(line: str) -> str:
    """The same text with the password of each URL in it blotted out."""
    return LOGIN_IN_URL.sub(r"\1***@", line) if "://" in line else line


def _shared_processors(service: str) -> list[Processor]:
    def add_service(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
        line.setdefault("service", service)
        return line

    return [
        structlog.contextvars.merge_contextvars,
        _add_subject,
        structlog.processors.add_log_level,
        _add_timestamp,
        add_service,
    ]


def _add_subject(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    subject = SUBJECT.get(None)
    if subject is not None:
        for name, text in subject().items():
            line.setdefault(name, text)
    return line


@lru_cache(maxsize=1)
def _second(seconds: int) -> str:
    """Made once for all lines of a second: it takes as long as half of a line's JSON."""
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


def _add_timestamp(_: WrappedLogger, __: str, line: EventDict) -> EventDict:
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    line["timestamp"] = f"{_second(seconds)}.{nanoseconds // 1000:06}Z"
    return line


def _rendering_processors(form: str, out: TextIO) -> list[Processor]:
    if form == "console":
        # Plain tracebacks: the pretty ones print local variables.
        renderer: Processor = structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        return [renderer, _cut, _hide]
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    return [
        structlog.processors.ExceptionRenderer(tracebacks),
        _to_json,
        _hide,
    ]


# An object says by its `str` how much of itself it shows.
_OPTIONS: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_NON_STR_KEYS
)

_encode_anything: Final = json.JSONEncoder(default=str, ensure_ascii=False).encode


def _encode(line: EventDict) -> str:
    try:
        return orjson.dumps(line, default=_listed_or_str, option=_OPTIONS).decode()
    except orjson.JSONEncodeError:
        # Half of a surrogate pair, say, or a number of over 64 bits.
        return _encode_anything(line)


def _listed_or_str(value: object) -> object:
    return list(value) if isinstance(value, tuple) else str(value)


def _to_json(_: WrappedLogger, __: str, line: EventDict) -> str:
    text = _encode(line)
    return text if len(text) <= LONGEST_LINE else _encode(_with_short_texts(line))


def _with_short_texts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_short_texts(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_short_texts(inner) for inner in value]
    return _beginning(value, LONGEST_TEXT) if isinstance(value, str) else value


def _cut(_: WrappedLogger, __: str, line: Any) -> str:
    return _beginning(line, LONGEST_LINE)


def _beginning(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    # A password that is cut in two has lost the sign by which it is known.
    return hide_passwords(text[:most] + "@").removesuffix("@")


def _hide(_: WrappedLogger, __: str, line: Any) -> str:
    return hide_passwords(line)


def _route_standard_logging(
    shared: list[Processor], rendering: list[Processor], out: TextIO
) -> None:
    """Give what libraries log the same form. Of them, warnings and worse."""
    handler = logging.StreamHandler(out)
    handler.addFilter(_is_news)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *rendering,
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def _is_news(record: logging.LogRecord) -> bool:
    """All but grpcio's errors about answers whose callers were gone when they came."""
    return record.name != "grpc._cython.cygrpc" or not (
        record.getMessage().startswith("ExecuteBatchError raised in core")
    )
