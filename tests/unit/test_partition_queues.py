from worker.domain.records import Partition
from worker.flow.partition_queues import PartitionQueues

A, B = Partition("t", 0), Partition("t", 1)


def test_partitions_take_turns_and_keep_their_order(record):
    intake = PartitionQueues(100, 1 << 20)
    for offset in range(4):
        intake.put(record(partition=A, offset=offset))
    intake.put(record(partition=B, offset=0))
    taken = [(r.partition.number, r.offset) for r in intake.take(10)]
    assert taken == [(0, 0), (1, 0), (0, 1), (0, 2), (0, 3)]
    assert len(intake) == 0


def test_a_full_partition_pauses_once_and_resumes_when_half_is_gone(record):
    intake = PartitionQueues(4, 1 << 20)
    for offset in range(4):
        intake.put(record(partition=A, offset=offset))
    assert intake.to_pause() == {A}
    assert intake.to_pause() == set()
    intake.take(1)
    assert intake.to_resume() == set()
    intake.take(1)
    assert intake.to_resume() == {A}
    assert intake.to_resume() == set()


def test_bytes_fill_a_partition_as_records_do(record):
    intake = PartitionQueues(1000, 1000)
    intake.put(record(b"x" * 1001, partition=A))
    intake.put(record(b"x", partition=B))
    assert intake.to_pause() == {A}


def test_what_is_dropped_is_gone(record):
    intake = PartitionQueues(1, 1000)
    intake.put(record(partition=A))
    intake.to_pause()
    intake.drop([A])
    assert (len(intake), intake.to_resume(), intake.take(5)) == (0, set(), [])
