"""The client of Tandem: create tasks once, and follow them. It needs the base install alone."""

from __future__ import annotations

from tandem.client.asynchronous import AsyncClient
from tandem.client.blocking import Client
from tandem.client.channels import blocking_channel, channel, options, uri
from tandem.client.created import Created, ExistingReason, Outcome
from tandem.client.credentials import Credentials, InvalidCredentials
from tandem.client.failures import CallFailed, TimedOut, Unreachable, failure_of
from tandem.client.ids import REQUEST_IDS, as_request_id, request_id_from
from tandem.client.reading import payload_of, result_of, state_of
from tandem.client.reasons import Reason, reason_of
from tandem.client.repeats import Deadlines
from tandem.client.requests import Creating, Filters, Following
from tandem.client.specs import Priority, Spec

__all__ = [
    "REQUEST_IDS",
    "AsyncClient",
    "CallFailed",
    "Client",
    "Created",
    "Creating",
    "Credentials",
    "Deadlines",
    "ExistingReason",
    "Filters",
    "Following",
    "InvalidCredentials",
    "Outcome",
    "Priority",
    "Reason",
    "Spec",
    "TimedOut",
    "Unreachable",
    "as_request_id",
    "blocking_channel",
    "channel",
    "failure_of",
    "options",
    "payload_of",
    "reason_of",
    "request_id_from",
    "result_of",
    "state_of",
    "uri",
]
