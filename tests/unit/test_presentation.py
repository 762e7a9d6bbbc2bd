import io

import orjson
import pytest
from rich.console import Console

from worker.cli.views.verdicts import show_dead_letter, show_verdict

NASTY = "\x1b[31mred\x1b]0;title\x07 \u202eleft-to-right\u2066 \r[bold]"
ESCAPED = "\\x1b[31mred\\x1b]0;title\\x07 \\u202eleft-to-right\\u2066 \\r[bold]"


def shown(renderable):
    out = io.StringIO()
    Console(file=out, width=400, color_system=None).print(renderable)
    return out.getvalue()


def verdict(**fields):
    reading = {"label": "harmful", "source": "answer"}
    return orjson.dumps(
        {
            "event_id": "e",
            "status": "complete",
            "flags": [],
            "reasoning": [],
            "prompt_harmfulness": reading,
            "response_refusal": {"label": None, "source": None},
            "response_harmfulness": {"label": None, "source": None},
        }
        | fields
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"event_id": NASTY},
        {"flags": [NASTY]},
        {"status": NASTY},
        {"prompt_harmfulness": {"label": NASTY}},
        {"reasoning": [{"task": "prompt_harmfulness", "steps": [NASTY]}]},
    ],
)
def test_nothing_in_a_verdict_steers_the_terminal(fields):
    text = shown(show_verdict(verdict(**fields)))
    assert ESCAPED in text
    assert not set(text) & set("\x1b\x07\r\u202e\u2066")


@pytest.mark.parametrize(("score", "said"), [(0.974, "harmful    0.97 "), (1, "harmful    1.00 ")])
def test_a_score_is_shown_after_its_label(score, said):
    assert said in shown(
        show_verdict(verdict(prompt_harmfulness={"label": "harmful", "score": score}))
    )


def test_the_action_of_the_headers_is_shown():
    headers = (("guardstream.action", b"block"),)
    assert " action block" in shown(show_verdict(verdict(), headers))
    assert "action" not in shown(show_verdict(verdict()))
    assert "[action: review]" in shown(show_dead_letter((("guardstream.action", b"review"),)))
    nasty = (("guardstream.action", NASTY.encode()),)
    for text in (shown(show_verdict(verdict(), nasty)), shown(show_dead_letter(nasty))):
        assert ESCAPED in text


@pytest.mark.parametrize("score", [None, "0.9", [], NASTY])
def test_what_is_no_number_is_no_score(score):
    given = {"label": "harmful", "score": score}
    assert shown(show_verdict(verdict(prompt_harmfulness=given))) == shown(show_verdict(verdict()))


@pytest.mark.parametrize("part", ["topic", "partition", "offset", "message"])
def test_nothing_in_a_dead_letter_steers_the_terminal(part):
    text = shown(show_dead_letter(((f"__dlq.errors.{part}", NASTY.encode()),)))
    assert ESCAPED in text
    assert not set(text) & set("\x1b\x07\r\u202e\u2066")
