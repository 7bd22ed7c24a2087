"""Settings, read once from the environment at start-up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    Self,
    TypeAlias,
    get_args,
    get_origin,
    get_type_hints,
)
from urllib.parse import SplitResult, urlsplit

from tandem.addresses import LARGEST_PORT
from tandem.limits import MAX_MESSAGE_BYTES

PREFIX: Final = "TANDEM_"

LOOPBACK: Final = "127.0.0.1"

AUTH_KINDS: Final = ("key", "jwt", "certificate")
"""Kinds of credentials. `tandem.authentication.kinds` has what accepts each of them."""

URL_SCHEMES: Final = ("postgresql://", "postgres://")


class InvalidSettings(ValueError):
    """The environment cannot run this service. The message lists every fault."""


def text(raw: str) -> str:
    return raw


def names(raw: str) -> tuple[str, ...]:
    found = tuple(part.strip() for part in raw.split(","))
    if not all(found):
        raise ValueError(f"must be names with commas between them, not {raw!r}")
    return found


def count(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit() or int(raw) < 1:
        raise ValueError(f"must be a whole number from 1 up, not {raw!r}")
    return int(raw)


def whole(raw: str) -> int:
    if not raw.isascii() or not raw.isdigit():
        raise ValueError(f"must be a whole number from 0 up, not {raw!r}")
    return int(raw)


def flag(raw: str) -> bool:
    if raw not in FLAGS:
        raise ValueError(f"must be true or false, not {raw!r}")
    return FLAGS[raw]


def seconds(raw: str) -> float:
    try:
        found = float(raw)
    except ValueError:
        found = math.nan
    if not (math.isfinite(found) and found >= 0):
        raise ValueError(f"must be a number of seconds, not {raw!r}")
    return found


def address(raw: str) -> str:
    host, _, port = raw.rpartition(":")
    if not host or not port.isdigit() or int(port) > LARGEST_PORT:
        raise ValueError(f"must be host:port, not {raw!r}")
    return raw


def local_address(raw: str) -> str:
    """As `address`; without a host it is this machine's own, for nobody else."""
    return address(f"{LOOPBACK}{raw}" if raw.startswith(":") else raw)


def addresses(raw: str) -> tuple[str, ...]:
    return tuple(address(part.strip()) for part in raw.split(","))


def database_url(raw: str) -> str:
    # The value is not repeated: it holds a password.
    if not raw.startswith(URL_SCHEMES):
        raise ValueError("must begin with postgresql://")
    return raw


def off(raw: str) -> Literal["off"]:
    if raw != "off":
        raise ValueError(f"must be off, or not set, not {raw!r}")
    return "off"


def log_form(raw: str) -> Literal["json", "console"]:
    if raw == "json":
        return "json"
    if raw == "console":
        return "console"
    raise ValueError(f"must be json or console, not {raw!r}")


def auth_kinds(raw: str) -> tuple[str, ...]:
    """The kinds that are named; none of `off`."""
    if raw == "off":
        return ()
    found = names(raw)
    if not set(found) <= set(AUTH_KINDS) or len(set(found)) < len(found):
        known = ", ".join(AUTH_KINDS)
        raise ValueError(f"must be off, or some of {known} with commas, not {raw!r}")
    return found


def key_set(raw: str) -> str:
    url = urlsplit(raw)
    if not url.scheme:
        return raw
    # Keys that anybody on the way could replace would let anybody in.
    if url.hostname and (url.scheme == "https" or _is_local(url)):
        return raw
    raise ValueError("must be a file, or an address that begins with https://")


def _is_local(url: SplitResult) -> bool:
    return url.scheme == "http" and url.hostname in (LOOPBACK, "localhost", "::1")


def algorithms(raw: str) -> tuple[str, ...]:
    found = names(raw)
    if unfit := [name for name in found if name not in SIGNATURES]:
        raise ValueError(
            f"must be among {', '.join(SIGNATURES)}, not {', '.join(unfit)}"
        )
    return found


def message_bytes(raw: str) -> int:
    found = count(raw)
    if found > MAX_MESSAGE_BYTES:
        raise ValueError(f"must be {MAX_MESSAGE_BYTES} at most, not {raw!r}")
    return found


SIGNATURES: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
)
"""Algorithms of tokens, all of them asymmetric: who can verify one cannot forge one."""

FLAGS: Final = {"true": True, "1": True, "false": False, "0": False}

PLAIN: Final[Mapping[Any, Callable[[str], Any]]] = {
    str: text,
    int: whole,
    float: seconds,
}

