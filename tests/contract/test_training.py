"""The recipe's trainers on small random models: the loss, the steps, interruptions, bad input."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from datasets import Dataset
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM
from trl import DPOConfig, SFTConfig

from training import __main__ as program
from training import runs
from training.config import FromScratch, parse_config, rehearsed
from training.dpo import run_dpo
from training.first_answers import read_first_answers
from training.models import load_model, load_tokenizer
from training.preference import HardSampleTrainer, WeightedPairs
from training.rows import data_path, read_events
from training.runs import STEPS, Run
from training.sft import run_sft
from training.trainer import SharedPrefixTrainer, TwoForms, TwoFormsTrainer
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.demo.kafka.broker import free_ports
from worker.domain.errors import UnusableFile
from worker.domain.questions import STANDARD_TASKS
from worker.guards.guardreasoner.answers import headings, questions_of
from worker.guards.guardreasoner.prompt import render
from worker.runtime.engines import demonstration_model

# torch, transformers and trl warn of themselves
pytestmark = [pytest.mark.timeout(900), pytest.mark.filterwarnings("default")]

BETA, SFT_WEIGHT = 0.5, 2.0
SCRATCH = {
    "vocabulary": 512,
    "hidden": 32,
    "intermediate": 64,
    "layers": 2,
    "heads": 2,
    "head_size": 16,
}


def small_model():
    torch.manual_seed(5)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            tie_word_embeddings=True,
        )
    )


def numpy_log_probability(logits, ids, start):
    """Of the tokens from `start` on: their sum, and how many they are."""
    rows = logits.astype(np.float64)
    rows = rows - rows.max(axis=-1, keepdims=True)
    rows = rows - np.log(np.exp(rows).sum(axis=-1, keepdims=True))
    found = [rows[at - 1, ids[at]] for at in range(start, len(ids))]
    return float(np.sum(found)), len(found)


def logits_of(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].numpy()


@pytest.mark.parametrize("answers", [False, True])
def test_the_loss_is_the_papers_and_that_of_answers_first(tmp_path, answers):
    draw = np.random.default_rng(3)
    pairs = [
        {
            "prompt_ids": draw.integers(6, 64, 5 + n).tolist(),
            "chosen_ids": draw.integers(6, 64, 4 + 3 * n).tolist(),
            "rejected_ids": draw.integers(6, 64, 9 - 2 * n).tolist(),
            "alpha": alpha,
            # the second has none
            "answer_ids": [50, 51, 52, 53][: 4 * (n != 1)],
            "answer_mask": [0, 1, n // 2, 1][: 4 * (n != 1)],
        }
        for n, alpha in enumerate((0.8, 1.0, 1.2))
    ]
    model = small_model()
    reference = small_model().eval()
    trainer = HardSampleTrainer(
        sft_weight=SFT_WEIGHT,
        model=model,
        args=DPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=3,
            beta=BETA,
            max_length=None,
            precompute_ref_log_probs=True,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            report_to="none",
        ),
        data_collator=WeightedPairs(pad_token_id=5, answers=answers),
        train_dataset=Dataset.from_list(pairs),
        processing_class=load_tokenizer(demonstration_model(), None),
    )
    with torch.no_grad():
        for parameter in model.parameters():
            # as after some steps, so that margins are not nil
            parameter.add_(0.05 * torch.randn_like(parameter))
    batch = next(iter(trainer.get_train_dataloader()))
    model.eval()
    loss = trainer.compute_loss(model, batch).item()

    # in the batch's own order
    order = [
        next(n for n, pair in enumerate(pairs) if abs(pair["alpha"] - alpha) < 1e-6)
        for alpha in batch["alpha"].tolist()
    ]
    assert sorted(order) == [0, 1, 2]
    expected = []
    for pair in pairs:
        start = len(pair["prompt_ids"])
        sums = {}
        for name in ("chosen_ids", "rejected_ids"):
            ids = pair["prompt_ids"] + pair[name]
            for who, one in (("policy", model), ("reference", reference)):
                sums[who, name] = numpy_log_probability(logits_of(one, ids), ids, start)
        ratio = {
            name: sums["policy", name][0] - sums["reference", name][0]
            for name in ("chosen_ids", "rejected_ids")
        }
        margin = ratio["chosen_ids"] - ratio["rejected_ids"]
        assert abs(margin) > 0.01
        preference = pair["alpha"] * np.log1p(np.exp(-BETA * margin))
        total, count = sums["policy", "chosen_ids"]
        expected.append(preference + SFT_WEIGHT * -total / count)
        if answers and pair["answer_ids"]:
            ids = pair["prompt_ids"] + pair["answer_ids"]
            logits = logits_of(model, ids)
            learnt = [start + at for at, counts in enumerate(pair["answer_mask"]) if counts]
            found = [numpy_log_probability(logits, ids[: at + 1], at)[0] for at in learnt]
            expected[-1] += SFT_WEIGHT * -np.mean(found)
    assert loss == pytest.approx(np.mean(expected), abs=1e-5)


@pytest.mark.parametrize("kind", [TwoFormsTrainer, SharedPrefixTrainer])
def test_the_loss_is_the_mean_over_the_tokens_that_are_learnt(tmp_path, kind):
    prefix = list(range(6, 26))
    rows = [[*prefix, 30 + n, 31, 40, 41, 42 + n][: 25 - n] for n in range(3)]
    # of the first row a token in between is given, as a heading is
    learnt = [[22, 24], [22, 23], [22]]
    encoded = [
        {
            "input_ids": row,
            "completion_mask": [int(at in places) for at in range(len(row))],
        }
        for row, places in zip(rows, learnt, strict=True)
    ]
    trainer = kind(
        model=small_model(),
        args=SFTConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=3,
            max_length=None,
            completion_only_loss=True,
            bf16=False,
            use_cpu=True,
            gradient_checkpointing=False,
            report_to="none",
        ),
        train_dataset=Dataset.from_list(encoded),
        processing_class=load_tokenizer(demonstration_model(), None),
    )
    (batch,) = trainer.get_train_dataloader()
    loss = trainer.compute_loss(trainer.model.eval(), batch).item()
    expected = []
    for row, places in zip(rows, learnt, strict=True):
        logits = logits_of(small_model().eval(), row)
        found = [numpy_log_probability(logits, row[: at + 1], at)[0] for at in places]
        expected += found
    assert loss == pytest.approx(-np.mean(expected), abs=1e-5)


@pytest.mark.parametrize(("reasoned", "answers"), [(400, 203), (403, 0), (16, 403), (3, 2)])
def test_each_batch_has_rows_of_one_form_and_each_step_has_both(reasoned, answers):
    lengths = [100 + n % 7 for n in range(reasoned)] + [10 + n % 7 for n in range(answers)]
    torch.manual_seed(2)
    order = list(TwoForms(8, lengths, reasoned))
    assert sorted(order) == list(range(reasoned + answers))
    whole = (reasoned // 8 + answers // 8) * 8
    batches = [order[at : at + 8] for at in range(0, whole, 8)]
    forms = [{row < reasoned for row in batch} for batch in batches]
    assert all(len(form) == 1 for form in forms)
    if whole:
        assert max(lengths) in [lengths[row] for row in batches[0]]
    # wherever one looks, both have about their share
    share = sum(form == {False} for form in forms) / max(len(forms), 1)
    for until in range(len(forms)):
        assert abs(sum(form == {False} for form in forms[:until]) - share * until) <= 2


def test_answers_before_reasoning_are_those_of_the_model_alone(tmp_path):
    config = small_config()
    run = Run.open(tmp_path / "run", config)
    run_sft(run, config)
    model = load_model(str(run.model("sft"))).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # a model after few steps hardly looks at what comes before
            parameter.mul_(2)
    model.save_pretrained(run.model("sft"))
    events = read_events(data_path(run, config, "held_out")).events
    read = read_first_answers(config, run.model("sft"), events, 1024)
    assert {len(answers) for answers in read} == {1, 3}

    tokenizer = JsonTokenizer.load(str(run.model("sft")))
    for labelled, answers in zip(events, read, strict=True):
        exchange = labelled.exchange
        prompt = render(exchange.prompt, exchange.response)
        ids = asyncio.run(tokenizer.encode([prompt], 4096))[0]
        for question, heading in headings(questions_of(has_response=exchange.response is not None)):
            ids += tokenizer.ids(heading)
            place, tokens = tokenizer.label_tokens([f" {one}" for one in question.labels])
            alike = tokenizer.ids(f" {question.positive}")[:place]
            rows = logits_of(model, [*ids, *alike])[-1].astype(np.float64)
            shares = np.exp(rows - rows.max()) / np.exp(rows - rows.max()).sum()
            of = {one: shares[tokens[f" {one}"]] for one in question.labels}
            answer = answers[question.name]
            assert answer.mass == pytest.approx(sum(of.values()), rel=1e-3)
            assert answer.score == pytest.approx(of[question.positive] / answer.mass, rel=1e-3)
            assert of[answer.label] == max(of.values())
            ids += tokenizer.ids(f" {answer.label}")


def small_config(**changes):
    training = {"batch": 8, "device_batch": 8, "epochs": 1, "checkpoint_steps": 2}
    document = {
        "name": "small",
        "seed": 4,
        "threads": 2,
        "model": {"from_scratch": SCRATCH, "saved_as": "float32"},
        "data": {"composed": {"train": 48, "mine": 12, "held_out": 12, "adversarial": 6}},
        "sft": training | {"learning_rate": 1e-3, "precision": "float32"},
        "dpo": training | {"learning_rate": 1e-3, "precision": "float32"},
        "evaluate": {"resamples": 100},
    }
    return parse_config(document | changes, "small")


class StoppedError(Exception):
    """The process is gone."""


def weights(run, name="sft"):
    return load_file(run.model(name) / "model.safetensors")


@pytest.mark.parametrize("muon", [None, 0.01], ids=["adamw", "muon"])
def test_an_interrupted_training_goes_on_and_ends_at_the_same_weights(tmp_path, monkeypatch, muon):
    config = small_config(
        data={"composed": {"train": 12, "mine": 2, "held_out": 2, "adversarial": 2}},
        sft={
            "batch": 2,
            "device_batch": 2,
            "epochs": 1,
            "checkpoint_steps": 2,
            "learning_rate": 1e-3,
            "precision": "float32",
            "muon_learning_rate": muon,
        },
    )
    whole = Run.open(tmp_path / "whole", config)
    assert run_sft(whole, config)["resumed"] is False

    run = Run.open(tmp_path / "cut", config)
    log = Run.log

    def cut(self, step, figures):
        log(self, step, figures)
        if figures["at"] == 5:
            raise StoppedError

    monkeypatch.setattr(Run, "log", cut)
    with pytest.raises(StoppedError):
        run_sft(run, config)
    assert not run.model("sft").exists()
    monkeypatch.undo()
    facts = run_sft(run, config)
    assert facts["resumed"] is True
    assert facts["steps"] == 6
    ours, theirs = weights(run), weights(whole)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.allclose(tensor, theirs[name], atol=1e-6), name
    assert [one["at"] for one in run.logged("sft")] == list(range(1, 7))


def call(*arguments):
    """One step of the program, in this process."""
    return program.app(list(map(str, arguments)), standalone_mode=False)


def rehearsed_smaller(config):
    chosen = rehearsed(config)
    model = chosen.model.model_copy(update={"from_scratch": FromScratch(**SCRATCH)})
    return chosen.model_copy(update={"model": model})


@pytest.mark.parametrize("name", ["llama-3.2-1b", "llama-3.2-3b", "llama-3.1-8b"])
def test_the_real_configurations_rehearse_the_whole_recipe(tmp_path, monkeypatch, name):
    if name != "llama-3.2-1b":
        # the rehearsal's own model once; a smaller one shows the same of the other configurations
        monkeypatch.setattr(program, "rehearsed", rehearsed_smaller)
    folder = tmp_path / "run"
    options = ("--config", f"training/configs/{name}.yaml", "--run", folder, "--dry-run")
    for step in STEPS:
        call(step, *options)
    run = Run(folder)
    assert list(run.state) == list(STEPS)
    mined, trained = run.state["mine"], run.state["dpo"]
    assert mined["completions"] == 16 * 4
    assert mined["hard"] > 0
    assert trained["dpo"]["pairs"] == mined["hard"]
    assert trained["ablation"]["pairs"] > 0
    assert not torch.equal(
        weights(run, "sft")["model.embed_tokens.weight"],
        weights(run, "dpo")["model.embed_tokens.weight"],
    )
    figures = json.loads((folder / "metrics.json").read_text())
    assert set(figures["held_out"]["f1"]) == set(STANDARD_TASKS)
    assert {
        f"{m}-{s}" for m in ("sft", "dpo", "ablation") for s in ("held_out", "adversarial")
    } == (set(figures["evaluations"]))
    card = (folder / "README.md").read_text()
    assert "**A dry run.** Nothing was learnt" in card
    assert "DPO without mining against R-SFT" in card
    assert all((folder / "curves" / f"{one}.png").stat().st_size > 5000 for one in ("sft", "dpo"))

    before = (folder / "metrics.jsonl").read_bytes()
    call("sft", *options)
    assert (folder / "metrics.jsonl").read_bytes() == before

    call("ship", folder, tmp_path / "shipped")
    assert {"model.safetensors", "tokenizer.json", "README.md", "metrics.json"} <= {
        path.name for path in (tmp_path / "shipped").iterdir()
    }


@pytest.mark.parametrize("shared_prefix", [True, False])
def test_answers_first_are_learnt_beside_reasoning_and_compared_without(tmp_path, shared_prefix):
    document = small_config().model_dump(mode="json")
    document["sft"] |= {
        "answer_first_share": 0.5,
        "ablation": True,
        "shared_prefix": shared_prefix,
    }
    document["dpo"]["ablation"] = False
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(document))
    for step in STEPS:
        call(step, "--config", path, "--run", tmp_path / "run", "--dry-run")
    run = Run(tmp_path / "run")
    trained = run.state["sft"]
    assert trained["rows"] == trained["ablation"]["rows"] == 24
    assert 0 < trained["answer_first"] < 24
    assert trained["ablation"]["answer_first"] == 0
    # answers come on top of the batch
    assert trained["steps"] == trained["ablation"]["steps"] == 3
    name = "model.embed_tokens.weight"
    assert not torch.equal(weights(run)[name], weights(run, "reasoning-only")[name])
    found = run.state["evaluate"]
    assert set(found["reasoning-only-held_out"]["against_sft"]) == set(STANDARD_TASKS)
    for one in ("sft", "reasoning-only", "dpo"):
        assert set(found[f"{one}-held_out"]["answer_first"]) == set(STANDARD_TASKS)
    card = (run.folder / "README.md").read_text()
    assert f"- Answers first: {trained['answer_first']} of these rows once more" in card
    assert "R-SFT on reasoning alone against R-SFT: prompt_harmfulness" in card
    assert "## Answers before reasoning\n\n50% of the rows" in card
    figures = json.loads((run.folder / "metrics.json").read_text())
    assert set(figures["held_out"]["answer_first"]) == set(STANDARD_TASKS)


def test_rows_with_labels_alone_are_learnt_with_the_answers_first(tmp_path):
    config = small_config()
    lines = data_path(Run.open(tmp_path / "other", config), config, "train").read_bytes()
    rows = [json.loads(line) for line in lines.splitlines()]
    for row in rows[:20]:
        row["completion"] = None
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    document = config.model_dump(mode="json")
    document["data"] = {"train": str(path), "held_out": str(path)}
    document["sft"]["answer_first_share"] = 1.0
    config = parse_config(document, "small")
    facts = run_sft(Run.open(tmp_path / "run", config), config)
    assert (facts["rows"], facts["answer_first"]) == (28, 48)


def test_adapters_are_merged_into_what_is_saved(tmp_path):
    pytest.importorskip("peft")
    config = small_config(
        model={"from_scratch": SCRATCH, "lora": {"rank": 4}, "saved_as": "float32"}
    )
    run = Run.open(tmp_path / "run", config)
    run_sft(run, config)
    assert not any("lora" in name for name in weights(run))
    assert "model.layers.0.self_attn.q_proj.weight" in weights(run)


def test_models_trained_on_subsets_are_sampled_too(tmp_path):
    document = small_config(mine={"subsets": 1, "completions": 3}).model_dump(mode="json")
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(document))
    options = ("--config", path, "--run", tmp_path / "run", "--dry-run")
    call("sft", *options)
    call("mine", *options)
    run = Run(tmp_path / "run")
    assert run.model("subset-0").is_dir()
    assert run.state["mine"]["completions"] == 16 * 3 * 2


def test_without_a_hard_item_the_model_stays_what_it_is(tmp_path):
    config = small_config()
    run = Run.open(tmp_path / "run", config)
    run.finish("mine")
    for name in ("pairs.jsonl", "random-pairs.jsonl"):
        (run.folder / name).write_bytes(b"")
    assert run_dpo(run, config)["dpo"] == {"pairs": 0, "steps": 0}
    assert not run.model("dpo").exists()


def test_rows_that_are_all_too_long_are_told(tmp_path):
    config = small_config(sft={"max_tokens": 16, "batch": 8, "device_batch": 8})
    run = Run.open(tmp_path / "run", config)
    with pytest.raises(UnusableFile, match=r"All 48 rows have more than sft\.max_tokens \(16\)"):
        run_sft(run, config)


def test_a_disk_that_is_too_small_is_told_before_the_training(tmp_path, monkeypatch):
    config = small_config()
    run = Run.open(tmp_path / "run", config)
    usage = runs.shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(runs.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UnusableFile, match=r"needs .* GB on its disk, which has 0\.0 GB free"):
        run_sft(run, config)


def training(*arguments):
    return subprocess.run(  # noqa: S603
        [sys.executable, "-m", "training", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("change", "sentence", "code"),
    [
        ({"sfft": {}}, "there is no key sfft.", 2),
        ({"data": {"train": "no.jsonl", "held_out": "no.jsonl"}}, "no.jsonl cannot be read", 1),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path, change, sentence, code):
    path = tmp_path / "c.yaml"
    document = small_config().model_dump(mode="json") | change
    path.write_text(yaml.safe_dump(document))
    done = training("sft", "--config", path, "--run", tmp_path / "run")
    assert done.returncode == code
    last = done.stderr.splitlines()[-1]
    assert last.startswith("training: ")
    assert sentence in last
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_is_one_line_and_all_goes_on(tmp_path, sent):
    document = small_config().model_dump(mode="json")
    # 50 steps, so that it is far from its end
    document["data"]["composed"]["train"] = 400
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(document))
    command = ["all", "--config", str(path), "--run", str(tmp_path / "run")]
    with subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", "training", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    ) as running:
        for line in running.stdout:
            # the training has begun
            if "'loss'" in line:
                running.send_signal(sent)
                break
        told = running.stdout.read()
        assert running.wait() == 130
    assert told.count("training: Interrupted; the same command resumes.") == 1
    assert "Traceback" not in told
    run = Run(tmp_path / "run")
    assert not run.is_done("sft")
    assert not run.model("sft").exists()


def test_a_full_disk_is_one_line(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runs, "write_whole", full)
    path = Path("training/configs/demonstration.yaml")
    monkeypatch.setattr(
        sys, "argv", ["training", "sft", "--config", str(path), "--run", str(tmp_path / "run")]
    )
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err == (
        "training: There is no space left on the disk; free some, and the same command resumes.\n"
    )


def test_a_process_that_was_killed_leaves_nothing_that_is_taken_for_whole(tmp_path):
    config = small_config()
    run = Run.open(tmp_path / "run", config)
    beside = run.model("sft").with_name(".sft.writing")
    beside.mkdir(parents=True)
    (beside / "model.safetensors").write_bytes(os.urandom(100))
    checkpoint = run.checkpoints("sft") / "checkpoint-4"
    checkpoint.mkdir(parents=True)
    (checkpoint / "model.safetensors").write_bytes(os.urandom(100))
    assert run_sft(run, config)["resumed"] is False
    assert weights(run)
    assert not beside.exists()


def test_two_processes_train_one_model(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(small_config().model_dump(mode="json")))
    command = [sys.executable, "-m", "training", "sft", "--config", path, "--run", tmp_path / "run"]
    # what `accelerate launch` starts on several GPUs
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_ports(1)[0])}
    both = [
        subprocess.Popen(  # noqa: S603
            command,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | group
            | {"OMP_NUM_THREADS": "1", "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    told = [process.communicate(timeout=800)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert "".join(told).count("training: sft is done.") == 1
    run = Run(tmp_path / "run")
    # a batch of 8 is shared out: as many steps as one process makes
    assert run.state["sft"]["steps"] == 6
    assert [one["at"] for one in run.logged("sft")] == list(range(1, 7))
    assert weights(run)
