"""Three Kafka nodes on loopback, any of which may die and come back."""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Self

from worker.adapters.kafka.connection import Connection, create_topics
from worker.demo.kafka.broker import Broker, free_ports
from worker.demo.kafka.broker_properties import HOST, Node

NODES = 3
MAX_RECORD_BYTES = 3 << 20
# how soon the coordinator misses a silent worker; not less than the brokers allow
SESSION_SECONDS = 6.0


class Cluster:
    """A context manager; the methods block, and may be called from any thread.

    Every node has a second listener, for clients whose network is to be troubled: it is advertised
    at a port of its own, where a proxy (`network`) may listen.
    """

    def __init__(self) -> None:
        ports = iter(free_ports(4 * NODES))
        self.nodes = [Node(n + 1, next(ports), next(ports)) for n in range(NODES)]
        self.proxied = {node.number: (next(ports), next(ports)) for node in self.nodes}
        self._brokers = {
            node.number: Broker(
                node=node,
                cluster=self.nodes,
                properties=self._properties(node),
                heap_mebibytes=256,
            )
            for node in self.nodes
        }

    def __enter__(self) -> Self:
        try:
            self._all(Broker.start)
        except BaseException:
            self._all(Broker.close)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._all(Broker.close)

    @property
    def connection(self) -> Connection:
        """The way to the brokers that nobody troubles."""
        return Connection(",".join(node.address for node in self.nodes), client_id="chaos")

    @property
    def proxied_servers(self) -> str:
        """The bootstrap servers behind the proxies."""
        return ",".join(f"{HOST}:{outside}" for outside, _ in self.proxied.values())

    def kill(self, number: int) -> None:
        """Kill a node as a crash would."""
        self._brokers[number].kill()

    def stop(self, number: int) -> None:
        """Shut a node down in good order: it gives its leaders away first."""
        self._brokers[number].stop()

    def restart(self, number: int) -> None:
        """Start a node that was killed or stopped; returns when it serves."""
        self._brokers[number].start()

    def log(self, number: int) -> bytes:
        """What a node has written so far."""
        return self._brokers[number].log_path.read_bytes()

    def log_sizes(self) -> dict[int, int]:
        """How much each node has written so far."""
        return {n: broker.log_path.stat().st_size for n, broker in self._brokers.items()}

    def keep_logs(self, folder: Path, since: Mapping[int, int]) -> None:
        """Copy what each node has written since then into a folder."""
        for number, size in since.items():
            (folder / f"broker-{number}.log").write_bytes(self.log(number)[size:])

    async def create(
        self, name: str, partitions: int, configs: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """Create a replicated topic, and wait until clients see it."""
        async with asyncio.timeout(60):
            await create_topics(
                self.connection, [name], partitions=partitions, replicas=NODES, **configs
            )

    def _properties(self, node: Node) -> dict[str, str]:
        outside, inside = self.proxied[node.number]
        own = f"PLAINTEXT://{node.address}"
        controller = f"CONTROLLER://{HOST}:{node.controller_port}"
        protocols = ("PLAINTEXT", "CONTROLLER", "PROXIED")
        return {
            "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in protocols),
            "listeners": f"{own},{controller},PROXIED://{HOST}:{inside}",
            "advertised.listeners": f"{own},{controller},PROXIED://{HOST}:{outside}",
            "message.max.bytes": str(MAX_RECORD_BYTES),
            "group.min.session.timeout.ms": "1000",
            # a follower that died is out of the way soon
            "replica.lag.time.max.ms": "5000",
            # a transaction whose worker is gone is not open for long
            "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        }

    def _all(self, what) -> None:
        with ThreadPoolExecutor(NODES) as pool:
            list(pool.map(what, self._brokers.values()))
