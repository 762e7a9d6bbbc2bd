"""Why no broker can be reached: aiokafka's clients report only that none can."""

import asyncio
import errno
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    IncompatibleBrokerVersion,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnrecognizedBrokerVersion,
    UnsupportedSaslMechanismError,
    UnsupportedVersionError,
)
from aiokafka.protocol.metadata import MetadataRequest

from worker.adapters.kafka.oauth import TokenRefused

# the last is what aiokafka raises for a request whose versions a broker no longer, or not yet, has
WRONG_VERSION = (
    IncompatibleBrokerVersion,
    UnrecognizedBrokerVersion,
    UnsupportedVersionError,
    NotImplementedError,
)
_ASK_SECONDS = 10.0
_EXPIRED = (9, 10)  # OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED
_OTHER_NAME = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH
_OUR_CERTIFICATE = ("CERTIFICATE_REQUIRED", "BAD_CERTIFICATE", "UNKNOWN_CA", "CERTIFICATE_UNKNOWN")

_UNREACHABLE = (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a broker cannot be used.

    Attributes:
        text: what is wrong, and what to do.
        may_pass: no fault is known: the broker is not there, or not yet.
    """

    text: str
    may_pass: bool


async def find_cause(arguments: Mapping[str, Any]) -> Cause | None:
    """Why the brokers cannot be reached; None if one of them can be.

    A broker that refuses the worker comes before one that is not there; else the last one counts.

    Args:
        arguments: as aiokafka's clients take them.
    """
    theirs = dict(arguments)
    cause: Cause | None = None
    for host, port, _ in collect_hosts(theirs.pop("bootstrap_servers"), randomize=False):
        try:
            async with asyncio.timeout(_ASK_SECONDS):
                await _ask(host, port, theirs)
        except (KafkaError, NotImplementedError, OSError, TimeoutError) as error:
            found = _explain(error, f"{host}:{port}", theirs)
            if cause is None or cause.may_pass:
                cause = found
        else:
            return None
    return cause


async def _ask(host: str, port: int, arguments: Mapping[str, Any]) -> None:
    connection = await create_conn(host, port, **arguments)
    try:
        answer = await connection.send(MetadataRequest([]))
    finally:
        connection.close()
    # aiokafka takes a token for accepted before the broker has accepted it; a refusal then looks
    # like metadata without brokers
    if not answer.brokers and arguments.get("sasl_mechanism") == "OAUTHBEARER":
        raise SaslAuthenticationFailed


def _explain(error: BaseException, where: str, arguments: Mapping[str, Any]) -> Cause:
    if isinstance(error, KafkaConnectionError) and isinstance(error.__cause__, ssl.SSLError):
        error = error.__cause__  # the broker refused after the handshake
    text = _explain_tls(error, where) or _explain_refusal(error, where, arguments)
    if isinstance(error, WRONG_VERSION):
        text = explain_version(error, where)
    if text is not None:
        return Cause(text, may_pass=False)
    return Cause(
        _explain_network(error, where, arguments["security_protocol"]),
        may_pass=_may_pass(error),
    )


def _may_pass(error: BaseException) -> bool:
    """Whether waiting may help: not where a broker is there and hangs up, wanting another protocol.

    A name with several addresses of which none answers gives an OSError without a number.
    """
    if isinstance(error, socket.gaierror | ConnectionRefusedError | TimeoutError):
        return True
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError | ConnectionError):
        return error.errno is None or error.errno in _UNREACHABLE
    return False


def _explain_tls(error: BaseException, where: str) -> str | None:
    match error:
        case ssl.SSLCertVerificationError():
            return _explain_certificate(error, where)
        case ssl.SSLError() if any(name in str(error.reason) for name in _OUR_CERTIFICATE):
            return (
                f"{where} requires a client certificate that it trusts ({error.reason}); look at"
                " kafka.certificate_file and kafka.key_file."
            )
        case ssl.SSLError():
            return (
                f"the TLS handshake with {where} failed ({error.reason}); look at"
                " kafka.security_protocol and at the port."
            )
    return None


def _explain_refusal(error: BaseException, where: str, arguments: Mapping[str, Any]) -> str | None:
    mechanism = arguments.get("sasl_mechanism")
    match error:
        case TokenRefused():
            return str(error)
        case SaslAuthenticationFailed() if mechanism == "OAUTHBEARER":
            return f"{where} refuses the token; look at kafka.oauth and at the token's claims."
        case SaslAuthenticationFailed():
            return (
                f"{where} refuses user {arguments['sasl_plain_username']} with {mechanism}; look at"
                " kafka.username and kafka.password_file, or kafka.password."
            )
        case UnsupportedSaslMechanismError():
            return f"{where} does not offer {mechanism}; look at kafka.sasl_mechanism."
        case IllegalSaslStateError():
            return f"{where} does not ask for credentials; look at kafka.security_protocol."
    return None


def explain_version(error: BaseException, where: str) -> str:
    """What is wrong with a broker that does not offer a request."""
    return (
        f"{where} does not offer a request that the worker needs ({error}): its version is not"
        " supported; docs/compatibility.md lists the versions that were tested."
    )


def _explain_network(error: BaseException, where: str, protocol: str) -> str:
    match error:
        case socket.gaierror():
            return f"the name in {where} is not known; look at kafka.bootstrap_servers."
        case ConnectionRefusedError():
            return f"no broker listens at {where}; look at kafka.bootstrap_servers."
        case TimeoutError():
            return (
                f"{where} does not answer; look at kafka.bootstrap_servers, the network and"
                f" kafka.security_protocol, which is {protocol}."
            )
        case OSError() if _may_pass(error):
            why = error.strerror or "none of its addresses answers"
            return f"{where} is not there ({why}); look at kafka.bootstrap_servers and the network."
    return (
        f"{where} hung up ({type(error).__name__}); look at kafka.security_protocol, which is"
        f" {protocol}, and at the network."
    )


def _explain_certificate(error: ssl.SSLCertVerificationError, where: str) -> str:
    if error.verify_code in _OTHER_NAME:
        return (
            f"the certificate of {where} is for another name; name the broker in"
            " kafka.bootstrap_servers as its certificate does."
        )
    if error.verify_code in _EXPIRED:
        return f"the certificate of {where} is not valid now; renew it, or look at the clock."
    return (
        f"the certificate of {where} was signed by an unknown authority ({error.verify_message});"
        " name that authority in kafka.ca_file."
    )
