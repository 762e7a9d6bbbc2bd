"""The lines that a process really writes."""

import io
import logging
import re

import orjson
import pytest
from opentelemetry import trace
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    use_span,
)

from tests.unit.harness import WorkerHarness
from worker.adapters.simulated import Behaviour
from worker.cli import read_settings
from worker.domain.records import Partition, working_on
from worker.runtime.log_rate_limit import LogRateLimit
from worker.runtime.logs import LogRateLimitFilter, install_logs

NASTY = "\x1b[31mred\x9b1m\x07\u202e\ud800\r\n2026-01-01T00:00:00.000Z [info] forged"
CONTROLS = set("\x1b\x9b\x07\u202e\ud800\r\u2028")
SPAN = SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1))

logger = logging.getLogger("worker.somewhere")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def as_before():
    """Leaves logging as it was."""
    names = ["", "worker", "aiokafka", "kafka", "asyncio", "huggingface_hub"]
    names.append("opentelemetry.trace.span")
    loggers = [logging.getLogger(name) for name in names]
    levels = [one.level for one in loggers]
    handlers = list(loggers[0].handlers)
    yield
    loggers[0].handlers[:] = handlers
    for one, level in zip(loggers, levels, strict=True):
        one.setLevel(level)


def install(form="auto", level="info", stream=None):
    stream = io.StringIO() if stream is None else stream
    install_logs(level, form, stream)
    return lambda: stream.getvalue().splitlines()


def refuse(text):
    raise ValueError(text)


def fail_and_tell():
    try:
        refuse(NASTY)
    except ValueError:
        logger.exception("It failed.")


def test_a_line_in_json_has_the_ids(record):
    lines = install()
    with (
        use_span(NonRecordingSpan(SPAN)),
        working_on(record(partition=Partition("events", 3), offset=41)),
    ):
        logger.warning("%d of %s.", 2, "them")
    line = orjson.loads(lines()[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "warning",
        "event": "2 of them.",
        "logger": "worker.somewhere",
        "record": "events/3@41",
        "trace_id": f"{0xABC:032x}",
        "span_id": f"{0xDEF:016x}",
    }


def test_a_line_between_records_has_no_ids(record):
    lines = install()
    with working_on(record()), working_on(record(offset=1)):
        pass
    with use_span(trace.INVALID_SPAN):
        logger.info("Idle.")
    assert orjson.loads(lines()[0]).keys() == {"timestamp", "level", "event", "logger"}


async def test_the_worker_names_each_record_that_it_buries():
    lines = install()
    harness = WorkerHarness("at_least_once")
    harness.engine._behaviour = Behaviour(refusal_rate=1.0)
    traced = (("traceparent", f"00-{0xABC:032x}-{0xDEF:016x}-01".encode()),)
    harness.bus.append("events", value=b"nonsense")
    harness.bus.append("events", value=b'{"prompt": "hello"}', headers=traced)
    async with harness.running():
        await harness.until(lambda: len(harness.bus.topic("dead")) == 2)
    told = {one.get("record"): one for one in map(orjson.loads, lines())}
    assert told["events/0@0"]["event"].startswith("Dead letter (NotAnEvent): ")
    assert told["events/0@1"]["event"].startswith("Dead letter (InvalidRequest): ")
    assert told["events/0@1"]["trace_id"] == f"{0xABC:032x}"


def test_a_terminal_gets_text_for_humans(record):
    lines = install(stream=Terminal())
    with working_on(record()):
        logger.warning("Trouble.")
    (line,) = lines()
    assert "\x1b[" in line
    plain = re.sub(r"\x1b\[\d+m", "", line)
    assert plain.endswith("Z [warning  ] Trouble. [worker.somewhere] record=events/0@0")


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [("json", Terminal, True), ("console", io.StringIO, False), ("auto", io.StringIO, True)],
)
def test_the_format_can_be_chosen(form, stream, is_json):
    lines = install(form, stream=stream())
    logger.info("Hello.")
    assert (lines()[0][0] == "{") == is_json
    assert "\x1b" not in lines()[0]


