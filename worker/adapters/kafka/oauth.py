"""Tokens for SASL OAUTHBEARER, by the client credentials grant (RFC 6749, section 4.4)."""

import asyncio
import base64
import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus, urlsplit

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError

from worker.adapters.kafka.credentials import Secret, TlsFiles
from worker.domain.errors import BusUnavailable

if TYPE_CHECKING:
    from aiohttp import ClientResponse

logger = logging.getLogger(__name__)

_FETCH_SECONDS = 10.0
# a token is used for this share of its life, so that none expires on its way
_USED_SHARE = 0.8
_DEFAULT_LIFE_SECONDS = 60.0


class TokenRefused(KafkaError):  # type: ignore[misc]  # noqa: N818
    """No token was issued.

    One of aiokafka's errors to its clients, which wait and try again, as they do for any failure
    to connect.
    """


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens from a token endpoint, each used by all clients for most of its life.

    The secret is read again for each token.
    """

    def __init__(
        self,
        *,
        token_endpoint_url: str,
        client_id: str,
        client_secret: Secret,
        scope: str | None = None,
        tls: TlsFiles,
    ) -> None:
        self._url = token_endpoint_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._scope = scope
        self._tls = tls
        self._lock = asyncio.Lock()
        self._token = ""
        self._renew_at = 0.0
        if urlsplit(self._url).scheme == "http":
            logger.warning("The token endpoint is called without TLS; use https.")

    async def token(self) -> str:
        """A token that is good for a while.

        Raises:
            TokenRefused: none was issued.
        """
        async with self._lock:
            if time.monotonic() >= self._renew_at:
                began = time.monotonic()
                answer = await self._fetch()
                self._token = str(answer["access_token"])
                life = float(answer.get("expires_in") or _DEFAULT_LIFE_SECONDS)
                self._renew_at = began + _USED_SHARE * life
            return self._token

    async def _fetch(self) -> dict[str, Any]:
        # slow to import: only for those who use OAuth
        import aiohttp  # noqa: PLC0415

        form = {"grant_type": "client_credentials"}
        if self._scope:
            form["scope"] = self._scope
        try:
            secret = self._client_secret.read() or ""
            who = f"{quote_plus(self._client_id)}:{quote_plus(secret)}".encode()
            headers = {"Authorization": f"Basic {base64.b64encode(who).decode()}"}
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(_FETCH_SECONDS)) as session,
                session.post(
                    self._url,
                    data=form,
                    headers=headers,
                    ssl=self._tls.context(),
                    allow_redirects=False,  # the secret is for this address alone
                ) as response,
            ):
                return await self._read(response)
        except BusUnavailable as error:
            raise TokenRefused(str(error)) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise TokenRefused(
                f"The certificate of the token endpoint {self._url} cannot be verified; name the"
                " authority that signed it in kafka.oauth.ca_file."
            ) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TokenRefused(
                f"The token endpoint {self._url} cannot be reached ({type(error).__name__}); look"
                " at kafka.oauth.token_endpoint_url and the network."
            ) from error

    async def _read(self, response: "ClientResponse") -> dict[str, Any]:
        try:
            answer = await response.json(content_type=None)
        except ValueError:
            answer = None
        if isinstance(answer, dict) and response.ok and answer.get("access_token"):
            return answer
        # the answer could hold anything: only a code that RFC 6749 defines is reported
        code = answer.get("error") if isinstance(answer, dict) else None
        reason = f"status {response.status}" + (f", {code}" if code in _REFUSALS else "")
        raise TokenRefused(
            f"The token endpoint {self._url} issued no token ({reason}); look at"
            " kafka.oauth.client_id, kafka.oauth.client_secret_file and kafka.oauth.scope."
        )


_REFUSALS = {
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
}
