"""The check of instructions: when it fails, when it passes, when it says that it cannot tell."""

import pytest
from typer.testing import CliRunner

from benchmarks.micro import __main__ as program
from benchmarks.micro.baseline import Baseline
from benchmarks.micro.operations import EVENTS, INTERPRETER, OPERATIONS

BASE = Baseline("3.11", "x86_64", {INTERPRETER: 1000, "decode": 1000, "parse": 5000})


def counted(python="3.11", machine="x86_64", **instructions):
    return Baseline(python, machine, BASE.instructions | instructions)


@pytest.fixture
def check(monkeypatch, tmp_path):
    """Run the check on given counts; its exit code and what it said."""
    path = tmp_path / "baseline.json"
    BASE.save(path)

    def run(here, *arguments, available=True):
        monkeypatch.setattr(program, "is_available", lambda: available)
        monkeypatch.setattr(program, "count_instructions", lambda: here.instructions)
        monkeypatch.setattr(Baseline, "of_here", lambda _: here)
        monkeypatch.setattr(Baseline.load.__func__, "__defaults__", (path,))
        monkeypatch.setattr(Baseline.save, "__defaults__", (path,))
        done = CliRunner().invoke(program.app, ["check", *arguments])
        return done.exit_code, done.output

    return run


def test_a_step_that_grew_by_more_than_a_fifth_fails_by_its_name(check):
    code, said = check(counted(decode=1210))
    assert code == 1
    assert "above the baseline: decode." in said
    assert "--accept" in said


def test_growth_within_a_fifth_passes(check):
    code, said = check(counted(decode=1190, parse=4000))
    assert code == 0
    assert "19.0%" in said
    assert "-20.0%" in said


def test_a_step_that_the_baseline_does_not_know_fails(check):
    code, said = check(counted(encode=10))
    assert code == 1
    assert "differ in encode" in said


def test_what_is_accepted_is_the_next_baseline(check):
    assert check(counted(decode=2000), "--accept")[0] == 0
    assert check(counted(decode=2000))[0] == 0


@pytest.mark.parametrize(
    ("here", "why"),
    [
        (counted(python="3.12", decode=9000), "Python 3.12 on x86_64"),
        (counted(machine="aarch64", decode=9000), "on aarch64"),
        (counted(**{INTERPRETER: 800}, decode=9000), "0.80 times the instructions"),
    ],
)
def test_another_python_or_machine_is_said_and_not_compared(check, here, why):
    code, said = check(here)
    assert code == 0
    assert "not compared" in said
    assert why in said


def test_without_valgrind_it_is_said_and_skipped(check):
    code, said = check(counted(decode=9000), available=False)
    assert code == 0
    assert "valgrind is not installed" in said


def test_nothing_can_be_accepted_without_valgrind(check):
    assert check(counted(), "--accept", available=False)[0] == 1


def test_the_baseline_of_the_repository_knows_the_operations_there_are():
    assert Baseline.load().instructions.keys() == OPERATIONS.keys()


def test_the_whole_way_judges_every_record():
    assert OPERATIONS["way"].make()() == EVENTS


def test_operations_can_be_called_again():
    for name in ("decode", "encode", "ledger", "telemetry"):
        call = OPERATIONS[name].make()
        # neither raises
        assert [call(), call()] == [None, None], name
