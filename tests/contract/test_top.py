"""`guardstream top` as people and programs use it, against pages of a worker's metrics."""

import asyncio
import contextlib
import fcntl
import json
import os
import pty
import signal
import struct
import sys
import termios
from contextlib import aclosing, asynccontextmanager

import pytest
from aiohttp import web

from tests.unit.console.pages import Page, verdict
from worker.operator.top.watching import WatchedWorkers, base_url, open_session
from worker.telemetry import names

QUICK = ("--interval", "0.2")


@asynccontextmanager
async def serving(*, metrics, recent=None):
    """The address of a server that answers with these."""

    async def not_found(_):
        return web.Response(status=404)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/recent", recent or not_found)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def worker(*, verdicts=None, **page):
    """The address of what looks like a worker: each look finds that it has judged four more."""
    told = Page(**page)
    told.of(names.LAG_RECORDS, "chat-events", "3").set(12_345)

    async def metrics(_):
        told.of(names.CONSUMED, "chat-events").inc(4)
        told.of(names.OUTCOMES, "verdict").inc(4)
        told.of(names.VERDICTS, "prompt_harmfulness", "harmful").inc(1)
        told.of(names.VERDICTS, "prompt_harmfulness", "unharmful").inc(3)
        return web.Response(text=told.text())

    async def recent(_):
        return web.json_response(verdicts)

    async with serving(metrics=metrics, recent=None if verdicts is None else recent) as address:
        yield address


async def top(*arguments, **variables):
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", "top", *QUICK, *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"COLUMNS": "80"} | variables,
    )
    out, err = await asyncio.wait_for(started.communicate(), 120)
    return started.returncode, out.decode(), err.decode()


async def test_one_frame_is_shown_of_a_worker():
    async with worker(verdicts=[verdict(offset=77)], vllm=True) as address:
        code, out, err = await top(address, "--once")
    assert (code, err) == (0, "")
    assert f"running, ready  {address}" in out
    assert "lag     12,345" in out
    assert "25 % harmful" in out
    assert "KV 25 %" in out
    assert "events/3@77" in out
    assert all(len(line) <= 80 for line in out.splitlines())
    assert "\x1b" not in out


async def test_workers_are_summed_and_one_that_is_away_stops_nobody():
    async with worker() as one, worker(ready=False) as other:
        code, out, _ = await top(one, f"http://{other}/metrics", "127.0.0.1:1", one)
    assert code == 0
    assert "3 workers, ONLY 1 READY" in out
    assert "lag     24,690" in out
    assert "127.0.0.1:1 CANNOT BE READ: no connection: connection refused" in out
    assert "cannot be shown: its /recent answers 404" in out


async def test_programs_get_a_line_a_frame():
    async with worker(verdicts=[verdict()]) as address:
        code, out, _ = await top(address, "--once", "--json")
    (line,) = map(json.loads, out.splitlines())
    assert code == 0
    assert line["workers"][0]["identity"]["guarantee"] == "exactly_once"
    assert line["load"]["lag_records"] == 12_345
    assert line["load"]["received_per_second"] == pytest.approx(4 / line["seconds"])
    assert line["mixes"][0] == {
        "task": "prompt_harmfulness",
        "shares": {"harmful": 0.25, "unharmful": 0.75},
    }
    assert line["recent"][0]["offset"] == 41


async def test_a_frame_is_drawn_into_a_file(tmp_path):
    drawing = tmp_path / "top.svg"
    async with worker() as address:
        code, _, _ = await top(address, "--svg", str(drawing))
    assert code == 0
    assert "12,345" in drawing.read_text()


async def test_without_any_worker_it_ends_with_a_sentence():
    code, out, err = await top("127.0.0.1:1", "[::1]:1")
    assert (code, out) == (1, "")
    assert err.startswith("guardstream: No worker can be read: 127.0.0.1:1: no connection")
    assert err.count("\n") == 1


@pytest.mark.parametrize("url", ["ftp://host", "host:port", "http://", "[::1", ""])
async def test_what_is_no_address_is_a_wrong_use(url):
    code, _, err = await top(url)
    assert code == 2
    assert "address" in err


async def too_much(_):
    return web.Response(text="guardstream_info 1\n" * (1 << 18))


async def endless(request):
    answer = web.StreamResponse()
    await answer.prepare(request)
    while True:
        await answer.write(b"#" * (1 << 16))


async def compressed(_):
    answer = web.Response(text=Page().text())
    answer.enable_compression(web.ContentCoding.gzip)
    # as one who does not ask whether it is wanted
    return answer


async def elsewhere(request):
    raise web.HTTPFound(f"http://{request.host}/recent")


async def broken(_):
    raise web.HTTPServiceUnavailable


