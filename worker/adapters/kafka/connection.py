"""How to reach the brokers, and what they report of their topics."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidTopicError,
    KafkaConnectionError,
    KafkaError,
    LeaderNotAvailableError,
    NodeNotReadyError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.metadata import MetadataRequest

from worker.adapters.kafka.credentials import Secret, TlsFiles
from worker.adapters.kafka.diagnosis import WRONG_VERSION, Cause, explain_version, find_cause
from worker.adapters.kafka.failures import UNAUTHORIZED
from worker.adapters.kafka.oauth import ClientCredentials
from worker.domain.errors import BusUnavailable, BusUnreachable

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
_CONNECT_SECONDS = 15.0
_ASK_AGAIN_SECONDS = 0.2
_LOOK_AGAIN_SECONDS = 0.02
# how long a topic may be unknown to some brokers until it counts as missing
_MISSING_SECONDS = 3.0
_DEFAULT_MAX_BYTES = 1_048_588
_NOT_THERE = (UnknownTopicOrPartitionError, InvalidTopicError, TopicAuthorizationFailedError)
_NOT_YET = (UnknownTopicOrPartitionError, LeaderNotAvailableError)
_NO_PASSWORD = Secret("kafka.password")
_SYSTEM_TLS = TlsFiles("kafka")


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the brokers are, and the credentials to use there."""

    bootstrap_servers: str
    security_protocol: SecurityProtocol = "PLAINTEXT"
    sasl_mechanism: str = "PLAIN"
    username: str | None = None
    password: Secret = _NO_PASSWORD
    oauth: ClientCredentials | None = None
    tls: TlsFiles = _SYSTEM_TLS
    client_id: str = "guardstream"

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for aiokafka's clients, with what the files of secrets hold now.

        Raises:
            BusUnavailable: a file cannot be used.
        """
        arguments: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
            "client_id": self.client_id,
            "request_timeout_ms": 15_000,
        }
        if "SSL" in self.security_protocol.split("_"):
            arguments["ssl_context"] = self.tls.context()
        if self.security_protocol.startswith("SASL"):
            arguments["sasl_mechanism"] = self.sasl_mechanism
            if self.sasl_mechanism == "OAUTHBEARER":
                arguments["sasl_oauth_token_provider"] = self.oauth
            else:
                arguments["sasl_plain_username"] = self.username
                arguments["sasl_plain_password"] = self.password.read()
        return arguments

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """Explain in one sentence why the brokers cannot be reached, or what they refuse."""
        try:
            yield
        except UNAUTHORIZED as error:
            raise BusUnavailable(
                f"Kafka at {self.bootstrap_servers} refuses a request ({type(error).__name__});"
                " `guardstream check` names the rights that are missing."
            ) from error
        except WRONG_VERSION as error:
            raise BusUnavailable(
                explain_version(error, f"Kafka at {self.bootstrap_servers}")
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            cause = await find_cause(self.arguments()) or Cause(
                f"a broker answers, but the next request failed ({type(error).__name__}); look at"
                " what the brokers advertise, and at the network.",
                may_pass=True,
            )
            where = f"Kafka at {self.bootstrap_servers}"
            if cause.may_pass:
                raise BusUnreachable(f"{where} cannot be reached: {cause.text}") from error
            raise BusUnavailable(f"{where} cannot be used: {cause.text}") from error


@dataclass(frozen=True, slots=True)
class Topic:
    """What a broker reports of a topic; without DescribeConfigs, Kafka's defaults."""

    name: str
    partitions: int
    max_bytes: int
    is_compacted: bool = False


async def describe_topics(connection: Connection, names: Collection[str]) -> dict[str, Topic]:
    """The topics of these names that exist and are visible to the worker; never creates one.

    Raises:
        BusUnreachable: no broker answers.
        BusUnavailable: they refuse the request.
    """
    return (await _look_up(connection, names))[0]


async def require_topics(
    connection: Connection, names: Collection[str], *, uncompacted: Collection[str] = ()
) -> dict[str, Topic]:
    """These topics, every one.

    Raises:
        BusUnavailable: no broker answers, or a topic is missing, or is not visible, or is
            compacted though it is one of `uncompacted`.
    """
    until = asyncio.get_running_loop().time() + _MISSING_SECONDS
    topics, hidden = await _look_up(connection, names)
    while set(names) - set(topics) - hidden and asyncio.get_running_loop().time() < until:
        # a broker knows of a new topic later than another one
        await asyncio.sleep(_ASK_AGAIN_SECONDS)
        topics, hidden = await _look_up(connection, names)
    if hidden:
        raise BusUnavailable(
            f"Kafka at {connection.bootstrap_servers} does not grant access to topic"
            f" {', '.join(sorted(hidden))}; grant Read on what is consumed and Write on what is"
            " written."
        )
    missing = sorted(set(names) - set(topics))
    if missing:
        raise BusUnavailable(
            f"Kafka at {connection.bootstrap_servers} has no topic {', '.join(missing)};"
            " create it, or name another in the settings."
        )
    for name in uncompacted:
        if topics[name].is_compacted:
            raise BusUnavailable(
                f"The dead-letter topic {name} is compacted (cleanup.policy): it would refuse dead"
                " letters without a key and drop all but the last of each key; set"
                " cleanup.policy=delete, or name another topic in output.dead_letter_topic."
            )
    return topics


