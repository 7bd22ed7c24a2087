"""What to do about a connection that failed for the sake of TLS, or a refused caller."""

from __future__ import annotations

from typing import Final

import grpc

# What gRPC says of a connection, and what its caller should hear.
OF_TLS: Final = (
    (
        "WRONG_VERSION_NUMBER",
        "speaks no TLS: unset TANDEM_CLIENT_CA, TANDEM_CLIENT_CERT and TANDEM_CLIENT_TLS",
    ),
    (
        "Hostname Verification",
        (
            "shows a certificate without the name that it was called by: call it by one that"
            " the certificate has"
        ),
    ),
    (
        "Tls handshake failed",
        (
            "shows a certificate that is not trusted, or asks for one: set"
            " TANDEM_CLIENT_CA to the file of the CA that signed it, TANDEM_CLIENT_CERT"
            " and TANDEM_CLIENT_KEY to one that it trusts"
        ),
    ),
    (
        "Socket closed",
        (
            "closes the connection at once: if it speaks TLS, set TANDEM_CLIENT_CA"
            " (and TANDEM_CLIENT_CERT and TANDEM_CLIENT_KEY where it asks for one)"
        ),
    ),
)

OF_CALLERS: Final = (
    "refuses the caller: set TANDEM_CLIENT_TOKEN_FILE, or TANDEM_CLIENT_CERT and"
    " TANDEM_CLIENT_KEY, to one that may do this"
)

REFUSED: Final = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def advice(error: grpc.RpcError) -> str:
    """What the service does, and what to do about it; empty where that is not known."""
    if error.code() in REFUSED:
        return OF_CALLERS
    if error.code() is not grpc.StatusCode.UNAVAILABLE:
        return ""
    said = error.details() or ""
    return next((told for sign, told in OF_TLS if sign in said), "")
