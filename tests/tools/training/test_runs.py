"""The run's folder: what counts as done, and what is never taken for whole."""

import errno

import pytest

from training.config import parse_config
from training.loop import last_checkpoint
from training.runs import (
    Run,
    disk_trouble,
    require_space,
    write_folder,
    write_lines,
)
from worker.domain.errors import UnusableFile, WrongSetting

DOCUMENT = {
    "name": "small",
    "model": {"path": "demonstration"},
    "data": {"train": "rows.jsonl", "held_out": "held-out.jsonl"},
}


@pytest.fixture
def run(tmp_path):
    return Run.open(tmp_path / "run", parse_config(DOCUMENT, "small"))


def test_a_step_is_done_when_the_state_says_so(run):
    assert not run.is_done("sft")
    with pytest.raises(UnusableFile, match=r"has no finished sft; run that step first\.$"):
        run.require("sft")
    run.finish("sft", rows=3)
    again = Run(run.folder)
    again.require("sft")
    assert again.state["sft"]["rows"] == 3


def test_another_configuration_is_refused_with_its_key(run):
    changed = parse_config(DOCUMENT | {"sft": {"epochs": 7}}, "small")
    with pytest.raises(WrongSetting, match=r"begun with another sft\.epochs"):
        Run.open(run.folder, changed)
    Run.open(run.folder, parse_config(DOCUMENT, "small"))


def test_a_place_where_no_folder_can_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UnusableFile, match="cannot be used: Not a directory"):
        Run.open(tmp_path / "file" / "run", parse_config(DOCUMENT, "small"))


def test_one_process_at_a_time(run):
    with (
        run.held(),
        pytest.raises(UnusableFile, match="Another process works in"),
        Run(run.folder).held(),
    ):
        pass
    with run.held():
        pass


def test_a_folder_is_there_in_full_or_not_at_all(tmp_path):
    folder = tmp_path / "model"

    def half(beside):
        (beside / "one").write_text("new")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_folder(folder, half)
    assert not folder.exists()
    write_folder(folder, lambda beside: (beside / "one").write_text("old"))
    with pytest.raises(OSError, match="No space"):
        write_folder(folder, half)
    assert [path.name for path in folder.iterdir()] == ["one"]
    assert (folder / "one").read_text() == "old"
    write_folder(folder, lambda beside: (beside / "two").write_text("new"))
    assert [path.name for path in folder.iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_lines_are_written_in_full_or_not_at_all(tmp_path):
    path = tmp_path / "sub" / "rows.jsonl"

    def rows():
        yield {"a": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lines(path, rows())
    assert not path.exists()
    write_lines(path, [{"a": 1}, {"a": 2}])
    assert path.read_text() == '{"a":1}\n{"a":2}\n'


def test_only_whole_checkpoints_are_gone_on_from(run):
    folder = run.checkpoints("sft")
    assert last_checkpoint(run, "sft") is None
    for steps, whole in ((9, True), (10, True), (20, False)):
        (folder / f"checkpoint-{steps}").mkdir(parents=True)
        if whole:
            (folder / f"checkpoint-{steps}" / "whole").touch()
    assert last_checkpoint(run, "sft") == str(folder / "checkpoint-10")
    assert not (folder / "checkpoint-20").exists()


def test_figures_are_read_back_without_a_torn_line_or_what_was_redone(run):
    for at, loss in ((1, 4.0), (2, 3.0), (3, 2.0), (2, 2.5)):
        run.log("sft", {"at": at, "loss": loss})
    run.log("dpo", {"at": 1, "loss": 9.0})
    with (run.folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": "sft", "at": 4')
    assert [(one["at"], one["loss"]) for one in run.logged("sft")] == [(1, 4), (2, 2.5), (3, 2)]


def test_too_little_space_is_told_before_the_work(tmp_path):
    require_space(tmp_path, 1)
    with pytest.raises(UnusableFile, match=r"needs 1000000000\.0 GB on its disk, which has"):
        require_space(tmp_path, 10**18)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail at inline_container.cc] . PytorchStreamWriter failed writing"),
        ValueError("I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_told_whichever_library_meets_it(error):
    assert disk_trouble(error) is not None


def test_other_errors_are_not_taken_for_a_full_disk():
    assert disk_trouble(OSError(errno.EACCES, "Permission denied")) is None
    assert disk_trouble(RuntimeError("shape mismatch")) is None
