"""A real Kafka that has a listener for each way to say who one is."""

import base64
import hashlib
import os
import time
from contextlib import asynccontextmanager

import orjson
from aiohttp import web
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    CompactArray,
    CompactBytes,
    CompactString,
    Int8,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

from worker.adapters.kafka.connection import Connection
from worker.demo.kafka.broker import Broker, free_ports
from worker.demo.kafka.broker_properties import HOST, Node

PASSWORD = "correct-horse"
TOKEN_SESSION_MS = 2000
# listener: its protocol
_LISTENERS = {"TLS": "SSL", "MTLS": "SSL", "WORDS": "SASL_SSL", "TOKENS": "SASL_SSL"}
_MODULES = "org.apache.kafka.common.security"


class SecuredBroker:
    """A context manager; `servers` has the address of each listener."""

    def __init__(self, authority) -> None:
        own, controller, *rest = free_ports(2 + len(_LISTENERS))
        node = Node(1, own, controller)
        ports = dict(zip(_LISTENERS, rest, strict=True))
        # the certificate names localhost, and no address
        self.servers = {name: f"localhost:{port}" for name, port in ports.items()}
        self.connection = Connection(node.address)
        certificate, key = authority.issue("broker", hosts=["localhost"])
        both = certificate.with_suffix(".pem")
        both.write_bytes(key.read_bytes() + certificate.read_bytes())
        own = f"PLAINTEXT://{node.address},CONTROLLER://{HOST}:{controller}"
        protocols = {"PLAINTEXT": "PLAINTEXT", "CONTROLLER": "PLAINTEXT"} | _LISTENERS
        listening = [f"{name}://{HOST}:{port}" for name, port in ports.items()]
        advertised = [f"{name}://{at}" for name, at in self.servers.items()]
        self._broker = Broker(
            node=node,
            properties={
                "listener.security.protocol.map": ",".join(
                    f"{name}:{protocol}" for name, protocol in protocols.items()
                ),
                "listeners": ",".join([own, *listening]),
                "advertised.listeners": ",".join([own, *advertised]),
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": str(both),
                "ssl.truststore.type": "PEM",
                "ssl.truststore.location": str(authority.file),
                "listener.name.mtls.ssl.client.auth": "required",
                "listener.name.words.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
                "listener.name.words.plain.sasl.jaas.config": (
                    f'{_MODULES}.plain.PlainLoginModule required user_worker="{PASSWORD}";'
                ),
                **{
                    f"listener.name.words.scram-sha-{bits}.sasl.jaas.config": (
                        f"{_MODULES}.scram.ScramLoginModule required;"
                    )
                    for bits in (256, 512)
                },
                "listener.name.tokens.sasl.enabled.mechanisms": "OAUTHBEARER",
                "listener.name.tokens.oauthbearer.sasl.jaas.config": (
                    f"{_MODULES}.oauthbearer.OAuthBearerLoginModule required"
                    ' unsecuredLoginStringClaim_sub="broker"'
                    ' unsecuredValidatorRequiredScope="moderation";'
                ),
                # the broker ends a connection whose client does not say anew who it is
                "listener.name.tokens.oauthbearer.connections.max.reauth.ms": str(TOKEN_SESSION_MS),
            },
        )

    def __enter__(self):
        self._broker.start()
        return self

    def __exit__(self, *_):
        self._broker.close()


async def add_scram_user(connection, name, password):
    """Make a user known for both SCRAM mechanisms."""
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    for mechanism in ((1, "sha256"), (2, "sha512")):
        answer = await admin._send_request(_Upsert(name, password, *mechanism))
        assert [result[1] for result in answer.results] == [0], answer.results
    await admin.close()


class _Upserted(Response):
    API_KEY, API_VERSION = 51, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            CompactArray(
                ("user", CompactString("utf-8")),
                ("error_code", Int16),
                ("error_message", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _UpsertStruct(RequestStruct):
    API_KEY, API_VERSION, FLEXIBLE_VERSION = 51, 0, True
    RESPONSE_TYPE = _Upserted
    SCHEMA = Schema(
        (
            "deletions",
            CompactArray(
                ("name", CompactString("utf-8")), ("mechanism", Int8), ("tags", TaggedFields)
            ),
        ),
        (
            "upsertions",
            CompactArray(
                ("name", CompactString("utf-8")),
                ("mechanism", Int8),
                ("iterations", Int32),
                ("salt", CompactBytes),
                ("salted_password", CompactBytes),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Upsert(Request[_UpsertStruct]):
    API_KEY = 51

    def __init__(self, name, password, number, digest) -> None:
        salt = os.urandom(16)
        salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, 4096)
        self._wanted = (name, number, 4096, salt, salted, {})

    def build(self, request_struct_class):
        return request_struct_class([], [self._wanted], {})


class TokenEndpoint:
    """Gives tokens by the client credentials grant, as Kafka's own unsecured validator takes them.

    Its secret, the tokens' life and scope may be changed as one likes.
    """

    def __init__(self) -> None:
        self.secret = PASSWORD
        self.life_seconds = 3600.0
        self.scope = "moderation"
        self.given = 0
        self.url = ""

    async def give(self, request):
        form = await request.post()
        encoded = request.headers["Authorization"].removeprefix("Basic ")
        if base64.b64decode(encoded).decode() != f"worker:{self.secret}":
            return web.json_response({"error": "invalid_client"}, status=401)
        assert form["grant_type"] == "client_credentials"
        self.given += 1
        now = time.time()
        claims = {
            "sub": "worker",
            "iat": now,
            "exp": now + self.life_seconds,
            "scope": form.get("scope", ""),
        }
        parts = (_part({"alg": "none"}), _part(claims), "")
        return web.json_response({"access_token": ".".join(parts), "expires_in": self.life_seconds})

    @asynccontextmanager
    async def serving(self, context=None):
        application = web.Application()
        application.router.add_post("/token", self.give)
        runner = web.AppRunner(application)
        await runner.setup()
        (port,) = free_ports(1)
        await web.TCPSite(runner, HOST, port, ssl_context=context).start()
        self.url = f"{'https' if context else 'http'}://{HOST}:{port}/token"
        try:
            yield self
        finally:
            await runner.cleanup()


def _part(value) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode().rstrip("=")
