"""Results of handlers and stages: plain JSON that every reader can be shown."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from tandem import limits, wire

MAX_LEVELS: Final = limits.MAX_PAYLOAD_LEVELS - 2
"""A result lies deeper in its message than a payload, and protobuf stops at 100 levels."""


SHOWN_KEY: Final = 63
"""Characters of a key that a message names: enough to find it."""


class Unstorable(ValueError):
    """The value has no place in a status. The message names the path, never the value."""


def encode_result(result: Any) -> str | None:
    """A handler's result as canonical JSON; None where it returned nothing.

    Raises:
        Unstorable: it is no JSON object, or breaks a limit.
    """
    if result is None:
        return None
    if not isinstance(result, Mapping):
        raise Unstorable(
            f"a handler returns a JSON object or None, not {_kind(result)}"
        )
    return encode(result, "result")


def encode(value: Any, path: str) -> str:
    """Any JSON value as canonical JSON.

    Raises:
        Unstorable: it is no JSON, or breaks a limit.
    """
    text = wire.canonical_json(_Reading(path).plain(value, path, MAX_LEVELS))
    if len(text.encode()) > limits.MAX_OUTPUT_BYTES:
        raise _too_large(path)
    return text


def check_size(what: str, text: str, *, kept_bytes: int) -> None:
    """Whether there is room for it beside the results that the task has kept.

    Raises:
        Unstorable: there is not.
    """
    if kept_bytes + len(text.encode()) > limits.MAX_OUTPUT_BYTES:
        raise Unstorable(
            f"{what} takes the task's results over {limits.MAX_OUTPUT_BYTES:,} bytes"
        )


class _Reading:
    """A walk through a value, which ends as soon as its JSON must be too large.

    A list that holds one list many times, and that another one, is small in memory
    and endless as JSON.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._bytes_left = limits.MAX_OUTPUT_BYTES

    def plain(self, value: Any, path: str, levels: int) -> Any:
        self._spend(1)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            self._spend(len(value))
            return _text(value, path)
        if isinstance(value, int):
            return _whole(int(value), path)
        if isinstance(value, float):
            return _number(value, path)
        if levels == 0:
            raise Unstorable(f"{path} is nested deeper than {MAX_LEVELS} levels")
        if isinstance(value, Mapping):
            return dict(self._pairs(value, path, levels - 1))
        if isinstance(value, list | tuple):
            return [
                self.plain(inner, f"{path}[{index}]", levels - 1)
                for index, inner in enumerate(value)
            ]
        raise Unstorable(f"{path} is {_kind(value)}, which has no JSON form")

    def _pairs(
        self, value: Mapping[Any, Any], path: str, levels: int
    ) -> Iterator[tuple[str, Any]]:
        for key, inner in value.items():
            name = _key(key, path)
            self._spend(len(name))
            yield name, self.plain(inner, f"{path}.{name[:SHOWN_KEY]}", levels)

    def _spend(self, count: int) -> None:
        self._bytes_left -= count
        if self._bytes_left < 0:
            raise _too_large(self._what)


def _key(key: Any, path: str) -> str:
    if not isinstance(key, str):
        raise Unstorable(f"{path} has a key that is {_kind(key)}, not text")
    return _text(key, f"a key of {path}")


def _text(text: str, path: str) -> str:
    if "\0" in text:
        raise Unstorable(f"{path} has a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unstorable(f"{path} has a lone surrogate") from None
    return str(text)


def _whole(number: int, path: str) -> int:
    if abs(number) > limits.MAX_SAFE_INTEGER:
        raise Unstorable(f"{path} is a whole number beyond 2^53 - 1; make it a string")
    return number


def _number(number: float, path: str) -> int | float:
    if not math.isfinite(number):
        raise Unstorable(f"{path} is not a finite number")
    # 2.0 and 2 are one number to every reader, so they are kept as one.
    return _whole(int(number), path) if number.is_integer() else number


def _too_large(what: str) -> Unstorable:
    return Unstorable(f"{what} is over {limits.MAX_OUTPUT_BYTES:,} bytes of JSON")


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def plain_message(error: BaseException) -> str:
    """What an exception says, as a status may keep it: no NUL, no stack, bounded."""
    try:
        said = str(error)
    except Exception as worse:  # noqa: BLE001 - the exception is the handler's own
        said = f"(its text cannot be made: {type(worse).__name__})"
    return plain_text(
        f"{type(error).__name__}: {said}" if said else type(error).__name__
    )


def plain_text(text: str) -> str:
    """The text without what a status may not keep."""
    shown = text[: limits.MAX_ERROR_MESSAGE].replace("\0", "\\0")
    return shown.encode(errors="replace").decode()[: limits.MAX_ERROR_MESSAGE]
