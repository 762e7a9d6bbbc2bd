"""Checks the settings against the actual brokers, topics, access rights and model."""

from collections.abc import Awaitable
from dataclasses import dataclass

from worker.adapters.kafka.connection import Connection, require_topics
from worker.adapters.kafka.rights import find_missing_rights
from worker.domain.errors import BusUnavailable, EngineUnavailable, Fatal, Retriable
from worker.runtime.build import build_judging, build_transactions
from worker.runtime.connection import build_connection
from worker.runtime.settings import Settings


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check."""

    check: str
    passed: bool
    text: str


async def check_settings(settings: Settings, *, load: bool = False) -> list[CheckResult]:
    """Run all checks, in the order in which a starting worker needs them.

    Args:
        settings: the settings to check.
        load: load the model too.
    """
    connection = build_connection(settings)
    output = settings.output
    results = [await _attempt("brokers", _brokers(settings, connection))]
    if results[0].passed:
        for name, topics in (
            ("input topics", settings.input.topics),
            ("verdict topic", [output.verdict_topic]),
            ("dead-letter topic", [output.dead_letter_topic]),
        ):
            uncompacted = topics if name == "dead-letter topic" else []
            results.append(await _attempt(name, _topics(connection, topics, uncompacted)))
        results.append(await _attempt("rights", _rights(settings, connection)))
        if settings.delivery.guarantee == "exactly_once":
            results.append(await _attempt("transactions", _transactions(settings, connection)))
    results.append(await _attempt("model", _model(settings, load=load)))
    return results


async def _attempt(name: str, check: Awaitable[str]) -> CheckResult:
    try:
        return CheckResult(name, passed=True, text=await check)
    except Fatal as error:
        return CheckResult(name, passed=False, text=str(error))


async def _brokers(settings: Settings, connection: Connection) -> str:
    await require_topics(connection, [])
    kafka = settings.kafka
    protocol = kafka.security_protocol
    mechanism = f", {kafka.sasl_mechanism}" if protocol.startswith("SASL") else ""
    return f"{kafka.bootstrap_servers} ({protocol}{mechanism})"


async def _topics(connection: Connection, names: list[str], uncompacted: list[str]) -> str:
    found = await require_topics(connection, names, uncompacted=uncompacted)
    return ", ".join(
        f"{t.name} ({t.partitions} partitions, {t.max_bytes:,} bytes)" for t in found.values()
    )


async def _rights(settings: Settings, connection: Connection) -> str:
    output = settings.output
    rights = await find_missing_rights(
        connection,
        reads=settings.input.topics,
        writes=[output.verdict_topic, output.dead_letter_topic],
        group_id=settings.input.group_id,
    )
    if rights is None:
        return "not checked: these brokers do not report access rights"
    if rights.missing:
        raise BusUnavailable(
            f"Kafka does not grant {', '.join(rights.missing)}; grant what docs/security.md lists."
        )
    if rights.unsized:
        return (
            f"complete; without DescribeConfigs on {', '.join(sorted(rights.unsized))}"
            " Kafka's default for the largest record is assumed"
        )
    return "complete"


async def _transactions(settings: Settings, connection: Connection) -> str:
    group = settings.input.group_id
    found = build_transactions(settings, connection)
    await found.start()
    try:
        transactor = await found.open(f"{group}.check")
    except Retriable as error:
        raise BusUnavailable(f"Transactions are not possible: {error}") from error
    await transactor.close()
    return f"group {group} may use transactional ids that begin with {group}."


async def _model(settings: Settings, *, load: bool) -> str:
    judging = build_judging(settings)
    if settings.engine.kind == "simulated":
        if not settings.engine.simulated.allowed:
            raise EngineUnavailable(
                "The simulated engine judges nothing: set engine.kind to vllm, or, for a rehearsal,"
                " engine.simulated.allowed."
            )
        return "simulated, as allowed"
    if load:
        await judging.start()
        await judging.stop()
        return f"{settings.engine.model} loads"
    return f"{settings.engine.model} is available (--load loads it)"
