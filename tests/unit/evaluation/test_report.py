"""The report: one page that loads nothing, whose markup no text can change."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from jinja2 import UndefinedError

from tests.unit.evaluation.rows import PROVENANCE, answer, event, labelled, labels
from worker.domain.engines import EngineReference
from worker.evaluation.analysis import evaluate
from worker.evaluation.answers import unjudged
from worker.evaluation.columns import LeftOut
from worker.evaluation.other_run import Other, compare
from worker.evaluation.report import ENVIRONMENT, render_report

HOSTILE = '</td><script>alert(1)</script><img src="https://x.example" onerror=a()>\x1b[2J\u202e'
VOID = {"meta", "!doctype"}


class Page(HTMLParser):
    """The elements of a page; fails where they do not nest."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(self.words)


def report(*events, answers, other=None, left_out=(), engine="vllm"):
    data = labelled(*events)
    data.left_out.extend(left_out)
    provenance = replace(PROVENANCE, engine=EngineReference(engine, "1"))
    found = evaluate(
        data, answers, provenance=provenance, slices=["metadata.by"], resamples=100, seed=1
    )
    return render_report(compare(found, other) if other else found, data.events)


def row(name, text="hi", by="x"):
    return event(name, prompt=text, response=text, metadata={"by": by})


def test_the_page_shows_all_there_is():
    page = Page(
        report(
            row("a"),
            row("b", by="y"),
            row("c"),
            answers={
                "a": answer("unharmful", "compliance", "unharmful"),
                "b": answer("harmful", "compliance", "unharmful"),
                "c": unjudged("The prompt is too long."),
            },
            other=Other("theirs.json", None, {"a": labels("harmful"), "b": labels()}, {}),
            left_out=[LeftOut("line 9", "The row has no labels.")],
        )
    )
    for words in (
        "m on events.jsonl",
        "3 rows scored, 1 not judged, 1 left out.",
        "By metadata.by",
        "Compared with theirs.json",
        "2 rows are in both runs. Not compared, only in this run: 1.",
        "The prompt is too long.",
        "line 9",
        "The row has no labels.",
        "Rows on which guard and labels disagree: 4",
        PROVENANCE.guard.prompt_sha256,
        PROVENANCE.file_sha256,
        "vllm 1",
        "100 resamples, seed 1",
    ):
        assert words in page.text, words
    # F1 overall, three by the slice, three matrices, one of differences
    assert page.tags.count("svg") == 8
    assert "mean nothing" not in page.text


def test_the_page_warns_of_the_engine_that_judges_nothing():
    text = report(row("a"), answers={"a": answer("harmful")}, engine="simulated")
    assert "these figures mean nothing" in text


@pytest.mark.parametrize("place", ["text", "id", "slice", "other"])
def test_no_text_becomes_markup(place):
    hostile = {place: HOSTILE}
    name = hostile.get("id", "a")
    page = report(
        row(name, hostile.get("text", "hi"), hostile.get("slice", "x")),
        answers={name: answer("harmful", "refusal", "harmful")},
        other=Other(hostile.get("other", "o"), None, {name: labels("unharmful")}, {}),
    )
    found = Page(page)
    assert not {"script", "img", "link", "iframe"} & set(found.tags)
    assert not [key for key, _ in found.attributes if key.startswith("on") or key == "src"]
    assert "<script>alert(1)" in found.text
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_no_text_ends_an_attribute():
    template = ENVIRONMENT.from_string('<p title="{{ text }}">{{ text }}</p>')
    assert template.render(text='"><b>\x1b') == (
        '<p title="&#34;&gt;&lt;b&gt;\\x1b">&#34;&gt;&lt;b&gt;\\x1b</p>'
    )


def test_a_name_that_the_template_lacks_is_an_error():
    with pytest.raises(UndefinedError):
        ENVIRONMENT.from_string("{{ missing }}").render()


def test_the_page_loads_nothing():
    found = Page(report(row("a"), answers={"a": answer("harmful")}))
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in found.attributes
    urls = {value for _, value in found.attributes if "//" in str(value)}
    assert urls == {"http://www.w3.org/2000/svg"}
    assert "url(" not in found.text


def test_long_texts_and_long_lists_are_cut():
    names = [str(n) for n in range(201)]
    page = report(
        *(row(name, "word " * 500) for name in names),
        answers={name: answer("harmful", "compliance", "unharmful") for name in names},
    )
    assert "1 more are in the JSON results." in page
    assert page.count("word word") < 400 * 60
    assert page.count("…") == 400
