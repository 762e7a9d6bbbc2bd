"""Partitions in the client's terms and in the worker's."""

from aiokafka import TopicPartition

from worker.domain.records import Partition


def to_kafka(partition: Partition) -> TopicPartition:
    """The client's name of a partition."""
    return TopicPartition(partition.topic, partition.number)


def from_kafka(partition: TopicPartition) -> Partition:
    """The worker's name of a partition."""
    return Partition(partition.topic, partition.partition)
