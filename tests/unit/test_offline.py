"""Files of records and of verdicts: places, order, and what a killed run leaves behind."""

import asyncio
import io
import multiprocessing

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import UnusableFile
from worker.domain.events import Skip
from worker.domain.records import record_of_line
from worker.flow.judging_all import Judged
from worker.operator.offline.inputs import START, Chunk, Lines, Place, Rows, opened
from worker.operator.offline.ordering import InOrder
from worker.operator.offline.outputs import Counts, begin, output_file

ORIGIN = {"guard": "g", "input.judge": "last"}


class Pieces(io.BytesIO):
    """A pipe that gives a few bytes at a time."""

    size = 3

    def read1(self, _=-1):
        return super().read1(self.size)

    def fileno(self):
        return 0

    def seekable(self):
        return False


def read(source, start=START):
    found = []
    for chunk in source.chunks(start):
        found += [
            (one.offset, one.value, place)
            for one, place in zip(chunk.records, chunk.places, strict=True)
        ]
    return found


@given(
    st.lists(st.sampled_from([b"", b" ", b"a", b"bcd\r", b"e" * 20]), max_size=9),
    st.integers(1, 30),
)
def test_lines_are_read_from_any_place_whatever_the_pieces(lines, size):
    text = b"\n".join(lines)
    stream = Pieces(text)
    stream.size = size
    found = read(Lines(stream, "f"))
    numbered = enumerate(io.BytesIO(text))
    assert [(n, value) for n, value, _ in found] == [(n, one) for n, one in numbered if one.strip()]
    for at, (_, _, place) in enumerate(found):
        assert read(Lines(Pieces(text), "f"), place) == found[at + 1 :]


def test_rows_are_read_from_any_place(tmp_path):
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"id": range(500)}), path, row_group_size=150)
    found = read(Rows(path))
    assert [value for _, value, _ in found] == [b'{"id":%d}' % n for n in range(500)]
    for row in (1, 63, 64, 149, 150, 151, 499, 500):
        assert read(Rows(path), Place(row, row)) == found[row:]


def test_a_cell_that_is_not_utf8_spoils_its_own_row_only(tmp_path):
    path = tmp_path / "f.parquet"
    texts = pa.array([b"a", b"\xff", b"c"]).view(pa.string())
    pq.write_table(pa.table({"prompt": texts}), path)
    values = [value for _, value, _ in read(Rows(path))]
    assert values == [b'{"prompt":"a"}', b"\xff", b'{"prompt":"c"}']


def test_a_file_that_is_no_parquet_is_reported(tmp_path):
    (tmp_path / "f.parquet").write_bytes(b"no")
    with (
        pytest.raises(UnusableFile, match="is not a Parquet file"),
        opened(tmp_path / "f.parquet"),
    ):
        pass


def chunk(first, count):
    records = [record_of_line("f", n, b"", 0) for n in range(first, first + count)]
    return Chunk(records, [Place(n + 1, n + 1) for n in range(first, first + count)])


async def chunks(*given):
    for one in given:
        yield one


@given(st.permutations(range(6)))
async def test_what_is_done_in_any_order_continues_in_the_order_of_the_input(order):
    ordering = InOrder(100)
    (records,) = [one async for one in ordering.begun(chunks(chunk(0, 6)))]
    seen = []
    for at in order:
        seen += ordering.done([Judged(records[at], None, Skip.FILTERED)])
        assert len(seen) == next((n for n in range(6) if n not in order[: order.index(at) + 1]), 6)
    assert [done.place.row for done in seen] == [1, 2, 3, 4, 5, 6]


async def test_no_more_is_read_while_too_much_waits_for_one_record():
    ordering = InOrder(3)
    begun = ordering.begun(chunks(chunk(0, 3), chunk(3, 1)))
    records = await anext(begun)
    following = asyncio.ensure_future(anext(begun))
    await asyncio.sleep(0)
    assert not following.done()
    assert list(ordering.done([Judged(records[1], None, Skip.FILTERED)])) == []
    assert len(list(ordering.done([Judged(records[0], None, Skip.FILTERED)]))) == 2
    assert [record.offset for record in await following] == [3]


@pytest.mark.parametrize("name", ["v.jsonl", "v.parquet"])
def test_what_was_written_after_the_last_checkpoint_is_cut_off(tmp_path, name):
    path = tmp_path / name
    lines = tmp_path / (name if name == "v.jsonl" else f"{name}.partial.jsonl")
    with output_file(path, begin(path, ORIGIN)) as output:
        output.write(b"one")
        output.refuse(b"two")
        output.checkpoint(Place(2, 9), Counts(1, 1))
        output.write(b"three")
        output.refuse(b"four")
    lines.write_bytes(lines.read_bytes() + b'{"torn')
    found = begin(path, ORIGIN)
    assert (found.place, found.counts) == (Place(2, 9), Counts(1, 1, 0))
    with output_file(path, found) as output:
        output.write(b"four")
        output.checkpoint(Place(3, 12), Counts(2, 1))
    assert lines.read_bytes() == b"one\nfour\n"
    assert (tmp_path / f"{name}.refused.jsonl").read_bytes() == b"two\n"


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path):
    path = tmp_path / "v.jsonl"
    path.touch()
    with output_file(path, begin(path, ORIGIN)) as output:
        output.write(b"one")
    assert begin(path, ORIGIN).place == START
    with output_file(path, begin(path, ORIGIN)):
        pass
    assert path.read_bytes() == b""


def test_a_file_of_another_origin_is_not_touched(tmp_path):
    path = tmp_path / "v.jsonl"
    path.write_bytes(b"mine\n")
    with pytest.raises(UnusableFile, match="to resume from"):
        begin(path, ORIGIN)
    path.unlink()
    with output_file(path, begin(path, ORIGIN)) as output:
        output.write(b"one")
        output.checkpoint(Place(1, 1), Counts(1))
    with pytest.raises(UnusableFile, match=r"another guard \(g, now h\)"):
        begin(path, ORIGIN | {"guard": "h"})
    path.write_bytes(b"")
    with (
        pytest.raises(UnusableFile, match="is shorter than when the last run"),
        output_file(path, begin(path, ORIGIN)),
    ):
        pass
    path.unlink()
    with pytest.raises(UnusableFile, match="is missing"):
        begin(path, ORIGIN)


def _locks(path, said):
    try:
        with output_file(path, begin(path, ORIGIN)):
            said.put("open")
    except UnusableFile as error:
        said.put(str(error))


def test_one_run_writes_at_a_time(tmp_path):
    path = tmp_path / "v.jsonl"
    said = multiprocessing.get_context("fork").SimpleQueue()
    with output_file(path, begin(path, ORIGIN)):
        other = multiprocessing.get_context("fork").Process(target=_locks, args=(path, said))
        other.start()
        other.join()
    assert "is being written by another run" in said.get()


def test_a_complete_file_has_no_empty_refusals(tmp_path):
    path = tmp_path / "v.jsonl"
    with output_file(path, begin(path, ORIGIN)) as output:
        output.write(b"one")
        output.checkpoint(Place(1, 1), Counts(1))
        output.finish()
    found = begin(path, ORIGIN)
    assert (found.complete, found.counts.judged) == (True, 1)
    assert path.read_bytes() == b"one\n"
    assert not (tmp_path / "v.jsonl.refused.jsonl").exists()
