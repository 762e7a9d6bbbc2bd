"""The properties of an embedded broker: a node that is broker and controller, on loopback."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

HOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Node:
    """The number and ports of a broker in its cluster."""

    number: int
    client_port: int
    controller_port: int

    @property
    def address(self) -> str:
        """The address for clients."""
        return f"{HOST}:{self.client_port}"


_EVERY_NODE: Mapping[str, str] = MappingProxyType(
    {
        "process.roles": "broker,controller",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        # Every partition costs files and start-up time.
        "offsets.topic.num.partitions": "3",
        "transaction.state.log.num.partitions": "3",
        "share.coordinator.state.topic.num.partitions": "3",
        "group.initial.rebalance.delay.ms": "0",
        # A killed broker can rejoin only after its session has expired: 9 s by default.
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        # A missing topic is an error that should be visible.
        "auto.create.topics.enable": "false",
    }
)


def for_node(data: Path, node: Node, cluster: Sequence[Node]) -> dict[str, str]:
    """Return all properties of a node with this data folder, in a cluster of these nodes."""
    listeners = f"PLAINTEXT://{HOST}:{node.client_port},CONTROLLER://{HOST}:{node.controller_port}"
    voters = (f"{n.number}@{HOST}:{n.controller_port}" for n in cluster)
    return {
        **_EVERY_NODE,
        **_replication(len(cluster)),
        "node.id": str(node.number),
        "controller.quorum.voters": ",".join(voters),
        "listeners": listeners,
        "advertised.listeners": listeners,
        "log.dirs": str(data),
    }


def _replication(nodes: int) -> dict[str, str]:
    """Three replicas, of which one may be missing, or fewer in a smaller cluster."""
    replicas = min(nodes, 3)
    in_sync = max(replicas - 1, 1)
    topics = ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic")
    return {
        "default.replication.factor": str(replicas),
        "min.insync.replicas": str(in_sync),
        **{f"{topic}.replication.factor": str(replicas) for topic in topics},
        "transaction.state.log.min.isr": str(in_sync),
        "share.coordinator.state.topic.min.isr": str(in_sync),
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
