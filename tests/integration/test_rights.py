"""The rights that docs/security.md lists are enough, and each of them is needed and named."""

import asyncio
import dataclasses
import re
import time
import uuid
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from tests.integration.harness import GUARANTEES, event, produce, until
from worker.adapters.kafka.connection import Connection, create_topics
from worker.adapters.kafka.reader import committed_offsets
from worker.demo.kafka.broker import Broker, free_ports
from worker.demo.kafka.broker_properties import HOST, Node
from worker.domain.records import OutgoingRecord
from worker.operator.preflight import check_settings
from worker.policy.file import STARTER
from worker.runtime.settings import load_settings
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
ROW = re.compile(
    r"^\| (Read|Write) \| (Topic|Group|TransactionalId) \| `([a-z_.]+)`( and `\.`, prefixed)?"
    r" \| (both guarantees|`exactly_once`)(?:, with `policy\.file`)? \|$",
    re.MULTILINE,
)
RIGHTS = [
    (right, kind, setting, ".", guarantee) if prefixed else (right, kind, setting, "", guarantee)
    for right, kind, setting, prefixed, guarantee in ROW.findall(DOCUMENT.read_text("utf-8"))
]
# Kafka's numbers
KINDS = {"Topic": 2, "Group": 3, "TransactionalId": 5}
OPERATIONS = {"Read": 3, "Write": 4, "DescribeConfigs": 10}
LITERAL, PREFIXED, ALLOW = 3, 4, 3


def needed(guarantee):
    return [r for r in RIGHTS if r[4] == "both guarantees" or guarantee in r[4]]


@pytest.fixture(scope="module")
def node():
    own, controller, users = free_ports(3)
    node = Node(1, own, controller)
    listeners = (
        f"PLAINTEXT://{node.address},CONTROLLER://{HOST}:{controller},USERS://{HOST}:{users}"
    )
    properties = {
        "listeners": listeners,
        "advertised.listeners": listeners,
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,USERS:SASL_PLAINTEXT"
        ),
        "listener.name.users.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.users.plain.sasl.jaas.config": (
            'org.apache.kafka.common.security.plain.PlainLoginModule required user_worker="secret";'
        ),
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # whoever comes by the other listeners has no name
        "super.users": "User:ANONYMOUS",
    }
    with Broker(node=node, properties=properties):
        yield node.address, f"{HOST}:{users}"


@pytest.fixture
async def world(node):
    """Settings of a worker that has no rights yet, and what grants it some."""
    unbound, users = node
    connection = Connection(unbound)

    async def make(guarantee, partitions=1):
        name = uuid.uuid4().hex[:8]
        topics = [f"events-{name}", f"verdicts-{name}", f"dead-{name}", f"decisions-{name}"]
        await create_topics(connection, topics, partitions=partitions)
        quick = {"time_to_first_token_seconds": 0.01, "time_per_output_token_seconds": 0.0}
        return load_settings(
            kafka={
                "bootstrap_servers": users,
                "security_protocol": "SASL_PLAINTEXT",
                "username": "worker",
                "password": "secret",
            },
            input={"topics": topics[:1], "group_id": f"group-{name}"},
            output=dict(
                zip(
                    ("verdict_topic", "dead_letter_topic", "decision_topic"),
                    topics[1:],
                    strict=True,
                )
            ),
            policy={"file": str(STARTER)},
            delivery={"guarantee": guarantee},
            engine={"kind": "simulated", "simulated": quick | {"allowed": True}},
            health={"port": 0},
        )

    return connection, make


async def grant(connection, settings, rights):
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    for right, kind, setting, ending, _ in rights:
        pattern = PREFIXED if ending else LITERAL
        request = CreateAclsRequest(
            *(KINDS[kind], named(settings, setting) + ending, pattern),
            *("User:worker", "*", OPERATIONS[right], ALLOW),
        )
        answer = await admin._send_request(request)
        assert [response[0] for response in answer.creation_responses] == [0], answer
    await admin.close()


async def revoke(connection, settings, right):
    operation, kind, setting, ending, _ = right
    admin = AIOKafkaAdminClient(**connection.arguments())
    await admin.start()
    pattern = PREFIXED if ending else LITERAL
    request = DeleteAclsRequest(
        *(KINDS[kind], named(settings, setting) + ending, pattern),
        *("User:worker", "*", OPERATIONS[operation], ALLOW),
    )
    answer = await admin._send_request(request)
    assert [response[0] for response in answer.filter_responses] == [0], answer
    await admin.close()


