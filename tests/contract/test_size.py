"""`guardstream size` as people and programs use it."""

import asyncio
import json
import os
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web

from tests.unit.console.pages import Page
from worker.telemetry import names

DOCS = Path(__file__).parents[2] / "docs" / "scaling.md"


async def size(*arguments):
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "size", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"COLUMNS": "100"},
    )
    out, err = await asyncio.wait_for(started.communicate(), 120)
    return started.returncode, out.decode(), err.decode()


@asynccontextmanager
async def at_work(*, records=20):
    """A worker that judges so many records between two looks."""
    page = Page()

    async def metrics(_):
        page.of(names.OUTCOMES, "verdict").inc(records)
        page.of(names.ENGINE_BUSY).inc(0.5)
        page.of(names.JUDGEMENTS, "complete").inc(records)
        # two requests for each record
        for _ in range(2 * records):
            page.of(names.TOKEN_USAGE, "input").observe(150)
            page.of(names.TOKEN_USAGE, "output").observe(100)
            page.of(names.CHAT_DURATION, "").observe(0.125)
        page.of(names.IN_FLIGHT_LIMIT).set(320)
        return web.Response(text=page.text())

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_plan_in_figures_for_people():
    code, out, err = await size("--events", "100", "--peak", "200", "--gpu-seconds", "0.025")
    assert (code, err) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "replicas 8 of 8 for the peak with 30 % free; 4 for the mean" in lines
    assert "Assumed:" in lines
    assert "More partitions" not in out


async def test_tokens_and_speeds_tell_what_a_record_costs():
    tokens = ("--prompt-tokens", "500", "--shared-tokens", "100", "--completion-tokens", "250")
    speeds = ("--prefill", "40000", "--decode", "10000")
    code, out, _ = await size("--events", "10", *tokens, *speeds, "--json")
    assert code == 0
    assert round(json.loads(out)["plan"]["gpu_seconds_per_record"], 6) == 0.035


async def test_a_guard_that_scores_first_reasons_about_a_share():
    tokens = ("--prompt-tokens", "500", "--shared-tokens", "100", "--completion-tokens", "250")
    options = ("--prefill", "40000", "--decode", "10000", "--reasoned", "0.1")
    code, out, _ = await size("--events", "10", *tokens, *options, "--json")
    assert code == 0
    found = json.loads(out)
    # to read 400 tokens, to write 12 and a tenth of 250
    assert round(found["plan"]["gpu_seconds_per_record"], 6) == 0.0137
    assert any("to write 12, and 250 more for 10% of them" in one for one in found["assumed"])


async def test_too_few_partitions_are_said_in_words():
    options = ("--events", "100", "--peak", "200", "--gpu-seconds", "0.025", "--partitions", "4")
    code, out, _ = await size(*options)
    assert code == 0
    assert "More partitions are needed: 4 let 4 of 8 replicas work." in out


async def test_figures_come_from_a_worker_at_work():
    async with at_work() as address:
        options = ("--from-metrics", address, "--seconds", "1", "--gpus-per-replica", "2")
        code, out, err = await size(*options, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["measured"]["tokens"]["completion"] == 200
    # half a second of two GPUs for twenty records
    assert round(found["load"]["gpu_seconds_per_record"], 6) == 0.05
    assert any("it was not full" in sentence for sentence in found["assumed"])


async def test_a_worker_that_judges_nothing_or_is_away_is_no_measure():
    async with at_work(records=0) as address:
        code, _, err = await size("--from-metrics", address, "--seconds", "1")
    assert code == 1
    assert "judged nothing" in err
    code, _, err = await size("--from-metrics", address, "--seconds", "1")
    assert code == 1
    assert "cannot be read" in err


async def test_what_is_missing_is_named():
    for arguments, missing in {
        (): "--events",
        ("--events", "5"): "--gpu-seconds",
        ("--events", "5", "--prefill", "9", "--decode", "9"): "--prompt-tokens",
        ("--events", "5", "--peak", "2", "--gpu-seconds", "1"): "--peak",
    }.items():
        code, _, err = await size(*arguments)
        assert code == 2, err
        assert missing in err


async def test_the_worked_example_is_what_is_printed():
    found = re.search(r"^\$ guardstream size (.*)\n([^`]*)```", DOCS.read_text(), re.MULTILINE)
    _, out, _ = await size(*found[1].split())
    assert [line.rstrip() for line in out.splitlines()] == found[2].splitlines()
