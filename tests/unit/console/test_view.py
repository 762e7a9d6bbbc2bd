import pytest

from tests.unit.console.pages import Page, change, verdict
from worker.operator.top.changes import Change
from worker.operator.top.distributions import Percentiles
from worker.operator.top.loads import Flow, flow_of, measure
from worker.operator.top.recent import RecentVerdict
from worker.operator.top.view import DeadLetters, Identity, PartitionView, WorkerStatus, view_of
from worker.telemetry import names


def recent(**fields):
    told = verdict(**fields)
    return RecentVerdict(**told | {"flags": tuple(told["flags"])})


def seen(act=lambda _: None, *, name="w:1", page=None, seconds=10.0, **told):
    return WorkerStatus(name, change(page or Page(), act, seconds=seconds), **told)


def busy(page):
    page.of(names.LAG_RECORDS, "t", "0").set(70)
    page.of(names.LAG_RECORDS, "t", "1").set(30)
    page.of(names.LAG_TIME).set(20)
    page.of(names.CONSUMED, "t").inc(60)
    page.of(names.OUTCOMES, "verdict").inc(40)
    page.of(names.OUTCOMES, "dead_letter").inc(10)
    page.of(names.ENGINE_BUSY).inc(9)
    page.of(names.IN_FLIGHT).set(5)
    page.of(names.IN_FLIGHT_LIMIT).set(8)
    page.of(names.TOKENS_CACHED).inc(150)
    page.of(names.BACKLOG).set(33)
    page.of(names.ENGINE_RESTARTS).inc()
    page.of(names.QUEUED_AGE).set(0.5)
    for _ in range(4):
        page.of(names.TOKEN_USAGE, "input").observe(150)
        page.of(names.TOKEN_USAGE, "output").observe(50)
        page.of(names.VERDICT_AGE).observe(4)


def test_the_load_of_one_worker():
    load = measure([change(Page(vllm=True), busy)])
    assert load.lag_records == 100
    assert load.lag_seconds == 20
    assert load.received_per_second == 6.0
    assert load.settled_per_second == 5.0
    assert load.age == Percentiles(4.0, 4.9, 4.98, 86_400.0)
    assert load.busy_share == 0.9
    assert (load.in_flight, load.in_flight_limit) == (5, 8)
    assert load.input_tokens_per_second == 60.0
    assert load.output_tokens_per_second == 20.0
    assert load.cached_share == 0.25
    assert (load.running, load.waiting, load.kv_share) == (7, 2, 0.25)
    assert load.restarts == 1
    assert load.backlog_gpu_seconds == 33
    assert load.queued_seconds == 0.5


def test_several_workers_are_summed_each_over_its_own_time():
    def idle(page):
        page.of(names.LAG_RECORDS, "t", "2").set(1)
        page.of(names.LAG_TIME).set(50)
        page.of(names.CONSUMED, "t").inc(4)
        page.of(names.ENGINE_BUSY).inc(0.4)

    load = measure([change(Page(), busy), change(Page(), idle, seconds=4.0)])
    assert load.lag_records == 101
    assert load.lag_seconds == 50
    assert load.received_per_second == 7.0
    assert load.busy_share == pytest.approx(0.5)
    assert load.cached_share == 0.25
    assert load.running is None


def test_what_takes_two_looks_is_not_told_after_one():
    load = measure([Change(None, Page().snapshot(1.0))])
    assert load.received_per_second is None
    assert load.busy_share is None
    assert load.cached_share is None
    assert load.age.p50 is None
    assert flow_of([Change(None, Page().snapshot(1.0))]) is None


def test_a_flow_is_of_all_workers_at_the_latest_look():
    made = flow_of([change(Page(), busy), change(Page(), busy, seconds=5.0)])
    assert made == Flow(110.0, 18.0, 15.0)


def test_a_worker_is_known_by_what_it_tells():
    view = view_of([seen(page=Page(model="m", version="9"))], now=1_000_060.0)
    [worker] = view.workers
    assert worker.identity == Identity("9", "guardreasoner", "m", "vllm", "exactly_once", "g")
    assert (worker.state, worker.ready, worker.breaker_open) == ("running", True, False)
    assert worker.uptime_seconds == 60
    assert view.seconds == 10.0


def test_a_worker_that_cannot_be_read_does_not_count_and_says_why():
    view = view_of([seen(busy), WorkerStatus("w:2", fault="no connection")], now=0.0)
    assert [worker.fault for worker in view.workers] == [None, "no connection"]
    assert view.workers[1].load is None
    assert view.load == measure([change(Page(), busy)])
    assert view_of([WorkerStatus("w:2", fault="no connection")], now=0.0).load is None


