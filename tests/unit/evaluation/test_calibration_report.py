"""The report and the tables of a calibration."""

from dataclasses import replace

from tests.unit.evaluation.calibrations import NAMES, calibration
from tests.unit.evaluation.test_report import HOSTILE, Page
from worker.domain.engines import EngineReference
from worker.evaluation.calibration_report import render_calibration
from worker.evaluation.calibration_tables import (
    LIMIT_COLUMNS,
    STAGE_COLUMNS,
    limit_rows,
    mode_columns,
    mode_rows,
    released,
    stage_rows,
)


def test_tables_have_a_cell_for_each_column():
    rows = list(stage_rows(calibration()))
    assert len(rows) == 3 * len(NAMES)
    assert {len(row) for row in rows} == {len(STAGE_COLUMNS)}
    limits = list(limit_rows(calibration()))
    assert len(limits) == 2 * len(NAMES)
    assert {len(row) for row in limits} == {len(LIMIT_COLUMNS)}
    modes = list(mode_rows(calibration()))
    assert [row[0] for row in modes] == ["always", "unsure", "flagged", "never"]
    assert {len(row) for row in modes} == {len(mode_columns(calibration()))}


def test_what_is_released_and_why_the_rest_is_not():
    (line,) = released(calibration())
    assert line == "Released for judging.reasoning: always, unsure, flagged, never."
    first, *reasons = released(calibration(separation=0.05))
    assert first == "Released for judging.reasoning: always."
    assert len(reasons) == 3
    assert all("do not separate" in reason for reason in reasons)


def test_the_page_shows_all_and_loads_nothing():
    page = Page(render_calibration(calibration()))
    for name in NAMES:
        assert f"Reliability of {name}, before reasoning" in page.text
        assert f"Curve of {name}, after reasoning" in page.text
    assert "script" not in page.tags
    assert not [value for name, value in page.attributes if name in ("src", "href")]
    assert "mean nothing" not in page.text


def test_names_of_a_file_cannot_change_the_page():
    data = replace(calibration().data, file=HOSTILE)
    hostile = replace(calibration(), data=data, engine=EngineReference("simulated", HOSTILE))
    page = Page(render_calibration(hostile))
    assert "script" not in page.tags
    assert "\x1b" not in page.text
    assert "mean nothing" in page.text