async def no_worker(_):
    return web.Response(text="up 1\n")


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        (too_much, "its /metrics is over 4 MiB"),
        (endless, "its /metrics is over 4 MiB"),
        (compressed, "its /metrics is not a Guardstream worker's"),
        (elsewhere, "its /metrics answers 302"),
        (broken, "its /metrics answers 503"),
        (no_worker, "its /metrics is not a Guardstream worker's"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_an_answer_that_is_none_is_named(metrics, said):
    async with serving(metrics=metrics) as address:
        code, _, err = await top(address)
    assert code == 1
    assert err == f"guardstream: No worker can be read: {address}: {said}.\n"


async def test_recent_verdicts_that_are_too_much_are_left_out():
    async with serving(metrics=worker_page, recent=endless) as address:
        code, out, _ = await top(address)
    assert code == 0
    assert "its /recent is over 4 MiB" in out


async def worker_page(_):
    return web.Response(text=Page().text())


@pytest.mark.parametrize("how", ["ctrl-c", "q", "sigterm"])
async def test_it_leaves_the_terminal_as_it_was(how):
    ours, its = pty.openpty()
    fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    before = termios.tcgetattr(its)
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}

    def own_the_terminal():
        os.setsid()
        fcntl.ioctl(its, termios.TIOCSCTTY, 0)

    async with worker() as address:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", "top", *QUICK, address),
            **dict.fromkeys(("stdin", "stdout", "stderr"), its),
            env=environment | {"TERM": "xterm-256color"},
            preexec_fn=own_the_terminal,
        )
        os.set_blocking(ours, False)
        shown = b""

        async def until(said):
            nonlocal shown
            while said not in shown:
                with contextlib.suppress(BlockingIOError):
                    shown += os.read(ours, 1 << 16)
                await asyncio.sleep(0.01)

        try:
            async with asyncio.timeout(120):
                # the second frame knows of rates
                await until(b"rates over")
                if how == "sigterm":
                    started.send_signal(signal.SIGTERM)
                else:
                    os.write(ours, {"ctrl-c": b"\x03", "q": b"q"}[how])
                await until(b"\x1b[?1049l")
                assert await started.wait() == 0
        finally:
            if started.returncode is None:
                started.kill()
    assert b"12,345" in shown
    assert shown.count(b"\x1b[?25l") == shown.count(b"\x1b[?25h") == 1
    assert termios.tcgetattr(its) == before
    os.close(ours)
    os.close(its)


async def test_it_ends_with_its_terminal():
    ours, its = pty.openpty()

    def survive_the_hangup():
        os.setsid()
        fcntl.ioctl(its, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    async with worker() as address:
        started = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", "top", *QUICK, address),
            **dict.fromkeys(("stdin", "stdout", "stderr"), its),
            preexec_fn=survive_the_hangup,
        )
        try:
            os.close(its)
            os.set_blocking(ours, False)
            shown = b""
            async with asyncio.timeout(120):
                while b"rates over" not in shown:
                    with contextlib.suppress(BlockingIOError):
                        shown += os.read(ours, 1 << 16)
                    await asyncio.sleep(0.01)
                os.close(ours)
                # what it meets first: the end of its input, or an output that is gone
                assert await started.wait() in {0, 1}
        finally:
            if started.returncode is None:
                started.kill()


async def looked(addresses, *, window, seconds):
    """The views of each round within this time."""
    async with open_session() as session:
        lookout = WatchedWorkers([base_url(address) for address in addresses], session, window)
        async with aclosing(lookout.rounds(0.1)) as rounds:
            await anext(rounds)
            began = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < began + seconds:
                await anext(rounds)
                yield lookout.view()


async def test_rates_are_over_the_window():
    async with worker() as address:
        short = [view.seconds async for view in looked([address], window=0, seconds=1)]
        long = [view.seconds async for view in looked([address], window=9, seconds=1)]
    assert short[-1] < long[-1] / 2
    assert long == sorted(long)


async def test_a_slow_worker_holds_up_nobody():
    asked = 0

    async def slow(_):
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.sleep(3)
        return web.Response(text=Page().text())

    async with worker() as quick, serving(metrics=slow) as address:
        views = [view async for view in looked([quick, address], window=9, seconds=1)]
    assert len(views) > 2
    assert views[-1].seconds > 0.5
    # what it said before is shown until it is known to be gone
    assert all(one.fault is None for one in views[-1].workers)
    assert asked == 2


async def test_a_worker_that_was_away_counts_again_when_it_is_back():
    asked = 0

    async def moody(_):
        nonlocal asked
        asked += 1
        return web.Response(status=503 if asked == 2 else 200, text=Page().text())

    async with serving(metrics=moody) as address:
        away, back, *_ = [view async for view in looked([address], window=9, seconds=1)]
    assert (away.workers[0].fault, away.load) == ("its /metrics answers 503", None)
    assert back.workers[0].fault is None
    assert back.seconds > 0