def test_an_open_breaker_and_unreadiness_are_seen():
    def act(page):
        page.of(names.BREAKER_OPEN).set(1)

    [worker] = view_of([seen(act, page=Page(ready=False, state="loading"))], now=0.0).workers
    assert (worker.state, worker.ready, worker.breaker_open) == ("loading", False, True)


def test_stages_are_in_order_with_their_share_of_the_time():
    def act(page):
        page.of(names.STAGE_DURATION, "judge").observe(3)
        page.of(names.STAGE_DURATION, "queue").observe(1)

    stages = view_of([seen(act), seen(act)], now=0.0).stages
    assert [stage.stage for stage in stages] == ["queue", "batch", "judge", "publish"]
    assert [stage.share for stage in stages] == [0.25, 0.0, 0.75, 0.0]
    assert stages[0].times.p50 == 0.75
    assert stages[1].times.p50 is None


def test_labels_are_mixed_in_shares_of_the_verdicts():
    page = Page()
    page.of(names.VERDICTS, "prompt_harmfulness", "harmful").inc(1000)

    def act(page):
        page.of(names.VERDICTS, "prompt_harmfulness", "harmful").inc(1)
        page.of(names.VERDICTS, "prompt_harmfulness", "unharmful").inc(3)
        page.of(names.VERDICTS, "response_refusal", "none").inc(4)
        page.of(names.JUDGEMENTS, "complete").inc(3)
        page.of(names.JUDGEMENTS, "inconclusive").inc(1)
        page.of(names.REASONED).inc(2)

    view = view_of([seen(act, page=page)], now=0.0)
    assert [mix.task for mix in view.mixes] == ["prompt_harmfulness", "response_refusal"]
    assert [mix.shares for mix in view.mixes] == [
        {"harmful": 0.25, "unharmful": 0.75},
        {"none": 1.0},
    ]
    assert view.inconclusive_share == 0.25
    assert view.reasoned_share == 0.5


def test_flags_are_ranked():
    def act(page):
        for flag, number in (("a", 1), ("b", 3), ("c", 2), ("d", 0)):
            page.of(names.FLAGS, flag).inc(number)

    assert view_of([seen(act)], now=0.0).flags == (("b", 3), ("c", 2), ("a", 1))


def test_dead_letters_are_counted_since_the_start_and_lately():
    page = Page()
    page.of(names.DEAD_LETTERS, "decode", "NotAnEvent").inc(5)

    def act(page):
        page.of(names.DEAD_LETTERS, "judge", "JudgingTimedOut").inc(2)

    assert view_of([seen(act, page=page), seen(act)], now=0.0).dead_letters == (
        DeadLetters("decode", "NotAnEvent", 5, 0),
        DeadLetters("judge", "JudgingTimedOut", 4, 4),
    )


def test_the_partition_that_lags_most_comes_first():
    def one(page):
        page.of(names.LAG_RECORDS, "t", "0").set(5)
        page.of(names.UNSETTLED, "t", "0").set(2)
        page.of(names.EPOCH, "t", "0").set(4)

    def other(page):
        page.of(names.LAG_RECORDS, "t", "1").set(9)

    view = view_of([seen(one), seen(other, name="w:2")], now=0.0)
    assert view.partitions == (
        PartitionView("w:2", "t", "1", 9, None, None),
        PartitionView("w:1", "t", "0", 5, 2, 4),
    )


def test_the_newest_verdict_of_all_workers_comes_first():
    first = seen(recent=(recent(judged_at=30.0), recent(judged_at=10.0)))
    view = view_of([first, seen(recent=(recent(judged_at=20.0),))], now=0.0)
    assert [told.judged_at for told in view.recent] == [30.0, 20.0, 10.0]


def test_verdicts_that_nobody_tells_are_none_with_the_reason():
    view = view_of([seen(recent_fault="its /recent answers 404")], now=0.0)
    assert (view.recent, view.recent_fault) == (None, "its /recent answers 404")
    assert view_of([seen(recent=())], now=0.0).recent == ()


def test_actions_are_shares_of_what_the_policy_decided():
    def decide(page):
        page.of(names.DECISIONS, "acting", "allow").inc(6)
        page.of(names.DECISIONS, "acting", "block").inc(2)
        page.of(names.DECISIONS, "acting", "log").inc(0)
        page.of(names.DECISIONS, "shadow", "allow").inc(8)
        page.of(names.DECISIONS_DIFFER, "block", "allow").inc(2)

    view = view_of([seen(decide), seen(decide, name="w:2")], 0.0)
    assert view.decisions == (("allow", 0.75), ("block", 0.25))
    assert view.shadow_differs == 0.25
    assert not view.policy_broken
    without = view_of([seen()], 0.0)
    assert (without.decisions, without.shadow_differs) == ((), None)


def test_a_broken_policy_file_is_seen():
    view = view_of([seen(), seen(lambda page: page.of(names.POLICY_BROKEN, "shadow").set(1))], 0.0)
    assert view.policy_broken
