"""An intended create, as it is kept in a row: checked, and readable by people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID, uuid4

from google.protobuf import json_format

from tandem import wire
from tandem.client import Spec, as_request_id
from tandem.client.requests import policy
from tandem.client.specs import spec_to_wire
from tandem.specs import parse_spec
from tandem.v1 import creator_pb2, task_pb2
from tandem.violations import Violations

NIL: Final = str(UUID(int=0))


@dataclass(frozen=True, slots=True)
class Recorded:
    """One row that has not been relayed."""

    key: str
    """The request id as the row has it: an ORM may have left out the dashes."""

    text: str
    attempts: int
    """Tries that failed for a reason that may be the row's own."""

    @classmethod
    def of(cls, values: Any) -> Recorded:
        """The row, whatever kind of rows the driver makes."""
        plain = values.values() if isinstance(values, Mapping) else values
        key, text, attempts = plain
        return cls(str(key), text, attempts)

    @property
    def request_id(self) -> str:
        return as_request_id(self.key)

    def request(self) -> creator_pb2.CreateTaskRequest:
        """The create to be sent, under the id of the row.

        Raises:
            ValueError: the text is none.
        """
        request = creator_pb2.CreateTaskRequest()
        try:
            json_format.Parse(self.text, request)
        except json_format.ParseError as error:
            raise ValueError(f"request cannot be read: {error}") from error
        request.request_id = self.request_id
        return request


def row_id(request_id: str | UUID | None) -> str:
    """A new id, or the caller's.

    Raises:
        InvalidRequest: it is the nil UUID.
    """
    found = Violations()
    text = as_request_id(request_id) if request_id else str(uuid4())
    if text == NIL:
        found.add("request_id", "must not be the nil UUID")
    found.refuse()
    return text


def request_text(spec: Spec | task_pb2.TaskSpec, *, reject_existing: bool) -> str:
    """The create as canonical JSON, without its id.

    Raises:
        InvalidRequest: names every field of the spec at fault, as the service would.
    """
    request = creator_pb2.CreateTaskRequest(
        spec=spec_to_wire(spec),
        external_id_policy=policy(reject_existing=reject_existing),
    )
    found = Violations()
    fields = parse_spec(request.spec, found)
    found.refuse()
    shown = json_format.MessageToDict(request, preserving_proto_field_name=True)
    if fields["payload"] is not None:
        # Whole numbers as people write them.
        shown["spec"]["payload"] = json.loads(fields["payload"])
    return wire.canonical_json(shown)
