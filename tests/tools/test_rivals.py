"""The part `rivals`: what is judged and when, ages from records, and what the page says."""

from itertools import pairwise

import orjson
import pytest

from benchmarks.rivals.ages import Passed, figures_of, percentile
from benchmarks.rivals.measurement import FULL
from benchmarks.rivals.report import write
from benchmarks.rivals.sides import ENGINE_ARGUMENTS, MAX_TOKENS, OURS, THEIRS
from benchmarks.rivals.workload import (
    backlog,
    flow,
    mixed_values,
    poisson_moments,
    prompt_only_values,
    with_slow,
)
from training.exchanges import compose
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.decoding.events import decode_event
from worker.domain.events import judged_exchange
from worker.guards.guardreasoner.prompt import render
from worker.runtime.engines import demonstration_model


def exchanges(values):
    return [judged_exchange(decode_event(value, {})) for value in values]


def test_arrivals_come_at_their_rate_and_vary_as_poissons_do():
    moments = poisson_moments(40.0, 100.0, 1)
    assert moments == sorted(moments)
    assert moments[0] > 0
    assert moments[-1] < 100
    assert len(moments) == pytest.approx(4000, rel=0.05)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    mean = sum(gaps) / len(gaps)
    assert sum((gap - mean) ** 2 for gap in gaps) / len(gaps) == pytest.approx(mean**2, rel=0.15)


def test_a_seed_gives_the_same_arrivals_and_another_seed_others():
    assert poisson_moments(5, 20, 3) == poisson_moments(5, 20, 3) != poisson_moments(5, 20, 4)
    assert mixed_values(20, 3) == mixed_values(20, 3)
    assert not set(mixed_values(20, 3)) & set(mixed_values(20, 4))


async def test_the_mix_is_of_short_and_long_and_fits_the_model():
    found = exchanges(mixed_values(1000, 5))
    tokenizer = JsonTokenizer.load(demonstration_model())
    prompts = [render(e.prompt, e.response) for e in found]
    lengths = [len(ids) for ids in await tokenizer.encode(prompts, 2048 - MAX_TOKENS) if ids]
    assert len(lengths) == 1000
    pairs = list(zip(found, compose("held_out", 1000, 5), strict=True))
    assert sum(ours.prompt != e.prompt for ours, e in pairs) == pytest.approx(150, abs=40)
    assert sum(ours.response != e.response for ours, e in pairs) == pytest.approx(80, abs=30)
    assert sum(e.response is None for e in found) == pytest.approx(200, abs=40)
    assert max(lengths) > 2 * sorted(lengths)[500]


async def test_the_endpoint_makes_the_same_tokens_of_the_text_that_the_worker_renders():
    tokenizer = JsonTokenizer.load(demonstration_model())
    prompts = [render(e.prompt, e.response) for e in exchanges(mixed_values(50, 6))]
    theirs = JsonTokenizer.load(demonstration_model())._tokenizer
    theirs.encode_special_tokens = False
    ours = await tokenizer.encode(prompts, 2048)
    assert [theirs.encode("<|begin_of_text|>" + p.text).ids for p in prompts] == ours


def test_requests_alone_have_no_response():
    assert {e.response for e in exchanges(prompt_only_values(50, 1))} == {None}


def test_slow_records_take_the_place_of_each_so_manieth():
    usual = flow([0.5 * n for n in range(20)], mixed_values(20, 1))
    found = with_slow(usual, 5)
    assert [a.at for a in found] == [a.at for a in usual]
    assert [n for n, a in enumerate(found) if a.kind == "slow"] == [4, 9, 14, 19]
    assert all(a == b for a, b in zip(found, usual, strict=True) if a.kind == "flow")
    slow = [a.value for a in found if a.kind == "slow"]
    assert len(set(slow)) == 4
    assert all(e.response and len(e.response) > 800 for e in exchanges(slow))


def test_a_backlog_is_there_at_one_moment():
    found = backlog([b"a", b"b"], at=2.5, kind="burst")
    assert [(a.at, a.kind, a.value) for a in found] == [(2.5, "burst", b"a"), (2.5, "burst", b"b")]


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([3.0, 1.0, 2.0, 4.0], 0.5, 2.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        (list(range(1, 101)), 0.99, 99),
        ([7.0], 0.99, 7.0),
        ([7.0, 8.0], 0.99, 8.0),
    ],
)
def test_a_percentile_is_a_value_that_was_seen(values, share, expected):
    assert percentile(values, share) == expected


def test_ages_run_from_arrival_to_verdict_and_each_kind_has_its_own():
    found = figures_of(
        [
            Passed("flow", 100.0, 101.0, 150),
            Passed("burst", 102.0, 105.0, 160),
            Passed("burst", 102.0, 110.0, 170),
        ]
    )
    assert found["events_per_second"] == pytest.approx(0.3)
    assert found["completion_tokens"] == 160
    assert found["ages"]["flow"] == {"count": 1, "p50": 1.0, "p99": 1.0, "drained": 1.0}
    assert found["ages"]["burst"] == {"count": 2, "p50": 3.0, "p99": 8.0, "drained": 8.0}


def trial(rate, **ages):
    return {
        "events": 10,
        "events_per_second": rate,
        "completion_tokens": 150.0,
        "cpu_ms_per_event": 20.0,
        "ages": {k: {"p50": v, "p99": 2 * v, "drained": 3 * v} for k, v in ages.items()},
    }


def test_the_section_holds_both_sides_and_says_what_slow_records_do(tmp_path):
    capacity = {
        OURS: [trial(60.0, flow=1.0), trial(50.0, flow=1.0)],
        THEIRS: [trial(40.0, flow=1.0), trial(40.0, flow=1.0)],
    }
    figures = {
        "capacity": capacity,
        "prompt_only": capacity,
        "loads": [
            {"share": s, "rate": 40 * s, OURS: trial(9, flow=s), THEIRS: trial(9, flow=2 * s)}
            for s in FULL.shares
        ],
        "burst": {name: trial(9, flow=1.5, burst=4.5) for name in (OURS, THEIRS)},
        "slow": {
            "without": {name: trial(9, flow=1.0) for name in (OURS, THEIRS)},
            "with": {OURS: trial(9, flow=1.25, slow=3), THEIRS: trial(9, flow=4.0, slow=5)},
        },
        "burst_events": 300,
        "slow_every": 50,
    }
    text = write(figures, tmp_path)
    assert (tmp_path / "rivals.png").stat().st_size > 10_000
    assert (
        "Guardstream reaches 1.38 (1.25-1.50) times the throughput of the hand-written worker"
        in text
    )
    assert "| 80% of the smaller capacity | 32.0 | 0.80 s | 1.60 s | 1.60 s | 3.20 s |" in text
    assert "| hand-written worker | 13.50 s | 4.50 s | 9.00 s | 1.50 s | 3.00 s |" in text
    assert "takes 3.00 s with Guardstream and 5.00 s with the hand-written worker" in text
    assert "changes by +0.50 s with Guardstream" in text
    assert "by +6.00 s with the hand-written worker" in text


def test_the_settings_of_the_engine_are_json_as_guardstream_takes_them():
    assert orjson.loads(orjson.dumps(ENGINE_ARGUMENTS)) == ENGINE_ARGUMENTS