# How a field is read stands in its type.
Text: TypeAlias = Annotated[str, text]
Names: TypeAlias = Annotated[tuple[str, ...], names]
Count: TypeAlias = Annotated[int, count]
Whole: TypeAlias = Annotated[int, whole]
Flag: TypeAlias = Annotated[bool, flag]
Seconds: TypeAlias = Annotated[float, seconds]
Address: TypeAlias = Annotated[str, address]
LocalAddress: TypeAlias = Annotated[str, local_address]
Addresses: TypeAlias = Annotated[tuple[str, ...], addresses]
DatabaseUrl: TypeAlias = Annotated[str, database_url]
AuthKinds: TypeAlias = Annotated[tuple[str, ...] | None, auth_kinds]
Off: TypeAlias = Annotated[Literal["off"] | None, off]
KeySetPlace: TypeAlias = Annotated[str, key_set]
Algorithms: TypeAlias = Annotated[tuple[str, ...], algorithms]
MessageBytes: TypeAlias = Annotated[int, message_bytes]
LogForm: TypeAlias = Annotated[Literal["json", "console"] | None, log_form]


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """What an operator may decide. Each field is read from `TANDEM_<FIELD>`.

    What `repr` does not show is a secret: it may come by a file that `TANDEM_<FIELD>_FILE`
    names.

    The services add their own fields. A variable that is empty counts as not set.
    """

    database_url: DatabaseUrl = field(repr=False)
    """Where the tasks live, with this service's own login."""

    listen: Address
    """The address to serve on. Port 0 takes a free one."""

    auth: AuthKinds = None
    """`off`, or the kinds of credentials that are accepted. Not set: off, on loopback alone."""

    pool_size: Count = 10
    """The most database connections this process will hold."""

    pooler: Flag = False
    """Whether the URL leads to a pooler that gives each transaction another session."""

    grace: Seconds = 20.0
    """Seconds that calls in flight may take to end after SIGTERM."""

    log: LogForm = None
    """`json` or `console`. Not set: console at a terminal, else json."""

    port_file: Text = ""
    """A file to write the port into, once it is listened on. Unset: none."""

    metrics_listen: LocalAddress = ""
    """The address at which Prometheus finds metrics. Unset: none."""

    metrics_port_file: Text = ""
    """As `port_file`, for the port of `metrics_listen`."""

    traces: Flag = False
    """Whether traces are exported, as OpenTelemetry's own variables say."""

    tls_cert: Text = ""
    """A PEM file: the server's certificate, and those between it and its CA."""

    tls_key: Text = ""
    """A PEM file: the key of that certificate."""

    tls_client_ca: Text = ""
    """A PEM file: clients must show a certificate that it signed. Unset: they need none."""

    certificate_callers: Text = ""
    """A TOML file: what the bearer of which client certificate may do."""

    tls: Off = None
    """`off`: in the clear although the address is not loopback."""

    jwt_issuer: Text = ""
    """What `iss` of a caller's token must be."""

    jwt_audience: Text = ""
    """What must be among `aud` of a caller's token."""

    jwt_jwks: KeySetPlace = ""
    """The issuer's public keys, a JSON Web Key Set: a file, or an https URL."""

    jwt_algorithms: Algorithms = ("RS256", "ES256", "EdDSA")
    """The algorithms that a token's signature may have."""

    jwt_scope_claim: Text = "scope"
    """The claim that holds a token's scopes."""

    caller_rate: Whole = 0
    """Calls a second that each caller may begin; 0: as many as it likes."""

    caller_streams: Count = 1000
    """Streams that each caller may have open at once."""

    caller_message_bytes: MessageBytes = MAX_MESSAGE_BYTES
    """The longest message that a caller may send."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read every field.

        Raises:
            InvalidSettings: with all faults at once, and no secret in its message.
        """
        hints = get_type_hints(cls, include_extras=True)
        values: dict[str, Any] = {}
        faults: list[str] = []
        known = {each.name for each in fields(cls)}
        for each in fields(cls):
            by_file = not each.repr and f"{each.name}_file" not in known
            try:
                values |= _read(
                    each, _parser(hints[each.name]), environ, by_file=by_file
                )
            except ValueError as fault:
                faults.append(f"{PREFIX}{each.name.upper()} {fault}")
        if faults:
            raise InvalidSettings("; ".join(faults))
        return cls(**values)


def _parser(hint: Any) -> Callable[[str], Any]:
    for part in (hint, *get_args(hint)):
        if get_origin(part) is Annotated:
            parse: Callable[[str], Any] = part.__metadata__[0]
            return parse
        if part in PLAIN:
            return PLAIN[part]
    raise TypeError(f"{hint} does not say how it is read")


def _read(
    each: Field[Any],
    parse: Callable[[str], Any],
    environ: Mapping[str, str],
    *,
    by_file: bool,
) -> dict[str, Any]:
    name = f"{PREFIX}{each.name.upper()}"
    raw = environ.get(name, "").strip()
    if by_file and (path := environ.get(f"{name}_FILE", "").strip()):
        if raw:
            raise ValueError(f"and {name}_FILE are both set: unset one")
        raw = _read_secret(f"{name}_FILE", path)
    if raw:
        return {each.name: parse(raw)}
    if each.default is MISSING and each.default_factory is MISSING:
        raise ValueError("is not set")
    return {}


def _read_secret(name: str, path: str) -> str:
    """What the file holds: one that is shown to nobody may be kept out of the environment."""
    try:
        return Path(path).read_text("utf-8").strip()
    except OSError as error:
        raise ValueError(f"({name}): cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError(f"({name}): {path} is no text in UTF-8") from None
