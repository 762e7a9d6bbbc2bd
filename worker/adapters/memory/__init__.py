"""A bus in memory: Kafka's semantics for one group member, without Kafka.

For tests of the core, and the reference for the contract that the Kafka adapter must keep.
"""

from worker.adapters.memory.bus import MemoryBus
from worker.adapters.memory.publisher import MemoryPublisher
from worker.adapters.memory.source import MemorySource
from worker.adapters.memory.transactions import MemoryTransactions, MemoryTransactor

__all__ = [
    "MemoryBus",
    "MemoryPublisher",
    "MemorySource",
    "MemoryTransactions",
    "MemoryTransactor",
]
