"""Mining against a plain reading of the paper, and the weights of the pairs."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.mining import is_right, mine, weight
from worker.domain.questions import (
    PROMPT_HARMFULNESS,
    RESPONSE_HARMFULNESS,
    RESPONSE_REFUSAL,
    STANDARD_TASKS,
    standard,
)

SAID = {task: (*standard(task).labels, None) for task in STANDARD_TASKS}
one_said = st.fixed_dictionaries({task: st.sampled_from(SAID[task]) for task in STANDARD_TASKS})
some_labels = st.fixed_dictionaries({task: st.sampled_from(SAID[task]) for task in STANDARD_TASKS})


def brute_force(labels, said):
    """The task, and every pair that may be made: chosen right and rejected wrong on it."""
    for task in ("prompt_harmfulness", "response_harmfulness", "response_refusal"):
        if labels[task] is None:
            continue
        pairs = set()
        for i, j in product(range(len(said)), repeat=2):
            if said[i][task] == labels[task] and said[j][task] != labels[task]:
                pairs.add((i, j))
        if pairs:
            return task, pairs
    return None


def faults(labels, said):
    return sum(labels[t] is not None and said[t] != labels[t] for t in STANDARD_TASKS)


def agrees_with_brute_force(labels, said):
    found, expected = mine(labels, said), brute_force(labels, said)
    if expected is None:
        assert found is None
        return
    task, pairs = expected
    assert found is not None
    assert found.task == task
    assert (found.chosen, found.rejected) in pairs
    assert found.right == len({i for i, _ in pairs})
    assert found.wrong == len({j for _, j in pairs})
    assert found.right + found.wrong == len(said)
    # of all pairs that may be made, none is further apart
    chosen, rejected = said[found.chosen], said[found.rejected]
    gaps = [faults(labels, said[j]) - faults(labels, said[i]) for i, j in pairs]
    assert faults(labels, rejected) - faults(labels, chosen) == max(gaps)


@given(some_labels, st.lists(one_said, min_size=1, max_size=8))
def test_mining_agrees_with_a_brute_force_reading(labels, said):
    agrees_with_brute_force(labels, said)


def test_mining_agrees_on_all_mixtures_of_two_tasks():
    labels = dict(zip(STANDARD_TASKS, ("harmful", "refusal", "unharmful"), strict=True))
    ways = [
        dict(zip(STANDARD_TASKS, (request, "refusal", response), strict=True))
        for request, response in product(("harmful", "unharmful"), repeat=2)
    ]
    seen = set()
    for said in product(ways, repeat=4):
        agrees_with_brute_force(labels, said)
        found = mine(labels, said)
        seen.add(found and found.task)
    assert seen == {None, PROMPT_HARMFULNESS.name, RESPONSE_HARMFULNESS.name}


def labels(request, refusal=None, response=None):
    return dict(zip(STANDARD_TASKS, (request, refusal, response), strict=True))


TRUE = labels("harmful", "refusal", "unharmful")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        # the request decides before the response does
        (
            [labels("unharmful", "refusal", "unharmful"), labels("harmful", "refusal", "harmful")],
            (PROMPT_HARMFULNESS.name, 1, 0),
        ),
        # all wrong on the request, mixed on response and refusal: the response decides
        (
            [labels("unharmful", "refusal", "harmful"), labels(None, "compliance", "unharmful")],
            (RESPONSE_HARMFULNESS.name, 1, 0),
        ),
        (
            [labels("harmful", "compliance", "unharmful"), TRUE],
            (RESPONSE_REFUSAL.name, 1, 0),
        ),
        # unreadable is wrong
        ([TRUE, labels(None)], (PROMPT_HARMFULNESS.name, 0, 1)),
        # the chosen has the fewest other faults, the rejected the most
        (
            [
                labels("harmful", "compliance", "unharmful"),
                TRUE,
                labels("unharmful", "refusal", "unharmful"),
                labels("unharmful", "compliance", "harmful"),
            ],
            (PROMPT_HARMFULNESS.name, 1, 3),
        ),
        ([TRUE, TRUE], None),
        ([labels(None), labels("unharmful")], None),
        ([], None),
    ],
)
def test_cases(said, expected):
    found = mine(TRUE, said)
    assert (found and (found.task, found.chosen, found.rejected)) == expected


def test_tasks_without_a_label_decide_nothing():
    said = [labels("harmful", "refusal", "harmful"), labels("harmful", "compliance", "unharmful")]
    assert mine(labels("harmful"), said) is None
    assert is_right(labels("harmful"), said[0])
    assert not is_right(TRUE, said[0])


def test_the_papers_weights():
    assert [weight(r, 4 - r, 0.2) for r in (3, 2, 1)] == pytest.approx([0.8, 1.0, 1.2])
    assert weight(1, 1, 0.2) == 1.0


@given(st.integers(1, 20), st.integers(1, 20), st.floats(0, 0.9))
def test_weights_grow_with_the_wrong_ones_and_stay_within_gamma(right, wrong, gamma):
    found = weight(right, wrong, gamma)
    assert 1 - gamma - 1e-9 <= found <= 1 + gamma + 1e-9
    assert found + weight(wrong, right, gamma) == pytest.approx(2)
    if right > 1:
        assert weight(right - 1, wrong + 1, gamma) >= found
