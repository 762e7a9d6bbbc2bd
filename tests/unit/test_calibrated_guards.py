"""The guard of the settings: which modes its calibration allows, and what it changes."""

from dataclasses import replace

import pytest

from tests.unit.evaluation.calibrations import calibration
from tests.unit.guards.model import Model
from tests.unit.guards.test_reading import USUAL
from worker.domain.errors import UnusableFile, WrongSetting
from worker.domain.events import Exchange
from worker.domain.guard import sample_requests
from worker.runtime import engines, guards
from worker.runtime.build import build_judging
from worker.runtime.calibration_document import Gating
from worker.runtime.calibration_file import encode_calibration
from worker.runtime.guards import build_guard
from worker.runtime.settings import load_settings

ALONE = Exchange("How do I bake bread?", None)
SURE = (0.0001,)


def settings_of(tmp_path, document=None, **judging):
    path = tmp_path / "given.json"
    if document is not None:
        path.write_bytes(encode_calibration(document))
        judging["calibration_file"] = str(path)
    return load_settings(engine={"kind": "simulated"}, judging=judging)


def requests_of(guard):
    model = Model(USUAL, first=SURE, after=SURE)
    model.judge(guard, ALONE)
    return model.requests


@pytest.mark.parametrize("mode", ["unsure", "flagged", "never"])
def test_a_mode_without_a_calibration_is_refused(mode, tmp_path):
    with pytest.raises(WrongSetting, match=f"^judging.reasoning={mode} needs a calibration"):
        build_guard(settings_of(tmp_path, reasoning=mode))


def test_a_mode_that_the_calibration_does_not_release_is_refused(tmp_path):
    settings = settings_of(tmp_path, calibration(separation=0.1), reasoning="unsure")
    with pytest.raises(WrongSetting, match=r"does not release judging\.reasoning=unsure: "):
        build_guard(settings)


def test_a_calibration_that_is_not_there_is_said(tmp_path):
    settings = load_settings(judging={"calibration_file": str(tmp_path / "none.json")})
    with pytest.raises(UnusableFile, match="cannot be read"):
        build_guard(settings)


def test_a_mode_that_the_calibration_releases_is_used(tmp_path):
    built = build_guard(settings_of(tmp_path, calibration(), reasoning="unsure", audit_share=0))
    assert len(requests_of(built.guard)) == 1
    reference = built.reference(settings_of(tmp_path))
    assert reference.calibration_sha256 == built.calibration.sha256
    assert reference.model == "simulated"


def test_calibrating_takes_scores_as_they_are(tmp_path):
    settings = settings_of(tmp_path, reasoning="unsure", audit_share=1.0)
    built = build_guard(settings, calibrated=False)
    assert built.calibration is None
    assert len(requests_of(built.guard)) == 3


@pytest.mark.parametrize(
    ("given", "agreement", "is_gated"),
    [
        (None, None, False),
        (None, 0.99, False),
        (None, 0.995, True),
        (True, None, True),
        (False, 1.0, False),
    ],
)
def test_the_gate_is_on_where_it_was_measured(given, agreement, is_gated, tmp_path):
    gating = None if agreement is None else Gating(agreement, 300)
    document = replace(calibration(), gating=gating)
    built = build_guard(settings_of(tmp_path, document, gate_prompt_only=given))
    assert [request.stop for request in requests_of(built.guard)] == [
        ("# Task 2",) if is_gated else ()
    ]


def test_a_calibration_in_the_models_folder_is_found_where_a_mode_needs_it(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "demonstration_model", lambda: str(tmp_path))
    (tmp_path / guards.CALIBRATION_NAME).write_bytes(encode_calibration(calibration()))
    demonstration = {"kind": "vllm", "model": "demonstration"}
    found = build_guard(load_settings(engine=demonstration, judging={"reasoning": "flagged"}))
    assert found.path == tmp_path / guards.CALIBRATION_NAME
    assert build_guard(load_settings(engine=demonstration)).calibration is None
    with pytest.raises(WrongSetting, match="needs a calibration"):
        build_guard(settings_of(tmp_path, reasoning="flagged"))


async def test_a_calibration_of_another_engine_stops_the_start(tmp_path):
    judging = build_judging(settings_of(tmp_path, calibration(), reasoning="unsure"))
    with pytest.raises(WrongSetting, match=r"given.json: The model is simulated, but"):
        await judging.start()
    await judging.stop()


def test_every_kind_of_request_is_known_before_the_start(tmp_path):
    built = build_guard(settings_of(tmp_path, calibration(), reasoning="unsure", repair=True))
    kinds = [(bool(one.scores), bool(one.choices)) for one in sample_requests(built.guard)]
    assert kinds == [(True, True), (False, False), (True, True), (True, True), (True, True)]
