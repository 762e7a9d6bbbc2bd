"""The kit for a GPU machine: its pieces, its time, its file of figures, and its section."""

import base64
import csv
import json
import signal
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gpu import plan as plans
from benchmarks.gpu import report as reporting
from benchmarks.gpu import unpack as unpacking
from benchmarks.gpu.forced import Lengths, forced
from benchmarks.gpu.llama3 import numbers_of, tokenizer_of
from benchmarks.gpu.measuring import Run, _compare, _decode, _measure_load
from benchmarks.gpu.memory_worker import arrivals
from benchmarks.gpu.packing import calls, piece_bytes, trim
from benchmarks.gpu.pieces import MANIFEST, PieceError, join, missing, read_manifest, split
from benchmarks.gpu.process import Side, SideError
from benchmarks.gpu.record import Budget, FiguresFile, read_figures
from benchmarks.gpu.report import keep, section_of, size_options
from benchmarks.gpu.sides import guard_of
from benchmarks.page import page, read_measured
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.events import Exchange
from worker.domain.guard import first_request

MEBIBYTE = 1 << 20
TOKENIZER = Path(__file__).parents[2] / "worker" / "models" / "demonstration"


@given(st.binary(max_size=5000), st.integers(1, 700))
def test_pieces_are_small_enough_and_join_to_the_archive_again(
    tmp_path_factory, content, most_bytes
):
    folder = tmp_path_factory.mktemp("pieces")
    (folder / "cargo").write_bytes(content)
    pieces = split(folder / "cargo", folder / "cut", most_bytes)
    assert read_manifest(folder / "cut") == pieces
    assert missing(folder / "cut", pieces) == []
    assert all(0 < piece.size <= most_bytes for piece in pieces)
    join(folder / "cut", pieces, folder / "joined")
    assert (folder / "joined").read_bytes() == content


def test_a_piece_that_is_not_there_yet_is_named_and_a_damaged_one_is_removed(tmp_path):
    (tmp_path / "cargo").write_bytes(b"0123456789")
    pieces = split(tmp_path / "cargo", tmp_path, 4)
    (tmp_path / "piece-001").unlink()
    assert missing(tmp_path, pieces) == [pieces[1]]
    (tmp_path / "piece-002").write_bytes(b"8x")
    with pytest.raises(PieceError, match="piece-002 has other bytes"):
        missing(tmp_path, pieces)
    assert missing(tmp_path, pieces) == pieces[1:]


@pytest.mark.parametrize(
    "manifest",
    [
        "{",
        "[]",
        '{"pieces": [{"name": "piece-000"}]}',
        '{"pieces": [{"name": "../piece-0", "size": 1, "sha256": ""}]}',
        '{"pieces": [{"name": "manifest.json", "size": 1, "sha256": ""}]}',
    ],
)
def test_a_manifest_that_is_damaged_or_names_other_files_is_refused(tmp_path, manifest):
    (tmp_path / MANIFEST).write_text(manifest)
    with pytest.raises(PieceError, match=MANIFEST):
        read_manifest(tmp_path)


def test_unpacking_goes_as_far_as_the_pieces_allow_and_installs_once(tmp_path, monkeypatch):
    installs = []
    monkeypatch.setattr(unpacking, "_install", lambda wheels, _: installs.append(wheels))
    cargo = tmp_path / "a.whl"
    cargo.write_bytes(b"a wheel " * 500)
    archive = tmp_path / "cargo.tar"
    with tarfile.open(archive, "w") as packed:
        packed.add(cargo, "a.whl")
    pieces = split(archive, tmp_path / "pieces", 4000)
    last = tmp_path / "pieces" / pieces[-1].name
    held = last.read_bytes()
    last.unlink()
    assert f"not yet: {pieces[-1].name}" in unpacking.unpack(tmp_path)
    assert not installs
    last.write_bytes(held)
    assert "1 wheels are installed" in unpacking.unpack(tmp_path)
    assert "already" in unpacking.unpack(tmp_path)
    assert [[wheel.name for wheel in wheels] for wheels in installs] == [["a.whl"]]
    described = list((tmp_path / "site").glob("guardstream-*.dist-info/METADATA"))
    assert "Name: guardstream" in described[0].read_text()


