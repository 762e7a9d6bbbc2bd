"""What a worker's metrics say about the cost of a record."""

import pytest

from tests.unit.console.pages import Page, change
from worker.operator.sizing.measured import figures_of
from worker.operator.top.scrapes import Unreadable
from worker.telemetry import names


def judged(records, *, busy, at_once, tombstones=0):
    """An act: so many records judged in so many seconds of the engine."""

    def act(page):
        page.of(names.OUTCOMES, "verdict").inc(records)
        page.of(names.OUTCOMES, "tombstone").inc(tombstones)
        page.of(names.JUDGEMENTS, "complete").inc(records)
        page.of(names.ENGINE_BUSY).inc(busy)
        page.of(names.TOKENS_CACHED).inc(110 * records)
        for _ in range(records):
            page.of(names.TOKEN_USAGE, "input").observe(400)
            page.of(names.TOKEN_USAGE, "output").observe(250)
            page.of(names.CHAT_DURATION, "").observe(at_once * busy / records)
        page.of(names.IN_FLIGHT_LIMIT).set(320)

    return act


def test_figures_are_of_the_time_between_two_looks():
    page = Page()
    judged(1000, busy=500, at_once=7)(page)
    found = figures_of(change(page, judged(40, busy=8, at_once=300, tombstones=9), seconds=10))
    assert found.events_per_second == pytest.approx(4)
    assert found.engine_seconds_per_record == pytest.approx(0.2)
    assert (found.tokens.prompt, found.tokens.shared, found.tokens.completion) == pytest.approx(
        (400, 110, 250)
    )
    assert found.prompts_at_once == pytest.approx(300)
    assert found.is_full


def test_an_engine_with_room_is_told_from_a_full_one():
    found = figures_of(change(Page(), judged(40, busy=8, at_once=30)))
    assert not found.is_full


def test_an_idle_worker_tells_nothing():
    with pytest.raises(Unreadable, match="judged nothing"):
        figures_of(change(Page(), lambda page: page.of(names.OUTCOMES, "tombstone").inc(3)))