def test_colours_can_be_refused(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    lines = install(stream=Terminal())
    logger.info("Hello.")
    assert "\x1b" not in lines()[0]


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_value_begins_a_line_or_steers_a_terminal(form, record):
    lines = install(form)
    with working_on(record(partition=Partition(NASTY, 0))):
        logger.warning("Not %s.", NASTY)
    (line,) = lines()
    assert not set(line) & CONTROLS
    if form == "json":
        # what UTF-8 has no bytes for is the one thing that is not told as it was
        assert orjson.loads(line)["event"] == f"Not {NASTY}.".replace("\ud800", "\\ud800")
    else:
        assert "Not \\x1b[31mred\\x9b1m\\x07\\u202e\\ud800\\r\\n2026" in line
        assert "record=" in line


def test_an_exception_in_json_is_one_line():
    lines = install("json")
    fail_and_tell()
    (line,) = lines()
    assert not set(line) & CONTROLS
    told = orjson.loads(line)
    assert told["event"] == "It failed."
    assert told["exception"].startswith("Traceback")
    assert "ValueError: \x1b[31mred" in told["exception"]


def test_an_exception_at_a_terminal_is_a_traceback_that_forges_nothing():
    lines = install("console")
    fail_and_tell()
    first, *traceback = lines()
    assert "It failed." in first
    assert traceback[0] == "    Traceback (most recent call last):"
    assert traceback[-1] == "    2026-01-01T00:00:00.000Z [info] forged"
    assert all(line.startswith("    ") for line in traceback)
    assert not set("".join(lines())) & CONTROLS


def test_repeats_are_held_back_and_counted():
    lines = install()
    now = 0.0
    handler = logging.getLogger().handlers[-1]
    handler.filters[:] = [
        LogRateLimitFilter(LogRateLimit(most=2, interval_seconds=10.0, monotonic=lambda: now))
    ]
    for number in range(7):
        logger.warning("Trouble %d.", number)
        logger.critical("Alarm.")
    logger.info("Trouble %d.", 7)
    logger.warning("Other trouble.")
    logging.getLogger("worker.elsewhere").warning("Trouble %d.", 8)
    now = 10.0
    logger.warning("Trouble %d.", 9)
    told = [orjson.loads(line) for line in lines()]
    troubles = [(one["event"], one.get("suppressed")) for one in told if one["level"] != "critical"]
    assert troubles == [
        ("Trouble 0.", None),
        ("Trouble 1.", None),
        ("Trouble 7.", None),
        ("Other trouble.", None),
        ("Trouble 8.", None),
        ("Trouble 9.", 5),
    ]
    assert len(told) - len(troubles) == 7


def test_a_process_repeats_itself_five_times_at_most():
    lines = install()
    for number in range(20):
        logger.error("Trouble %d.", number)
    assert len(lines()) == 5


def test_objects_as_messages_are_the_same_by_their_type():
    lines = install()
    for number in range(20):
        logger.error(ValueError(str(number)))
    assert [orjson.loads(line)["event"] for line in lines()] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("level", "heard"),
    [
        ("debug", ["debug", "info", "warning", "error", "library warning", "library error"]),
        ("warning", ["warning", "error", "library warning", "library error"]),
        ("error", ["error", "library error"]),
    ],
)
def test_libraries_are_heard_when_something_is_wrong(level, heard):
    lines = install(level=level)
    for severity in ("debug", "info", "warning", "error"):
        logger.log(logging.getLevelNamesMapping()[severity.upper()], severity)
    for name in ("elsewhere", "aiokafka.conn", "asyncio"):
        for severity in ("debug", "info", "warning", "error"):
            logging.getLogger(name).log(
                logging.getLevelNamesMapping()[severity.upper()], "library %s", severity
            )
    assert [orjson.loads(line)["event"] for line in lines()] == heard


def test_who_stands_in_for_stderr_gets_the_lines(monkeypatch):
    install_logs()
    progress_bar = io.StringIO()
    monkeypatch.setattr("sys.stderr", progress_bar)
    logger.info("Amid it.")
    assert orjson.loads(progress_bar.getvalue())["event"] == "Amid it."


def test_the_settings_decide_in_place_of_what_was_installed(monkeypatch, capsys):
    former = install()
    monkeypatch.setenv("GUARDSTREAM_LOG__LEVEL", "warning")
    monkeypatch.setenv("GUARDSTREAM_LOG__FORMAT", "console")
    read_settings()
    logger.info("Unheard.")
    logger.warning("Heard.")
    assert former() == []
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("[warning  ] Heard. [worker.somewhere]")


def test_without_spans_the_producers_trace_is_named(record):
    lines = install()
    traceparent = f"00-{0xABC:032x}-{0xDEF:016x}-01".encode()
    with working_on(record(headers=(("traceparent", traceparent),))):
        logger.warning("Trouble.")
    with working_on(record(headers=(("traceparent", b"00-forged\n-01"),))):
        logger.warning("Other trouble.")
    first, second = map(orjson.loads, lines())
    assert first["trace_id"] == f"{0xABC:032x}"
    assert "trace_id" not in second


def test_no_library_quotes_a_producers_headers():
    lines = install()
    bad = "what the person wrote, and no tracestate"
    assert len(TraceState.from_header([bad])) == 0
    assert not lines()
