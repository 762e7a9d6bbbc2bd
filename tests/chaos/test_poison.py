"""One record of each kind that ends its worker, among 5,000 events, and workers that come back."""

import asyncio
import random
import uuid

import orjson
import pytest

from tests.chaos import evidence
from tests.chaos.cluster import SESSION_SECONDS
from tests.chaos.feed import KIND, NUMBER, value_of
from tests.chaos.oracle import violations
from tests.chaos.poisoned import MARKERS
from tests.chaos.workers import Platform, worker_command
from tests.integration.harness import GUARANTEES, produce
from worker.adapters.kafka.connection import create_topics
from worker.demo.kafka.broker_properties import HOST
from worker.domain.records import OutgoingRecord

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

EVENTS, PARTITIONS = 5_000, 8


def events(topic, seed):
    """Good records with one poison record of each kind, at random places."""
    chance = random.Random(seed)
    kinds = ["good"] * EVENTS
    for place, kind in zip(chance.sample(range(EVENTS), len(MARKERS)), MARKERS, strict=True):
        kinds[place] = kind
    return [
        OutgoingRecord(
            topic,
            str(number).encode(),
            value_of(kind, number, chance),
            ((KIND, kind.encode()), (NUMBER, str(number).encode())),
        )
        for number, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_each_poison_record_ends_in_one_dead_letter(guarantee, connection, tmp_path):
    name = uuid.uuid4().hex[:6]
    topics = [f"events-{name}", f"verdicts-{name}", f"dead-{name}"]
    await create_topics(connection, topics, partitions=PARTITIONS)
    settings = {
        "KAFKA__BOOTSTRAP_SERVERS": connection.bootstrap_servers,
        "INPUT__TOPICS": orjson.dumps(topics[:1]).decode(),
        "INPUT__GROUP_ID": f"group-{name}",
        "INPUT__SESSION_TIMEOUT_SECONDS": str(SESSION_SECONDS),
        "OUTPUT__VERDICT_TOPIC": topics[1],
        "OUTPUT__DEAD_LETTER_TOPIC": topics[2],
        "DELIVERY__GUARANTEE": guarantee,
        "ENGINE__KIND": "simulated",
        "HEALTH__HOST": HOST,
    }
    platform = Platform(
        2,
        folder=tmp_path,
        environment={f"GUARDSTREAM_{key}": value for key, value in settings.items()},
        command=worker_command(poisoned=True),
        engines=("calm",),
        seed=1,
        on_engine=lambda *_: None,
    )
    await produce(connection, topics[0], events(topics[0], seed=name))
    keeping = asyncio.create_task(platform.keep_up())
    try:
        for worker in platform.workers:
            platform.start(worker)
        lag = await evidence.settled(connection, topics[0], f"group-{name}", seconds=400)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await platform.stop()
        platform.abandon()
    deaths = {kind: sum(found.values()) for kind, found in platform.poison_deaths().items()}
    print(f"{guarantee}: deaths {deaths}")
    assert not lag
    given = await evidence.given(connection, topics[0])
    found = await evidence.verdicts(connection, topics[1])
    letters = await evidence.dead_letters(connection, topics[2])
    assert violations(given, found + letters, guarantee=guarantee, acknowledged={}) == []
    assert {letter.error for letter in letters} == {"PoisonRecord"}
    assert len({(letter.partition, letter.offset) for letter in letters}) == len(MARKERS)
    if guarantee == "exactly_once":
        assert len(letters) == len(MARKERS)
        assert len(found) == EVENTS - len(MARKERS)
    assert set(deaths) == set(MARKERS)
    assert all(1 < count <= 4 for count in deaths.values()), deaths
    assert not platform.unexplained()
