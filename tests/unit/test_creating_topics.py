"""Topics are created where the brokers name no controller at first, as during an election."""

from types import SimpleNamespace

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from worker.adapters.kafka import connection
from worker.adapters.kafka.connection import Connection, create_topics


@pytest.fixture
def admin(monkeypatch):
    """The library's client, with metadata that names a controller from the third time on."""
    asked = []

    async def nothing(*_):
        pass

    async def metadata(self):
        asked.append("metadata")
        if len(asked) > 2:
            self.cluster.controller = SimpleNamespace(nodeId=1)

    async def send(_self, node, _request):
        asked.append(node)
        return SimpleNamespace(topic_errors=[("events", 36, None)])  # it exists

    monkeypatch.setattr(connection, "_LOOK_AGAIN_SECONDS", 0)
    for name in ("start", "close"):
        monkeypatch.setattr(AIOKafkaAdminClient, name, nothing)
    monkeypatch.setattr(
        "aiokafka.client.AIOKafkaClient.force_metadata_update", metadata, raising=True
    )
    monkeypatch.setattr(AIOKafkaAdminClient, "_send_request_to_node", send)
    return asked


async def test_it_waits_for_a_controller(admin):
    await create_topics(Connection("localhost:1"), ["events"], partitions=1)
    assert admin == ["metadata"] * 3 + [1]
