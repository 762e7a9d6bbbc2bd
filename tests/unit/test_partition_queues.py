from worker.domain.records import Partition
from worker.flow.partition_queues import PartitionQueues, QueueBounds

A, B = Partition("t", 0), Partition("t", 1)


def test_partitions_take_turns_and_keep_their_order(record):
    queues = PartitionQueues(QueueBounds(100, 1 << 20))
    for offset in range(4):
        queues.put(record(partition=A, offset=offset))
    queues.put(record(partition=B, offset=0))
    taken = [(r.partition.number, r.offset) for r in queues.take(10)]
    assert taken == [(0, 0), (1, 0), (0, 1), (0, 2), (0, 3)]
    assert len(queues) == 0


def test_a_full_partition_pauses_once_and_resumes_when_half_is_gone(record):
    queues = PartitionQueues(QueueBounds(4, 1 << 20))
    for offset in range(4):
        queues.put(record(partition=A, offset=offset))
    assert queues.to_pause() == {A}
    assert queues.to_pause() == set()
    queues.take(1)
    assert queues.to_resume() == set()
    queues.take(1)
    assert queues.to_resume() == {A}
    assert queues.to_resume() == set()


def test_bytes_fill_a_partition_as_records_do(record):
    queues = PartitionQueues(QueueBounds(1000, 1000))
    queues.put(record(b"x" * 1001, partition=A))
    queues.put(record(b"x", partition=B))
    assert queues.to_pause() == {A}


def test_what_is_dropped_is_gone(record):
    queues = PartitionQueues(QueueBounds(1, 1000))
    queues.put(record(partition=A))
    queues.to_pause()
    queues.drop([A])
    assert (len(queues), queues.to_resume(), queues.take(5)) == (0, set(), [])
