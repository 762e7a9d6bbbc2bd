"""The properties of an embedded broker: one node that is broker and controller, on loopback."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

HOST = "127.0.0.1"

_NODE_ID = 1
_ONE_NODE: Mapping[str, str] = MappingProxyType(
    {
        "process.roles": "broker,controller",
        "node.id": str(_NODE_ID),
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        # One broker, so one replica of everything.
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        # Every partition costs files and start-up time.
        "offsets.topic.num.partitions": "3",
        "transaction.state.log.num.partitions": "3",
        "share.coordinator.state.topic.num.partitions": "3",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker may come back only when its session has run out: 9 s by default.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # A topic that nobody created is a mistake that should show.
        "auto.create.topics.enable": "false",
    }
)


def for_node(data: Path, client_port: int, controller_port: int) -> dict[str, str]:
    """Return all properties of the node that keeps its data there and listens on these ports."""
    listeners = f"PLAINTEXT://{HOST}:{client_port},CONTROLLER://{HOST}:{controller_port}"
    return {
        **_ONE_NODE,
        "controller.quorum.voters": f"{_NODE_ID}@{HOST}:{controller_port}",
        "listeners": listeners,
        "advertised.listeners": listeners,
        "log.dirs": str(data),
    }


def text(properties: Mapping[str, str]) -> str:
    """Return the text of a Java properties file, which is ASCII with escapes."""
    text = "".join(f"{name}={value}\n" for name, value in properties.items())
    return "".join(
        character if character.isascii() else _java_escape(character)
        for character in text.replace("\\", "\\\\")
    )


def _java_escape(character: str) -> str:
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
