"""The comparison of two guards without labels."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.domain.errors import UnusableFile
from worker.evaluation.agreement import compare_verdicts, kappa
from worker.evaluation.verdict_labels import Label, Matched, VerdictLabels, read_labels

TASK = "prompt_harmfulness"


def verdict(name, label, score=None, *, guard="g m", task=TASK):
    return VerdictLabels(name, name, guard, label is None, {task: Label(label, score)})


def verdicts(labels, **more):
    return [verdict(f"e{n}", label, **more) for n, label in enumerate(labels)]


def test_agreement_kappa_and_rates_of_a_known_table():
    # Cohen's kappa of 20, 5, 10, 15 is 0.4, a textbook's example
    ours = ["harmful"] * 25 + ["unharmful"] * 25
    theirs = ["harmful"] * 20 + ["unharmful"] * 5 + ["harmful"] * 10 + ["unharmful"] * 15
    found = compare_verdicts(verdicts(ours, guard="a m"), verdicts(theirs, guard="b m"))
    task = found.tasks[TASK]
    assert found.guards == (("a m",), ("b m",))
    assert (found.events, task.compared) == (50, 50)
    assert task.agreement.value == found.least == 0.7
    assert task.kappa.value == pytest.approx(0.4)
    assert task.kappa.low < 0.4 < task.kappa.high
    assert (task.our_rate.value, task.their_rate.value) == (0.5, 0.6)
    assert task.pairs == {
        "harmful": {"harmful": 20, "unharmful": 5},
        "unharmful": {"harmful": 10, "unharmful": 15},
    }


def test_missing_repeated_and_inconclusive_verdicts_are_counted():
    ours = [*verdicts(["harmful", None, "harmful", None]), verdict("e0", "unharmful")]
    theirs = [*verdicts(["harmful", "harmful", None])[::-1], verdict("x", None)]
    theirs += [verdict("e0", "unharmful")]
    found = compare_verdicts(ours, theirs)
    assert (found.events, found.only, found.repeated) == (3, (1, 1), (1, 1))
    assert found.inconclusive == (1, 1, 0)
    assert found.tasks[TASK].labels_missing == (1, 1)
    assert found.tasks[TASK].compared == 1
    assert found.tasks[TASK].kappa.value is None


def test_the_largest_differences_come_first():
    ours = [verdict(f"e{n}", "harmful", 0.5 + n / 10) for n in range(5)]
    theirs = [verdict(f"e{n}", "unharmful", 0.4) for n in range(5)]
    found = compare_verdicts(ours, theirs, examples=2)
    assert [one.event_id for one in found.differences] == ["e4", "e3"]
    assert compare_verdicts(ours, theirs, examples=0).differences == []
    without = compare_verdicts(ours, verdicts(["unharmful"] * 5), examples=2)
    assert [one.event_id for one in without.differences] == ["e0", "e1"]


def test_a_question_beyond_the_standard_ones_has_no_positive_label():
    ours = [verdict("e", "yes", task="spam"), verdict("f", "no", task="spam")]
    found = compare_verdicts(ours, ours)
    assert found.tasks["spam"].positive is None
    assert found.tasks["spam"].our_rate is None
    assert found.tasks["spam"].kappa.value == 1


@given(st.lists(st.integers(0, 50), min_size=9, max_size=9))
def test_kappa_is_at_most_one_and_one_only_without_differences(counts):
    found = kappa(counts)
    differ = any(n for at, n in enumerate(counts) if at % 4)
    if found is not None:
        assert found <= 1
        assert (found == pytest.approx(1)) is not differ


def line(**changed):
    reading = {"label": "harmful", "score": None, "source": "answer"}
    source = {"topic": "t", "partition": 1, "offset": 2, "exchange": None}
    fields = {
        "event_id": "e",
        "source": source,
        "status": "complete",
        "guard": {"name": "g", "model": "m"},
        "criteria": {"spam": reading},
        TASK: reading,
        "response_refusal": reading,
        "response_harmfulness": reading,
    }
    return orjson.dumps(fields | changed)


def test_verdicts_are_matched_by_event_or_source_and_exchange(tmp_path):
    path = tmp_path / "a.jsonl"
    several = {"topic": "t", "partition": 1, "offset": 2, "exchange": 3}
    path.write_bytes(line() + b"\n" + line(source=several) + b'\n{"event_id": "torn')
    assert [one.key for one in read_labels(path, Matched.EVENT)] == ["e", "e\x003"]
    first, second = read_labels(path, Matched.SOURCE)
    assert (first.key, second.key) == ("t/1@2", "t/1@2\x003")
    assert (first.guard, first.labels["spam"].label) == ("g m", "harmful")


@pytest.mark.parametrize("text", [b"{}\n", b"[]\n", b"{\n" + line(), b"3\n"])
def test_a_line_that_is_no_verdict_is_reported(tmp_path, text):
    path = tmp_path / "a.jsonl"
    path.write_bytes(text)
    with pytest.raises(UnusableFile, match=r"a\.jsonl, line 1: not a verdict"):
        list(read_labels(path, Matched.EVENT))
