"""Figures of each category."""

from dataclasses import replace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.evaluation.rows import (
    NAMELESS,
    PROVENANCE,
    answer,
    event,
    labelled,
    labels,
    line,
)
from tests.unit.evaluation.test_report import Page
from tests.unit.test_categories import verdict
from worker.cli.views.evaluation import show_evaluation
from worker.domain.errors import GuardstreamError
from worker.evaluation.analysis import evaluate
from worker.evaluation.answers import unjudged
from worker.evaluation.categories import category_figures
from worker.evaluation.columns import Columns
from worker.evaluation.labelled import read_labelled
from worker.evaluation.report import render_report
from worker.evaluation.results import ScoredRow, encode_evaluation, read_evaluation
from worker.evaluation.stored import Stored

CODES = st.sets(st.sampled_from(["S1", "S2", "S3"]))


def with_codes(name, codes, **given):
    return event(name, given=labels("harmful") | {"categories": codes} | given)


def found(*codes):
    return replace(answer("harmful"), categories=codes)


def row(truth, predicted):
    return ScoredRow(
        "a", "line 1", "ab", "complete", {}, {},
        categories=None if truth is None else tuple(truth),
        predicted_categories=tuple(predicted),
    )  # fmt: skip


@given(st.lists(st.tuples(st.none() | CODES, CODES), max_size=8))
def test_each_code_is_counted_by_itself(pairs):
    figures = category_figures([row(*pair) for pair in pairs])
    counted = [(truth, said) for truth, said in pairs if truth is not None]
    assert set(figures) == {code for truth, said in counted for code in truth | said}
    for code, one in figures.items():
        support = sum(code in truth for truth, _ in counted)
        predicted = sum(code in said for _, said in counted)
        hits = sum(code in truth and code in said for truth, said in counted)
        assert (one.support, one.predicted, one.hits) == (support, predicted, hits)
        assert one.precision.value == (hits / predicted if predicted else None)
        assert one.recall.value == (hits / support if support else None)
        assert one.f1.value == pytest.approx(2 * hits / (support + predicted))
    supports = [one.support for one in figures.values()]
    assert supports == sorted(supports, reverse=True)


def evaluation_of():
    events = [
        with_codes("a", ["S1", "S2"]),
        with_codes("b", []),
        with_codes("c", ["S1"]),
        event("d", given=labels("harmful")),
    ]
    answers = {
        "a": found("S1", "<b>x"),
        "b": found(),
        "c": unjudged("It was not."),
        # nobody labelled its categories
        "d": found("S3"),
    }
    data = labelled(*events)
    made = evaluate(data, answers, provenance=PROVENANCE, slices=[], resamples=50, seed=1)
    return made, data


def test_they_are_in_all_forms_of_the_results(tmp_path, capsys):
    evaluation, data = evaluation_of()
    assert list(evaluation.categories) == ["S1", "S2", "<b>x"]
    first = evaluation.categories["S1"]
    # a row that was not judged has none
    assert (first.support, first.predicted, first.hits) == (2, 1, 1)
    assert evaluation.categories["<b>x"].recall.value is None
    path = tmp_path / "found.json"
    path.write_bytes(encode_evaluation(evaluation))
    assert read_evaluation(path) == evaluation
    document = orjson.loads(path.read_bytes())
    assert document["categories"]["S2"]["recall"]["value"] == 0.0
    assert document["rows"][0]["predicted_categories"] == ["S1", "<b>x"]
    show_evaluation(evaluation)
    out = capsys.readouterr().out
    assert "category" in out
    assert "<b>x" in out
    page = Page(render_report(evaluation, data.events))
    assert "Categories" in page.text
    assert "<b>x" in page.text
    assert "b" not in page.tags


def test_without_labels_there_are_none(capsys):
    data = labelled(event("d"))
    evaluation = evaluate(
        data, {"d": found("S3")}, provenance=PROVENANCE, slices=[], resamples=50, seed=1
    )
    assert evaluation.categories == {}
    show_evaluation(evaluation)
    assert "category" not in capsys.readouterr().out
    assert "Categories" not in Page(render_report(evaluation, data.events)).text


def test_they_are_read_from_events_and_named_columns(tmp_path):
    assert with_codes("a", ["S1", " S1 ", ""]).categories == ("S1",)
    assert with_codes("a", []).categories == ()
    assert with_codes("a", None).categories is None
    only = event("a", given={"categories": ["S1"]})
    assert (only.categories, set(only.labels.values())) == (("S1",), {None})
    path = tmp_path / "rows.csv"
    path.write_text('prompt,prompt_harm_label,codes,categories\nhi,harmful,"S1, S2",{"x": 1}\n')
    (named,) = read_labelled(path, Columns({"categories": "codes"})).events
    assert named.categories == ("S1", "S2")
    (plain,) = read_labelled(path, NAMELESS).events
    assert plain.categories is None
    assert plain.event.metadata["categories"] == '{"x": 1}'


@pytest.mark.parametrize("wrong", [7, {"S1": True}, ["S1", 2]])
def test_what_is_no_list_of_codes_is_refused(wrong):
    with pytest.raises(GuardstreamError, match=r"labels\.categories is not a list of codes"):
        with_codes("a", wrong)
    with pytest.raises(GuardstreamError, match="all are null"):
        event("a", given=labels() | {"categories": None})
    assert b"categories" in line("a", given={"categories": []})


def test_they_are_read_from_stored_verdicts():
    stored = Stored(verdicts={"a": verdict("S1", "S1", "S2")})
    assert stored.answer(event("a"), None).categories == ("S1", "S2")
