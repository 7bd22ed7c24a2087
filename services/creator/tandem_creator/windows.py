"""Content windows: what counts as equal content, and for how long."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from typing import Any

from tandem import limits, wire
from tandem.v1 import creator_pb2
from tandem.validation import Violations
from tandem_creator.drafts import Window


def parse_window(
    request: creator_pb2.CreateTaskRequest, payload: str | None, found: Violations
) -> Window | None:
    """The window of the request, if it has one. `payload` is canonical JSON."""
    if not request.HasField("content_window"):
        return None
    given = request.content_window
    _refuse_ids(request, found)
    length = found.span(
        "content_window.window",
        given.window,
        least=limits.MIN_CONTENT_WINDOW,
        most=limits.MAX_CONTENT_WINDOW,
    )
    content = json.loads(payload or "{}")
    _check_keys(given.payload_keys, content, found)
    if length is None:
        return None
    spec = request.spec
    return Window(
        length, content_key(spec.project, spec.type, content, keys=given.payload_keys)
    )


def content_key(
    project: str, type_: str, payload: dict[str, Any], *, keys: Collection[str]
) -> bytes:
    """32 bytes that are equal where project, type and these payload keys are.

    Creates that name other keys ask another question, and never meet.
    """
    named = sorted(set(keys))
    compared = {key: payload[key] for key in named or payload if key in payload}
    text = wire.canonical_json([project, type_, named, compared])
    return hashlib.sha256(text.encode()).digest()


def _refuse_ids(request: creator_pb2.CreateTaskRequest, found: Violations) -> None:
    if request.request_id:
        found.add("content_window", "must not come with request_id")
    if request.spec.external_id:
        found.add("content_window", "must not come with spec.external_id")


def _check_keys(
    keys: Collection[str], payload: dict[str, Any], found: Violations
) -> None:
    # A misspelt key would make every create the same task.
    if keys and not any(key in payload for key in keys):
        found.add("content_window.payload_keys", "names no key of spec.payload")
