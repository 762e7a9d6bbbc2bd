"""Checks the settings against the actual brokers, topics, access rights, policies and model."""

import asyncio
from collections.abc import Awaitable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from worker.adapters.kafka.connection import Connection, require_topics
from worker.adapters.kafka.reader import newest_records
from worker.adapters.kafka.rights import find_missing_rights
from worker.domain.errors import (
    BusUnavailable,
    EngineUnavailable,
    Fatal,
    Retriable,
    UnusableFile,
    WrongSetting,
)
from worker.operator.understanding import Understanding
from worker.policy.policy import load_policy
from worker.runtime.build import build_judging, build_transactions
from worker.runtime.connection import build_connection
from worker.runtime.decoding import build_decoder
from worker.runtime.settings import Settings
from worker.runtime.topics import names_of, output_topics, uncompacted

# newest records of the input topics that are decoded
_SAMPLED = 100
# for what is needed to decode them
_LOAD_SECONDS = 30.0


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
    results = [await _attempt("brokers", _brokers(settings, connection))]
    if results[0].passed:
        check = _topics(connection, settings.input.topics, [])
        results.append(await _attempt("input topics", check))
        if results[-1].passed:
            results.append(await _attempt("input records", _records(settings, connection)))
        for topic in output_topics(settings):
            check = _topics(connection, [topic.name], uncompacted((topic,)))
            results.append(await _attempt(topic.title, check))
        results.append(await _attempt("rights", _rights(settings, connection)))
        if settings.delivery.guarantee == "exactly_once":
            results.append(await _attempt("transactions", _transactions(settings, connection)))
    for use, path in (
        ("policy", settings.policy.file),
        ("shadow policy", settings.policy.shadow_file),
    ):
        if path is not None:
            results.append(await _attempt(use, _policy(path)))
    results.append(await _attempt("model", _model(settings, load=load)))
    return results


async def _attempt(name: str, check: Awaitable[str]) -> CheckResult:
    try:
        return CheckResult(name, passed=True, text=await check)
    except (Fatal, UnusableFile) as error:
        return CheckResult(name, passed=False, text=str(error))


async def _brokers(settings: Settings, connection: Connection) -> str:
    await require_topics(connection, [])
    kafka = settings.kafka
    protocol = kafka.security_protocol
    mechanism = f", {kafka.sasl_mechanism}" if protocol.startswith("SASL") else ""
    return f"{kafka.bootstrap_servers} ({protocol}{mechanism})"


async def _topics(connection: Connection, names: list[str], never_compacted: list[str]) -> str:
    found = await require_topics(connection, names, uncompacted=never_compacted)
    return ", ".join(
        f"{t.name} ({t.partitions} partitions, {t.max_bytes:,} bytes)" for t in found.values()
    )


async def _records(settings: Settings, connection: Connection) -> str:
    """How many of the newest records of the input topics the settings understand."""
    decoder, found = build_decoder(settings), Understanding()
    async with aclosing(newest_records(connection, settings.input.topics, _SAMPLED)) as newest:
        records = [record async for record in newest if record.value is not None]
    try:
        async with asyncio.timeout(_LOAD_SECONDS):
            await decoder.load(records)
    except TimeoutError:
        raise BusUnavailable("What is needed to read the records is not available.") from None
    for record in records:
        found.add(str(record), decoder.decode(record))
    if not records:
        return "there are none yet"
    if not found.understood:
        raise WrongSetting(f"{found.in_a_line} Set input.mapping, see `guardstream map`.")
    return found.in_a_line


async def _rights(settings: Settings, connection: Connection) -> str:
    rights = await find_missing_rights(
        connection,
        reads=settings.input.topics,
        writes=names_of(output_topics(settings)),
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


async def _policy(path: str) -> str:
    policy = load_policy(Path(path))
    file, count = policy.file, len(policy.file.rules)
    return f"{file.name}, version {file.version}: {count} rule{'' if count == 1 else 's'}"


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
