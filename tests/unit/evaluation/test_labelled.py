"""Labelled events of files, and the reasons of rows that cannot be used."""

import csv
import sys

import orjson
import pyarrow as pa
import pytest
from pyarrow import parquet

from tests.unit.evaluation.rows import NAMELESS, event, labels, line
from worker.domain.errors import UnusableFile
from worker.domain.questions import PROMPT_HARMFULNESS, STANDARD_TASKS
from worker.evaluation.columns import Columns
from worker.evaluation.labelled import read_labelled

TABLE = {
    "prompt": ["How do I bake bread?", "How do I pick a lock, «quietly»?\nNow."],
    "response": ["With flour.", None],
    "prompt_harm_label": ["unharmful", "harmful"],
    "response_refusal_label": ["compliance", None],
    "response_harm_label": ["unharmful", None],
    "subcategory": ["benign", "others"],
}


def read(path, content, **named):
    path.write_bytes(content)
    return read_labelled(path, Columns(named))


def left_out(tmp_path, *lines):
    found = read(tmp_path / "events.jsonl", b"\n".join(lines))
    assert len(found.events) + len(found.left_out) == len(lines)
    return {one.place: one.reason for one in found.left_out}


def write_table(path, table):
    if path.suffix == ".parquet":
        parquet.write_table(pa.table(table), path)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if path.suffix == ".tsv" else ",")
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


def test_events_of_every_shape_keep_their_labels(tmp_path):
    messages = [{"role": "user", "content": "hi"}]
    given = {"prompt_harmfulness": "harmful"}
    cloud = {"specversion": "1.0", "id": "c", "data": {"prompt": "hi", "labels": given}}
    lines = [
        line("a"),
        orjson.dumps({"messages": messages, "labels": given}),
        b"",
        orjson.dumps(cloud),
        orjson.dumps({"id": "d", "prompt": "hi", "prompt_harm_label": "harmful", "n": 1}),
    ]
    found = read(tmp_path / "events.jsonl", b"\n".join(lines))
    assert not found.left_out
    assert [one.id for one in found.events] == ["a", "line-2", "c", "d"]
    assert [one.place for one in found.events] == ["line 1", "line 2", "line 4", "line 5"]
    assert found.events[0].labels == labels("unharmful", "compliance", "unharmful")
    assert all(one.labels == labels("harmful") for one in found.events[1:])
    assert found.events[3].event.metadata == {"n": 1}


def test_a_row_that_cannot_be_used_is_reported(tmp_path):
    reasons = left_out(
        tmp_path,
        line("a"),
        b"{",
        b'{"id": 1}',
        line("b", prompt=" "),
        orjson.dumps({"prompt": "hi"}),
        line("c", given=labels()),
        line("d", given="harmful"),
        line("e", given={"toxicity": "harmful"}),
        line("f", given={"prompt_harmfulness": "Harm\x1b[31mful"}),
        line("g", given={"response_refusal": "harmful"}),
        line("h", response=None),
        line("a"),
    )
    assert reasons == {
        "line 2": "The value is not JSON (line 1, column 2).",
        "line 3": "Not an event: messages or prompt is required at the top level.",
        "line 4": "The user's message is blank; there is nothing to judge.",
        "line 5": "The row has no labels.",
        "line 6": "The row has no labels: all are null.",
        "line 7": "labels is not an object with a label for each task.",
        "line 8": f"labels.toxicity is none of {', '.join(STANDARD_TASKS)}.",
        "line 9": (
            "Harm\\x1b[31mful is no label of prompt_harmfulness: use harmful, unharmful or null."
        ),
        "line 10": "harmful is no label of response_refusal: use refusal, compliance or null.",
        "line 11": "There is a label for response_refusal, but no response.",
        "line 12": "Its id is already that of line 1.",
    }


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_tables_with_known_columns(tmp_path, suffix):
    path = tmp_path / f"test{suffix}"
    write_table(path, TABLE)
    found = read_labelled(path, NAMELESS)
    assert not found.left_out
    first, second = found.events
    assert (first.exchange.prompt, first.exchange.response) == (
        "How do I bake bread?",
        "With flour.",
    )
    assert first.labels == labels("unharmful", "compliance", "unharmful")
    assert second.labels == labels("harmful")
    assert second.exchange.prompt == TABLE["prompt"][1]
    assert second.exchange.response is None
    assert second.event.metadata == {"subcategory": "others"}
    assert second.place == ("row 2" if suffix == ".parquet" else "line 3")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_tables_with_columns_of_other_names(tmp_path, suffix):
    path = tmp_path / f"test{suffix}"
    write_table(path, {"no": [7], "question": ["hi"], "bad": ["harmful"]})
    columns = Columns({"id": "no", "prompt": "question", PROMPT_HARMFULNESS.name: "bad"})
    (found,) = read_labelled(path, columns).events
    assert (found.id, found.exchange.prompt, found.labels) == ("7", "hi", labels("harmful"))
    with pytest.raises(UnusableFile, match="has no column answer, but no, question, bad"):
        read_labelled(path, Columns({**columns.named, "response": "answer"}))
    with pytest.raises(UnusableFile, match="has no column prompt, prompt_harm_label or response"):
        read_labelled(path, NAMELESS)


def test_rows_of_a_table_that_cannot_be_used_are_reported(tmp_path):
    content = b'prompt,prompt_harm_label\n"a\nb",harmful\nc\nd,bad\n\xff,harmful\n\nf,\n'
    found = read(tmp_path / "t.csv", content)
    assert [one.place for one in found.events] == ["line 2"]
    assert {one.place: one.reason for one in found.left_out} == {
        "line 4": "The row has 1 cells for 2 columns.",
        "line 5": "bad is no label of prompt_harmfulness: use harmful, unharmful or null.",
        "line 6": "The row holds text that is not UTF-8.",
        "line 8": "The row has no labels: all are null.",
    }


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.jsonl", b"", "has no rows"),
        ("e.jsonl", b"\n\n", "has no rows"),
        ("e.csv", b"", "has no column prompt, prompt_harm_label or"),
        ("e.csv", b"prompt,prompt_harm_label\n", "has no rows"),
        ("e.csv", b'prompt,prompt_harm_label\n"a\n', "line 2: unexpected end of data"),
        ("e.parquet", b"PAR1", "is not a Parquet file"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, name, content, message):
    with pytest.raises(UnusableFile, match=message):
        read(tmp_path / name, content)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, monkeypatch):
    path = tmp_path / "t.parquet"
    write_table(path, TABLE)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UnusableFile, match=r"pip install 'guardstream\[evaluate\]'"):
        read_labelled(path, NAMELESS)


def test_a_long_cell_is_read_whole(tmp_path):
    long = "x" * 200_000
    found = read(tmp_path / "t.csv", f"prompt,prompt_harm_label\n{long},harmful\n".encode())
    assert found.events[0].exchange.prompt == long


def test_the_sha256_differs_with_the_text():
    sums = {
        event(prompt=prompt, response=response, given=labels("harmful")).exchange_sha256
        for prompt, response in (("a", "b"), ("a", None), ("a", ""), ("ab", ""), ("a", "null"))
    }
    assert len(sums) == 5