def test_a_trimmed_wheel_lacks_the_files_in_its_list_too(tmp_path):
    wheel = tmp_path / "vllm-1-py3-none-any.whl"
    record = "vllm/a.py,,\nvllm/big.so,,\nvllm-1.dist-info/RECORD,,\n"
    with zipfile.ZipFile(wheel, "w") as packed:
        for name, text in [
            ("vllm/a.py", "1"),
            ("vllm/big.so", "2"),
            ("vllm-1.dist-info/RECORD", record),
        ]:
            packed.writestr(name, text)
    trim(wheel, ("vllm/big",))
    with zipfile.ZipFile(wheel) as packed:
        listed = csv.reader(packed.read("vllm-1.dist-info/RECORD").decode().splitlines())
        assert [row[0] for row in listed] == packed.namelist()
        assert packed.namelist() == ["vllm/a.py", "vllm-1.dist-info/RECORD"]


@given(st.integers(0, 59 * MEBIBYTE))
def test_a_piece_and_the_repository_fit_into_a_call(repository):
    assert MEBIBYTE <= piece_bytes(repository) <= 60 * MEBIBYTE
    assert piece_bytes(repository) + repository < 64 * MEBIBYTE


def test_a_repository_without_space_for_pieces_is_refused():
    with pytest.raises(SystemExit, match="leaves no space"):
        piece_bytes(63 * MEBIBYTE)


def test_each_call_carries_one_piece_and_the_last_one_measures(tmp_path):
    (tmp_path / "cargo").write_bytes(b"0123456789")
    pieces = split(tmp_path / "cargo", tmp_path / "pieces", 4)
    said = [line for line in calls(tmp_path, pieces) if line[0].isdigit()]
    assert [piece.name in line for piece, line in zip(pieces, said, strict=True)] == [True] * 3
    assert ["measure" in line for line in said] == [False, False, True]


