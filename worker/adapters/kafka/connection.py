"""How to reach the brokers, and what they say of their topics."""

import asyncio
import ssl
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    TopicAlreadyExistsError,
    for_code,
)

from worker.errors import BusUnavailable

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
_CONNECT_SECONDS = 15.0
_ASK_AGAIN_SECONDS = 0.2
_DEFAULT_MAX_BYTES = 1_048_588


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the brokers are and who we say we are."""

    bootstrap_servers: str
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    username: str | None = None
    password: str | None = None
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    client_id: str = "guardstream"

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for aiokafka's clients."""
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "client_id": self.client_id,
            "request_timeout_ms": 15_000,
        }
        if "SSL" in self.security_protocol.split("_"):
            context = ssl.create_default_context(cafile=self.ca_file)
            if self.certificate_file:
                context.load_cert_chain(self.certificate_file, self.key_file)
            arguments["ssl_context"] = context
        if self.security_protocol.startswith("SASL"):
            arguments |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        return arguments

    @contextmanager
    def connecting(self) -> Iterator[None]:
        """Say in one sentence that the brokers cannot be reached."""
        try:
            yield
        except (KafkaError, OSError, TimeoutError) as error:
            reason = type(error).__name__
            raise BusUnavailable(
                f"Kafka at {self.bootstrap_servers} cannot be reached ({reason}); look at"
                " kafka.bootstrap_servers, the network and the kafka.security settings."
            ) from error


@dataclass(frozen=True, slots=True)
class Topic:
    """What a broker says of a topic."""

    name: str
    partitions: int
    max_bytes: int


async def describe_topics(connection: Connection, names: Collection[str]) -> dict[str, Topic]:
    """The topics of these names that exist; never creates one.

    Raises:
        BusUnavailable: no broker answers.
    """
    with connection.connecting():
        async with asyncio.timeout(_CONNECT_SECONDS):
            admin = AIOKafkaAdminClient(**connection.arguments())
            try:
                await admin.start()
                while True:
                    try:
                        return await _describe(admin, names)
                    except (KafkaConnectionError, NodeNotReadyError):
                        # the client asks any broker that it knows, and one of them may be down
                        await asyncio.sleep(_ASK_AGAIN_SECONDS)
            finally:
                await admin.close()


async def _describe(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, Topic]:
    # asked for by name, a broker with auto-creation would make what is missing
    known = {
        topic["topic"]: len(topic["partitions"])
        for topic in await admin.describe_topics()
        if topic["topic"] in names
    }
    sizes = await _max_bytes(admin, known)
    return {
        name: Topic(name, count, sizes.get(name, _DEFAULT_MAX_BYTES))
        for name, count in known.items()
    }


async def require_topics(connection: Connection, names: Collection[str]) -> dict[str, Topic]:
    """These topics, every one.

    Raises:
        BusUnavailable: no broker answers, or a topic is missing.
    """
    topics = await describe_topics(connection, names)
    missing = sorted(set(names) - set(topics))
    if missing:
        raise BusUnavailable(
            f"Kafka at {connection.bootstrap_servers} has no topic {', '.join(missing)};"
            " create it, or name another in the settings."
        )
    return topics


async def create_topics(
    connection: Connection,
    names: Collection[str],
    *,
    partitions: int,
    replicas: int = 1,
    **configs: str,
) -> None:
    """Create topics; those that exist already stay as they are.

    Raises:
        BusUnavailable: no broker answers, or it refuses.
    """
    with connection.connecting():
        admin = AIOKafkaAdminClient(**connection.arguments())
        try:
            await admin.start()
            wanted = [
                NewTopic(
                    name=name,
                    num_partitions=partitions,
                    replication_factor=replicas,
                    topic_configs={key.replace("_", "."): value for key, value in configs.items()},
                )
                for name in names
            ]
            response = await admin.create_topics(wanted)
            for name, code, *_ in response.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    raise BusUnavailable(f"The topic {name} cannot be created: {error.__name__}.")
        finally:
            await admin.close()


async def _max_bytes(admin: AIOKafkaAdminClient, names: Collection[str]) -> dict[str, int]:
    if not names:
        return {}
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    sizes = {}
    try:
        responses = await admin.describe_configs(wanted)
    except (KafkaConnectionError, NodeNotReadyError):
        raise
    except KafkaError:
        return {}  # without the right to describe configs, Kafka's default is the best guess
    for response in responses:
        for _, _, _, name, entries in response.resources:
            for entry in entries:
                if entry[0] == "max.message.bytes" and entry[1]:
                    sizes[name] = int(entry[1])
    return sizes
