"""The task of a test, as a processor is handed it when it claims."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, TypedDict, Unpack
from uuid import uuid4

from tandem import wire
from tandem.client import Spec
from tandem.outcomes import Claimed
from tandem.violations import Violations


class SpecOptions(TypedDict, total=False):
    """What a spec may say beside type and payload, as in `tandem.client.Spec`."""

    project: str
    external_id: str
    title: str
    labels: Mapping[str, str]
    max_attempts: int
    initial_backoff: timedelta
    max_backoff: timedelta
    attempt_timeout: timedelta


def unclaimed(
    type_: str, payload: Mapping[str, Any] | None, **options: Unpack[SpecOptions]
) -> Claimed:
    """The task before its first claim.

    Raises:
        InvalidRequest: the creator would refuse the payload.
    """
    options.setdefault("project", "test")
    spec = Spec(type=type_, payload=payload, **options)
    return Claimed(
        task_id=uuid4(),
        request_id=uuid4(),
        project=spec.project,
        type=spec.type,
        payload=None if payload is None else _payload_text(spec),
        labels=wire.canonical_json(dict(spec.labels)) if spec.labels else None,
        title=spec.title or None,
        external_id=spec.external_id or None,
        attempt=0,
        claim=0,
        max_attempts=spec.max_attempts,
        initial_backoff=spec.initial_backoff,
        max_backoff=spec.max_backoff,
        attempt_timeout=spec.attempt_timeout,
    )


def _payload_text(spec: Spec) -> str:
    found = Violations()
    payload = spec.to_wire().payload
    text = wire.payload_text(payload, "spec.payload", report=found.add)
    found.refuse()
    return text