def test_the_tokenizer_is_made_of_the_packages_vocabulary_and_merges(tmp_path):
    letters = [chr(c) for c in range(33, 127)] + ["he", "hel", "\u0120", "\u0120he", "xyz"]
    bits = "".join(
        f"{letters.index(token):017b}"
        for pair in ["he", ("he", "l"), ("\u0120", "he")]
        for token in pair
    )
    packed = int(bits + "0" * (-len(bits) % 8), 2).to_bytes((len(bits) + 7) // 8)
    data = "\n".join(
        f'const {name} = "{base64.b64encode(value).decode()}";'
        for name, value in [
            ("llama_vocab_base64", "\n".join(letters).encode()),
            ("llama_merges_binary", packed),
        ]
    )
    made = tokenizer_of(data, "const llama3SpecialTokens = [\n'<|a_b|>',\n'<|eot_id|>'];")
    (tmp_path / "tokenizer.json").write_text(json.dumps(made))
    tokenizer = JsonTokenizer.load(str(tmp_path))
    assert tokenizer.ids("hel he") == [letters.index("hel"), letters.index("\u0120he")]
    # no merge makes it: the vocabulary comes first
    assert tokenizer.ids("xyz") == [letters.index("xyz")]
    assert tokenizer.token_id("<|eot_id|>") == len(letters) + 1


@given(st.lists(st.integers(0, 2**17 - 1), max_size=40))
def test_numbers_of_17_bits_are_read_up_to_the_padding(numbers):
    bits = "".join(f"{number:017b}" for number in numbers)
    padded = bits + "0" * (-len(bits) % 8)
    packed = int(padded or "0", 2).to_bytes(len(padded) // 8)
    assert list(numbers_of(packed)) == numbers


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class FakeSide:
    """Takes a second for each exchange per unit of its rate."""

    def __init__(self, clock, rate):
        self.clock, self.rate, self.asked = clock, rate, []

    def ask(self, _, **request):
        self.asked.append(request)
        self.clock.now += request.get("count", 1) / self.rate
        return {"events_per_second": self.rate}


def a_run(tmp_path, seconds):
    clock = Clock()
    (tmp_path / "model").mkdir(exist_ok=True)
    budget = Budget(seconds, clock)
    return clock, Run(
        plans.rehearsal(tmp_path / "model", TOKENIZER),
        budget,
        FiguresFile(tmp_path, budget),
        tmp_path,
        {"engine": FakeSide(clock, 20.0), "worker": FakeSide(clock, 10.0)},
    )


def lines_of(tmp_path):
    return read_figures((tmp_path / "figures.jsonl").read_text().splitlines())


def test_both_sides_get_the_same_exchanges_in_alternating_rounds(tmp_path):
    _, run = a_run(tmp_path, 1000)
    _compare(run, "reasoning", "always")
    engine, worker = run.sides["engine"].asked, run.sides["worker"].asked
    assert engine == worker
    assert len({request["seed"] for request in engine}) == len(engine)
    order = [(line["side"], line["round"]) for line in lines_of(tmp_path)]
    assert order == [("engine", 1), ("worker", 1), ("worker", 2), ("engine", 2)]


@given(st.floats(0, 60))
def test_no_part_is_begun_without_the_time_for_it(tmp_path_factory, seconds):
    folder = tmp_path_factory.mktemp("run")
    clock, run = a_run(folder, 6 + seconds)
    _compare(run, "reasoning", "always")
    assert clock.now - 100 <= 6 + seconds
    found = lines_of(folder)
    assert found
    for line in found:
        assert ("skipped" in line) != ("side" in line)


def test_decoding_is_not_timed_before_the_engine_has_decoded_once(tmp_path):
    _, run = a_run(tmp_path, 1000)
    _decode(run, "decode", (1, 16))
    asked = [request["sequences"] for request in run.sides["engine"].asked]
    assert asked == [1, 1, 1, 16, 16]
    assert [line["sequences"] for line in lines_of(tmp_path)] == asked[1:]


def test_a_part_that_needs_an_unknown_rate_is_left_out_with_a_line(tmp_path):
    _, run = a_run(tmp_path, 1000)
    _measure_load(run, "load", "always")
    assert "is not known" in lines_of(tmp_path)[0]["skipped"]


def test_a_figure_that_was_cut_off_is_left_out_and_another_fault_is_named(tmp_path):
    FiguresFile(tmp_path, Budget(1)).write("prefill", tokens_per_second=5)
    lines = (tmp_path / "figures.jsonl").read_text().splitlines()
    assert [line["part"] for line in read_figures([*lines, '{"part": "de'])] == ["prefill"]
    with pytest.raises(ValueError, match="line 1"):
        read_figures(['{"par', *lines])
    with pytest.raises(ValueError, match="names no part"):
        read_figures(["5"])


def ask_lost(given, log, sides, seconds):
    with Side("worker", given, log) as side:
        sides.append(side)
        side.ready(seconds)


def test_a_side_that_ends_is_lost_and_its_log_is_named(tmp_path):
    with pytest.raises(SideError, match=r"has ended; see side\.log"):
        ask_lost({"engine": {"kind": "no such kind"}}, tmp_path / "side.log", [], 60.0)
    assert "engine.kind" in (tmp_path / "side.log").read_text()


def test_a_side_that_does_not_answer_is_killed(tmp_path, monkeypatch):
    hangs = tmp_path / "hangs"
    hangs.write_text("#!/bin/sh\nexec sleep 20\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hangs))
    sides = []
    with pytest.raises(SideError, match="did not answer in 0 s"):
        ask_lost({}, tmp_path / "side.log", sides, 0.0)
    assert sides[0]._process.poll() == -signal.SIGKILL


def test_completions_have_the_lengths_of_a_real_guards(tmp_path):
    lengths = Lengths(reasoning=258, answers=13)
    exchange = Exchange("a", "b")
    reasons = forced(first_request(guard_of("always"), exchange), lengths)
    scores = forced(first_request(guard_of("never"), exchange), lengths)
    assert (reasons.max_tokens, scores.max_tokens) == (258, 13)
    assert not reasons.stop_tokens + reasons.stop + scores.stop_tokens + scores.stop
    assert len(scores.scores) == 3
    # random weights repeat themselves when they are greedy, and a loop ends a completion
    assert reasons.stop_loops
    assert reasons.temperature


@given(st.floats(1, 500), st.integers(200, 400), st.integers(0, 9))
def test_arrivals_keep_their_rate_and_their_order(rate, count, seed):
    due = list(arrivals(rate, count, seed))
    assert due == sorted(due)
    assert 0.6 < count / rate / due[-1] < 1.7


def some_figures():
    cpu = {"client": 2.0, "broker": 0.0, "engine": 9.0, "elsewhere": 0.0}
    rounds = [
        {"part": part, "side": side, "round": number, "count": 100, "events_per_second": rate}
        | {"cpu_seconds": cpu, "prompt_tokens": 40000, "completion_tokens": 25800}
        | {"cached_tokens": 10000}
        for part, rates in [("reasoning", {"engine": 50.0, "worker": 49.0}),
                            ("scores", {"engine": 200.0, "worker": 150.0})]
        for side, rate in rates.items()
        for number in (1, 2)
    ]  # fmt: skip
    card = {"name": "Card 9", "driver": "580.1", "memory": "80 GiB"}
    here = {"processor": "p", "cores": 16, "memory_gibibytes": 128, "python": "3.12.3"}
    here |= {"system": "Linux", "load_at_start": 0.1}
    return [
        {"part": "machine", "at": "2026-11-28T11:00:00+00:00", "model": "a shape", "card": card}
        | {"completion": 258, "rehearsal": False, "machine": here, "versions": {"vllm": "0.26.0"}},
        *rounds,
        {"part": "prefill", "prompt_tokens": 512, "tokens_per_second": 70000},
        {"part": "decode", "sequences": 256, "temperature": 1.0, "tokens_per_second": 14000.4},
        {"part": "decode", "sequences": 256, "temperature": 0.0, "tokens_per_second": 14100.0},
        {"part": "load", "mode": "always", "rate": 39.2, "p50_ms": 4000.0, "p99_ms": 9000.0},
        {"part": "speculation", "skipped": "90 s are needed, 3 s are left"},
        {"part": "end", "after": 480.0},
    ]


def test_the_section_names_the_card_and_says_what_was_and_was_not_measured():
    text = section_of(some_figures())
    assert "one Card 9 (driver 580.1)" in text
    assert "**Worker / engine alone, reasoning: 0.980 (0.980-0.980)**, which meets" in text
    assert "**Worker / engine alone, scores only: 0.750 (0.750-0.750)**, below the goal" in text
    assert "| 49.0 (49.0-49.0) | 20.00 | 400 | 25% | 258.0 |" in text
    assert "| writes 256 at once, drawn tokens | 14,000 |" in text
    assert "| reasoning | 39.2 | 4,000 | 9,000 |" in text
    assert "Not measured: speculation (90 s are needed, 3 s are left)." in text
    assert "as GuardReasoner's have on average" in text


def test_a_rehearsal_is_called_one():
    figures = some_figures()
    figures[0] |= {"card": None, "rehearsal": True}
    text = section_of(figures)
    assert "on a CPU. A rehearsal: the figures say nothing about a GPU." in text
    assert "on average" not in text


def test_without_figures_the_section_says_so_and_the_page_has_none(tmp_path):
    assert section_of([]) == "Not measured on a GPU yet.\n"
    assert "gpu" not in read_measured(tmp_path)


def test_kept_figures_are_a_section_of_the_page_with_their_own_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(reporting, "_KEPT", tmp_path / "gpu.json")
    keep(some_figures())
    text = page(read_measured(tmp_path), tmp_path)
    assert "## On a GPU" in text
    assert "one Card 9 (driver 580.1)" in text
    assert "`python -m benchmarks.gpu`: 2026-11-28T11:00:00+00:00, 8 min; p, 16 cores" in text


@given(st.integers(0, 14))
def test_figures_that_end_anywhere_still_make_a_section(count):
    given_lines = some_figures()[:count]
    text = section_of(given_lines)
    assert ("Card 9" in text) == bool(given_lines)
    assert text.strip()


def test_the_options_of_size_are_the_speeds_of_the_card():
    assert size_options(some_figures()) == "guardstream size --prefill 70000 --decode 14000"
    assert size_options(some_figures()[:5]) == ""


def test_figures_of_a_rehearsal_are_not_kept():
    figures = some_figures()
    figures[0]["card"] = None
    with pytest.raises(SystemExit, match="not measured on a GPU"):
        keep(figures)