def named(settings, setting):
    group, _, key = setting.partition(".")
    value = getattr(getattr(settings, group), key)
    return value[0] if isinstance(value, list) else value


async def check(settings, until_holds):
    """The results by name; it takes a moment until the brokers apply a grant."""
    deadline = time.monotonic() + 20
    while True:
        found = {f.check: f for f in await check_settings(settings)}
        failing = {name for name, finding in found.items() if not finding.passed}
        if until_holds(failing) or time.monotonic() > deadline:
            return found, failing
        await asyncio.sleep(0.2)


def test_the_document_lists_rights():
    assert len(needed("at_least_once")) == 5
    assert len(needed("exactly_once")) == 6


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_a_worker_works_with_these_rights_alone(world, guarantee):
    connection, make = world
    settings = await make(guarantee)
    await grant(connection, settings, needed(guarantee))
    found, failing = await check(settings, lambda failing: not failing)
    assert not failing, found
    assert "without DescribeConfigs on" in found["rights"].text
    topic = settings.input.topics[0]
    bad = OutgoingRecord(topic, b"2", b"not an event", ())
    await produce(connection, topic, [event(topic, "1"), bad])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: sum(worker.outcomes.values()) == 2 or running.done(), 30)
    worker.stop()
    await running
    assert worker.outcomes == {"verdict": 1, "dead_letter": 1}
    ((_, committed, end),) = await committed_offsets(connection, topic, settings.input.group_id)
    assert committed == end


def name_of(right):
    return "-".join(right[:3])


@pytest.mark.parametrize("missing", needed("exactly_once"), ids=name_of)
async def test_a_right_that_is_missing_is_named(world, missing):
    connection, make = world
    settings = await make("exactly_once")
    await grant(connection, settings, [r for r in needed("exactly_once") if r != missing])
    right, kind, setting, *_ = missing
    expected = {"transactions"} if kind == "TransactionalId" else {"rights"}
    found, failing = await check(settings, lambda failing: expected <= failing and len(failing) < 4)
    assert expected <= failing, found
    if kind == "TransactionalId":
        group = settings.input.group_id
        assert failing == expected
        assert f"transactional id {group}.check; grant Write" in found["transactions"].text
    else:
        assert f"not grant {right} on {kind.lower()} {named(settings, setting)};" in (
            found["rights"].text
        )
        assert found["rights"].text.count(" on ") == 1, found


@pytest.mark.parametrize("guarantee", GUARANTEES)
async def test_a_right_that_is_lost_meanwhile_holds_up_what_needs_it(world, guarantee):
    connection, make = world
    settings = await make(guarantee, partitions=2)
    await grant(connection, settings, needed(guarantee))
    await check(settings, lambda failing: not failing)
    topic, dead_letters = settings.input.topics[0], settings.output.dead_letter_topic
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.held == 2 or running.done(), 30)
    lost = ("Write", "Topic", "output.dead_letter_topic", "", "")
    await revoke(connection, settings, lost)
    bad = OutgoingRecord(topic, None, b"not an event", (), 0)
    good = [dataclasses.replace(event(topic, str(n)), partition=1) for n in range(5)]
    await produce(connection, topic, [bad, *good])
    await until(lambda: worker.settled == 5 or running.done(), 40)
    await until(lambda: worker._ready().reasons or running.done(), 40)
    assert not running.done()
    (reason,) = worker._ready().reasons
    assert f"{dead_letters} takes no record: TOPIC_AUTHORIZATION_FAILED" in reason
    assert f"{topic}/0 is held back" in reason
    await grant(connection, settings, [lost])
    await until(lambda: worker.settled == 6 or running.done(), 60)
    worker.stop()
    await running
    assert worker.outcomes["dead_letter"] >= 1


async def test_with_describe_configs_sizes_are_known(world):
    connection, make = world
    settings = await make("at_least_once")
    sized = [
        ("DescribeConfigs", "Topic", setting, "", "")
        for setting in ("output.verdict_topic", "output.dead_letter_topic", "output.decision_topic")
    ]
    await grant(connection, settings, [*needed("at_least_once"), *sized])
    found, _ = await check(settings, lambda failing: not failing)
    assert found["rights"].text == "complete"
