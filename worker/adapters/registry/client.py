"""The registry's HTTP API: schemas, and those that they refer to, as text."""

import base64
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import orjson

from worker.adapters.kafka.credentials import Secret, TlsFiles
from worker.adapters.registry.errors import RegistryUnavailable, SchemaMissing, SchemaUnusable
from worker.adapters.registry.frames import SchemaKey
from worker.domain.errors import BusUnavailable

logger = logging.getLogger(__name__)

_ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"
_MAX_ANSWER_BYTES = 8 << 20
# the API's own codes for what it does not have
_NOT_FOUND_CODES = range(40400, 40500)
_HINTS = {
    401: "look at input.registry.username and input.registry.password_file",
    403: "the user of input.registry may not read this schema",
    429: "it asks for fewer requests",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A schema that another one refers to.

    Attributes:
        name: by which the other one knows it: a type's in Avro, a file's in Protobuf.
    """

    name: str
    subject: str
    version: int


@dataclass(frozen=True, slots=True)
class SchemaText:
    """A schema as the registry has it.

    Attributes:
        path: where it was found, below the registry's address.
        kind: `AVRO`, `PROTOBUF` or `JSON`.
    """

    path: str
    kind: str
    text: str
    references: tuple[Reference, ...]


class RegistryClient:
    """Asks a registry.

    Secrets are read again for each request, certificates when their files change.

    Args:
        url: the address below which `/schemas/ids/1` is, without credentials.
        token: for bearer authentication; wins over the user.
    """

    def __init__(
        self,
        url: str,
        *,
        username: str | None,
        password: Secret,
        token: Secret,
        tls: TlsFiles,
        timeout_seconds: float,
    ) -> None:
        self.url = url.rstrip("/")
        self._username = username
        self._password = password
        self._token = token
        self._tls = tls
        self._context: ssl.SSLContext | None = None
        self._timeout = aiohttp.ClientTimeout(timeout_seconds)
        has_secret = username is not None or token.value or token.file
        if has_secret and urlsplit(url).scheme == "http":
            logger.warning("The schema registry is sent credentials without TLS; use https.")

    async def schema(self, key: SchemaKey) -> SchemaText:
        """The schema of an id or a GUID.

        Raises:
            SchemaMissing: the registry does not have it.
            SchemaUnusable: it is too large.
            RegistryUnavailable: there is no usable answer.
        """
        return await self._schema_at(f"/schemas/{key.kind}/{key.value}", {})

    async def referenced(self, reference: Reference) -> SchemaText:
        """A schema that another one refers to, also when it was deleted since.

        Raises:
            SchemaMissing: the registry does not have it.
            SchemaUnusable: it is too large.
            RegistryUnavailable: there is no usable answer.
        """
        subject = quote(reference.subject, safe="")
        path = f"/subjects/{subject}/versions/{reference.version}"
        return await self._schema_at(path, {"deleted": "true"})

    async def serialized(self, schema: SchemaText) -> str:
        """A Protobuf schema again, as Confluent's registry converts it; others give what they have.

        Raises:
            SchemaMissing: the registry does not have it any more.
            RegistryUnavailable: there is no usable answer.
        """
        parameters = {"format": "serialized", "deleted": "true"}
        return (await self._schema_at(schema.path, parameters)).text

    async def _schema_at(self, path: str, parameters: Mapping[str, str]) -> SchemaText:
        status, answer = await self._get(path, parameters)
        if status == 404:
            await self._explain_missing(answer)
        if status != 200:
            hint = f"; {_HINTS[status]}" if status in _HINTS else ""
            raise RegistryUnavailable(f"it answers with status {status}{hint}")
        if not isinstance(answer, dict) or not isinstance(answer.get("schema"), str):
            raise RegistryUnavailable(_NOT_THE_API)
        return SchemaText(
            path,
            str(answer.get("schemaType") or "AVRO"),
            answer["schema"],
            tuple(_read_reference(found) for found in answer.get("references") or ()),
        )

    async def _explain_missing(self, answer: Any) -> None:
        """Tell a schema that is missing from an address that is wrong."""
        code = answer.get("error_code") if isinstance(answer, dict) else None
        if code not in _NOT_FOUND_CODES:
            # this API would have given a code; one that has no such path at all does not
            status, types = await self._get("/schemas/types", {})
            if status != 200 or not isinstance(types, list):
                raise RegistryUnavailable(_NOT_THE_API)
        raise SchemaMissing(f"is not in the schema registry {self.url}")

    async def _get(self, path: str, parameters: Mapping[str, str]) -> tuple[int, Any]:
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout) as session,
                session.get(
                    self.url + path,
                    params=parameters,
                    headers={"Accept": _ACCEPT, **self._authorization()},
                    ssl=self._trusted(),
                    allow_redirects=False,  # the password is for this address alone
                ) as response,
            ):
                return response.status, await _read_json(response)
        except BusUnavailable as error:
            raise RegistryUnavailable(str(error).removesuffix(".")) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise RegistryUnavailable(
                "its certificate cannot be verified; name the authority that signed it in"
                " input.registry.ca_file"
            ) from error
        except TimeoutError as error:
            raise RegistryUnavailable("it does not answer in time") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise RegistryUnavailable(f"it cannot be reached ({type(error).__name__})") from error

    def _trusted(self) -> ssl.SSLContext | bool:
        if urlsplit(self.url).scheme == "http":
            return True  # unused; to read the system's certificates takes a tenth of a second
        if self._context is None:
            self._context = self._tls.context()  # it looks at its files before each handshake
        return self._context

    def _authorization(self) -> dict[str, str]:
        if token := self._token.read():
            return {"Authorization": f"Bearer {token}"}
        if self._username is None:
            return {}
        pair = f"{self._username}:{self._password.read() or ''}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


_NOT_THE_API = (
    "its answer is not of a schema registry's API: input.registry.url is the address below which"
    " /schemas/ids is"
)


async def _read_json(response: aiohttp.ClientResponse) -> Any:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > _MAX_ANSWER_BYTES:
            raise SchemaUnusable(f"is larger than {_MAX_ANSWER_BYTES >> 20} MiB")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _read_reference(found: Any) -> Reference:
    try:
        return Reference(str(found["name"]), str(found["subject"]), int(found["version"]))
    except (KeyError, TypeError, ValueError):
        raise SchemaUnusable("has a reference without name, subject and version") from None
