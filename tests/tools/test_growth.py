import pytest

from benchmarks.growth.costs import Effort
from benchmarks.growth.curves import (
    Unmeasured,
    cpu_us,
    efficiencies,
    memory,
    most_mib,
    over_events,
    rates,
    stages,
    to_smallest,
)
from benchmarks.growth.report import section


def every(start, end, step):
    return [start + n * step for n in range(round((end - start) / step))]


def test_a_stage_begins_two_seconds_after_its_last_newcomers_first_verdict():
    written = {"a": every(1, 20, 0.1), "b": every(13, 20, 0.1)}
    one, two = stages(written, {"a": 0.0, "b": 10.0}, [10.0, 20.0])
    assert (one.workers, one.start, one.end) == (1, 3.0, 10.0)
    assert (two.workers, two.start, two.end) == (2, 15.0, 20.0)
    assert one.events_per_second == pytest.approx(10, rel=0.05)
    assert two.events_per_second == pytest.approx(20, rel=0.05)
    assert (one.joining_seconds, two.joining_seconds) == ([1.0], [3.0])


def test_silence_is_the_longest_time_without_a_verdict_while_somebody_joins():
    # nobody writes between 11 and 12.5, and later silence is not of joining
    moments = [*every(1, 11, 0.1), *every(12.5, 18, 0.1), 19.9]
    written = {"a": moments, "b": every(13, 18, 0.1)}
    _, two = stages(written, {"a": 0.0, "b": 10.0}, [10.0, 20.0])
    assert two.silence_seconds == pytest.approx(1.6, abs=0.11)


def test_efficiency_is_to_so_many_times_one():
    found = [
        {"workers": 1, "events_per_second": 100.0},
        {"workers": 4, "events_per_second": 300.0},
    ]
    assert efficiencies(found) == {1: 1.0, 4: 0.75}


def trial(size, number, cpu, *, curve="waiting", guarantee="at_least_once"):
    return {
        "curve": curve,
        "size": size,
        "guarantee": guarantee,
        "round": number,
        "events": 100,
        "judged": 200,
        "seconds": 0.5,
        "cpu_seconds": cpu,
        "most_bytes": 3 << 20,
    }


def test_points_are_of_one_curve_and_compared_round_by_round():
    # the second round went backwards, and the machine was half as fast
    trials = [
        trial(10, 0, 0.01),
        trial(20, 0, 0.03),
        trial(20, 1, 0.06),
        trial(10, 1, 0.02),
        trial(10, 0, 9.0, curve="partitions"),
        trial(10, 0, 9.0, guarantee="exactly_once"),
    ]
    points = cpu_us(trials, "waiting", "at_least_once")
    assert points == {10: pytest.approx([50, 100]), 20: pytest.approx([150, 300])}
    assert to_smallest(points) == {10: [1, 1], 20: pytest.approx([3, 3])}
    assert rates(trials, "waiting", "at_least_once") == {10: [200, 200], 20: [200, 200]}
    assert most_mib(trials, "waiting", "at_least_once") == {10: [3, 3], 20: [3, 3]}


def test_memory_is_read_against_the_progress_last_known():
    progress = [(10.0, 0), (11.0, 100), (12.0, 200)]
    resident = [(9.0, 1 << 20), (10.5, 2 << 20), (11.0, 3 << 20), (13.0, 4 << 20)]
    assert over_events(progress, resident) == [(0, 2.0), (100, 3.0), (200, 4.0)]


def test_growth_of_memory_leaves_the_warm_up_out():
    curve = [(0, 10.0), (50, 90.0), *((n, 100.0 + n / 1000) for n in range(100, 1100, 100))]
    found = memory(curve)
    assert (found.warm, found.last, found.most) == (pytest.approx(100.1), 101.0, 101.0)
    assert found.growth == pytest.approx(1000)


def test_memory_that_was_read_once_says_nothing():
    with pytest.raises(Unmeasured, match="more events"):
        memory([(0, 10.0), (100, 20.0)])


def test_larger_events_are_fewer_and_no_case_asks_for_more_than_waits():
    cases = Effort(rounds=1, events=6000).cases()
    of_prompts = [case.events for case in cases if case.curve == "prompt"]
    assert of_prompts == sorted(of_prompts, reverse=True)
    assert all(case.events <= case.size for case in cases if case.curve == "waiting")


def test_no_case_is_so_short_that_a_few_chunks_are_all_of_it():
    assert min(case.events for case in Effort(rounds=1, events=3000).cases()) >= 600


def growth_figures(events):
    def stage(workers, rate):
        return {
            "workers": workers,
            "events_per_second": rate,
            "cores": 0.1,
            "joining_seconds": [1.0],
            "silence_seconds": 0.2,
        }

    return {
        "workers": [
            {
                "stages": [stage(1, 100.0), stage(4, 300.0)],
                "started": {"worker-1": 0.0},
                "written": {"worker-1": [0.5, 1.5, 2.5]},
            }
        ],
        "costs": [
            trial(size, 0, cpu, curve=curve, guarantee=guarantee)
            for curve in ("partitions", "waiting", "conversation", "prompt")
            for guarantee in ("at_least_once", "exactly_once")
            for size, cpu in ((1, 0.01), (2048, 0.03))
        ],
        # a MiB in every thousand events
        "million": {
            "events": events,
            "seconds": 2.0,
            "curve": [(n, 100 + n / 1000) for n in range(events // 10, events + 1, events // 10)],
        },
    }


def test_the_section_says_what_its_figures_say_and_links_what_it_drew(tmp_path):
    text = section(growth_figures(20_000), tmp_path)
    assert "4 workers reach 3.00 times the throughput of one" in text
    assert "| partitions: 2,048, exactly_once | 150 | 3.00 |" in text
    for picture in tmp_path.iterdir():
        assert f"(benchmarks/{picture.name})" in text
    assert len(list(tmp_path.iterdir())) == text.count("![")


def test_memory_is_told_over_the_events_there_were_and_not_over_a_million(tmp_path):
    text = section(growth_figures(20_000), tmp_path)
    assert "changes by +20.0 MiB over 20,000 events" in text