async def _look_up(
    connection: Connection, names: Collection[str]
) -> tuple[dict[str, Topic], set[str]]:
    """The topics that exist, and the names of those that are not visible."""
    async with connection.connecting():
        async with asyncio.timeout(_CONNECT_SECONDS):
            admin = AIOKafkaAdminClient(**connection.arguments())
            try:
                await admin.start()
                while True:
                    try:
                        return await _describe(admin, names)
                    except (KafkaConnectionError, LeaderNotAvailableError, NodeNotReadyError):
                        # the client asks any broker that it knows, and one of them may be down
                        await asyncio.sleep(_ASK_AGAIN_SECONDS)
            finally:
                await admin.close()


async def _describe(
    admin: AIOKafkaAdminClient, names: Collection[str]
) -> tuple[dict[str, Topic], set[str]]:
    # by name: else a topic that is not visible would look like one that does not exist
    request = MetadataRequest(list(names), allow_auto_topic_creation=False)
    answer = (await admin._send_request(request)).to_object()  # noqa: SLF001
    faults = {topic["topic"]: for_code(topic["error_code"]) for topic in answer["topics"]}
    if set(faults.values()).difference(_NOT_THERE, {NoError}):
        # a passing error: with it the answer names no partitions
        raise LeaderNotAvailableError
    known = {
        topic["topic"]: len(topic["partitions"])
        for topic in answer["topics"]
        if faults[topic["topic"]] not in _NOT_THERE
    }
    configs = await _configs(admin, known)
    topics = {}
    for name, count in known.items():
        found = configs.get(name, {})
        size = int(found.get("max.message.bytes") or _DEFAULT_MAX_BYTES)
        is_compacted = "compact" in (found.get("cleanup.policy") or "")
        topics[name] = Topic(name, count, size, is_compacted)
    return topics, {n for n, fault in faults.items() if fault is TopicAuthorizationFailedError}


async def create_topics(
    connection: Connection,
    names: Collection[str],
    *,
    partitions: int,
    replicas: int = 1,
    **configs: str,
) -> None:
    """Create topics, and return when they can be used; those that exist stay as they are.

    Raises:
        BusUnavailable: no broker answers, or it refuses.
    """
    created = []
    async with connection.connecting():
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
            await _until_controlled(admin)
            response = await admin.create_topics(wanted)
            for name, code, *_ in response.topic_errors:
                error = for_code(code)
                if code and error is not TopicAlreadyExistsError:
                    raise BusUnavailable(f"The topic {name} cannot be created: {error.__name__}.")
                if not code:
                    created.append(name)
            await _until_led(admin, created)
        finally:
            await admin.close()


async def _until_controlled(admin: AIOKafkaAdminClient) -> None:
    """Wait until the brokers name a controller; the client fails on metadata without one."""
    client = admin._client  # noqa: SLF001
    async with asyncio.timeout(_CONNECT_SECONDS):
        while client.cluster.controller is None:
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            await client.force_metadata_update()


async def _until_led(admin: AIOKafkaAdminClient, names: Collection[str]) -> None:
    """Wait for a leader of each partition: a broker knows of a topic some time after it is made."""
    request = MetadataRequest(list(names), allow_auto_topic_creation=False)
    async with asyncio.timeout(_CONNECT_SECONDS):
        while names:
            answer = (await admin._send_request(request)).to_object()  # noqa: SLF001
            faults = {for_code(topic["error_code"]) for topic in answer["topics"]}
            faults |= {for_code(p["error_code"]) for t in answer["topics"] for p in t["partitions"]}
            if not faults.intersection(_NOT_YET):
                return
            await asyncio.sleep(_LOOK_AGAIN_SECONDS)


async def _configs(
    admin: AIOKafkaAdminClient, names: Collection[str]
) -> dict[str, dict[str, str | None]]:
    if not names:
        return {}
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    try:
        responses = await admin.describe_configs(wanted)
    except (KafkaConnectionError, NodeNotReadyError):
        raise
    except KafkaError:
        return {}  # without the right to describe configs, Kafka's defaults are the best guess
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for response in responses
        for _, _, _, name, entries in response.resources
    }
