"""Settings of the brokers, and of what is read from and written to them."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator

from worker.decoding.mapping import JmesPath
from worker.policy.shapes.names import ShapeName
from worker.runtime.settings.group import Count, Group, PositiveSeconds, Seconds, Share
from worker.runtime.settings.registry import RegistrySettings


class OauthSettings(Group):
    """Where tokens for `OAUTHBEARER` come from: the client credentials grant."""

    token_endpoint_url: str | None = Field(
        None, pattern="^https?://", description="Where the identity provider issues tokens."
    )
    client_id: str | None = Field(None, description="As the identity provider knows the worker.")
    client_secret: SecretStr | None = Field(
        None, description="Prefer `kafka.oauth.client_secret_file`."
    )
    client_secret_file: Path | None = Field(None, description="Read again for each token.")
    scope: str | None = Field(None, description="Scopes to ask for, separated by spaces.")
    ca_file: Path | None = Field(None, description="CA certificates for the token endpoint, PEM.")


class KafkaSettings(Group):
    """Connection to the brokers."""

    bootstrap_servers: str = Field("localhost:9092", description="Brokers, comma separated.")
    connect_timeout_seconds: PositiveSeconds | None = Field(
        None,
        description="How long `run` waits at startup for unreachable brokers; without limit if"
        " unset. Other commands do not wait.",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="`docs/security.md` has an example of each."
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] = Field(
        "PLAIN", description="For the protocols with SASL."
    )
    username: str | None = Field(None, description="For PLAIN and SCRAM.")
    password: SecretStr | None = Field(None, description="Prefer `kafka.password_file`.")
    password_file: Path | None = Field(None, description="Read when a client is created.")
    ca_file: Path | None = Field(
        None, description="Trusted CA certificates, PEM; the system's if unset."
    )
    certificate_file: Path | None = Field(
        None,
        description="Client certificate for mTLS, PEM; read again before a handshake if it"
        " changed.",
    )
    key_file: Path | None = Field(
        None, description="Key of the client certificate, unless it is in the same file."
    )
    key_password_file: Path | None = Field(
        None, description="Holds the password of an encrypted key."
    )
    client_id: str = Field(
        "guardstream", description="Names this client in the logs and quotas of the brokers."
    )
    oauth: OauthSettings = OauthSettings()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        for name, group in (("kafka.password", self), ("kafka.oauth.client_secret", self.oauth)):
            key = name.rpartition(".")[2]
            if getattr(group, key) and getattr(group, f"{key}_file"):
                raise ValueError(f"{name} and {name}_file are both set; keep one")
        if self.security_protocol.startswith("SASL"):
            missing = self._missing()
            if missing:
                raise ValueError(f"{self.sasl_mechanism} needs {' and '.join(missing)}")
        return self

    def _missing(self) -> list[str]:
        oauth = self.oauth
        if self.sasl_mechanism == "OAUTHBEARER":
            needed: dict[str, object] = {
                "kafka.oauth.token_endpoint_url": oauth.token_endpoint_url,
                "kafka.oauth.client_id": oauth.client_id,
                "kafka.oauth.client_secret_file": oauth.client_secret or oauth.client_secret_file,
            }
        else:
            needed = {
                "kafka.username": self.username,
                "kafka.password_file": self.password or self.password_file,
            }
        return [name for name, value in needed.items() if not value]


class InputSettings(Group):
    """What is consumed."""

    topics: list[str] = Field(["chat-events"], min_length=1, description="Read from these topics.")
    group_id: str = Field(
        "guardstream",
        min_length=1,
        description="Consumer group: replicas with the same one share the partitions, and offsets"
        " are committed for it.",
    )
    group_instance_id: str | None = Field(
        None,
        min_length=1,
        description="A name unique to this worker (static membership): a restart within the session"
        " moves no partition.",
    )
    session_timeout_seconds: PositiveSeconds = Field(
        10.0, description="Time without a heartbeat after which the group evicts a worker."
    )
    isolation_level: Literal["read_committed", "read_uncommitted"] = Field(
        "read_committed", description="Whether records of aborted transactions are judged too."
    )
    framing: Literal["none", "confluent", "registry"] = Field(
        "none",
        description="`confluent`: the wire format of a schema registry's serialisers. Values"
        " begin with byte 0 and a schema id, or have the id in the header `__value_schema_id`;"
        " only JSON is supported. `registry`: the same, and Avro, Protobuf and JSON are read by"
        " their schemas (`docs/registry.md`).",
    )
    registry: RegistrySettings = RegistrySettings()
    mapping: str = Field(
        "none",
        min_length=1,
        description="How records become events: `none` for records that are events, the name of a"
        " preset, or the path of a mapping file; see `docs/adopt.md`.",
    )
    judge: Literal["last", "every"] = Field(
        "last",
        description="Which exchanges of a conversation are judged: the last one, or every one.",
    )
    exchanges_per_record: Count = Field(
        1000,
        description="Limit; a record that holds more becomes a dead letter, since all of its"
        " exchanges are in memory at once.",
    )
    keep: JmesPath | None = Field(
        None,
        description="A JMESPath expression over the fields of an event; events for which it is"
        " false, null or empty are skipped and counted.",
    )
    sample: Share = Field(
        1.0,
        description="Share of conversations that are judged, the same ones on each worker; the"
        " others are skipped and counted.",
    )
    start_from: Literal["earliest", "latest"] = Field(
        "earliest", description="Where a group without committed offsets starts."
    )
    on_offset_lost: Literal["earliest", "latest"] | None = Field(
        None,
        description="Where to resume after retention deleted unread records; the worker stops if"
        " unset.",
    )
    queued_records_per_partition: Count = Field(
        512, description="A partition with more records waiting is paused."
    )
    queued_bytes_per_partition: Count = Field(
        16 << 20, description="A partition with more bytes waiting is paused."
    )
    queued_bytes: Count = Field(256 << 20, description="Limit over all partitions.")
    unsettled_records_per_partition: Count = Field(
        4096, description="Records read past one slow record before its partition is paused."
    )

    @model_validator(mode="after")
    def _has_registry(self) -> Self:
        if self.framing == "registry" and self.registry.url is None:
            raise ValueError("input.framing registry needs input.registry.url")
        return self


class OutputSettings(Group):
    """Where outcomes go."""

    verdict_topic: str = Field(
        "moderation-verdicts", min_length=1, description="Gets a verdict for each exchange judged."
    )
    dead_letter_topic: str = Field(
        "moderation-dead-letters",
        min_length=1,
        description="Gets the records that cannot be judged, with the reason in their headers.",
    )
    decision_topic: str = Field(
        "moderation-decisions",
        min_length=1,
        description="Gets a decision for each verdict, where `policy.file` is set.",
    )
    decision_shape: ShapeName = Field(
        "guardstream", description="The JSON of decisions: Guardstream's own, or another system's."
    )
    coop_item_type: str = Field(
        "guardstream-decision",
        min_length=1,
        description="Shape `coop`: the id of the item type, as Coop's dashboard shows it.",
    )
    reasoning: Literal["full", "none"] = Field(
        "full",
        description="`none` leaves the reasoning out of verdicts; reasoning can quote chat text.",
    )
    cloudevents: bool = Field(
        False,
        description="Add `ce_*` headers, which make verdicts and decisions CloudEvents (binary).",
    )


class DeliverySettings(Group):
    """When offsets move."""

    guarantee: Literal["at_least_once", "exactly_once"] = Field(
        "at_least_once",
        description="`exactly_once` requires `read_committed` consumers of the outputs.",
    )
    commit_interval_seconds: PositiveSeconds = Field(
        1.0, description="`at_least_once`: the longest time between two commits of a partition."
    )
    transaction_max_records: Count = Field(
        500, description="`exactly_once`: the most records of one transaction."
    )
    transaction_interval_seconds: Seconds = Field(
        0.2,
        description="How long after a partition's last transaction judged records wait for more; at"
        " low load they do not wait.",
    )
    transactions_per_second: float = Field(
        50.0,
        gt=0,
        description="Limit over all partitions; with many partitions, transactions wait longer.",
    )
    transaction_timeout_seconds: PositiveSeconds = Field(
        20.0,
        description="Time after which the brokers abort the transaction of a worker that is gone.",
    )
