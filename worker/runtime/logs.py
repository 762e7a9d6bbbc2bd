"""Log lines: for a human at a terminal, JSON otherwise; with the ids to follow a record by.

Modules log through `logging` as ever, a constant message with its values as arguments. The values
may be foreign text, so nothing in them can begin a line or steer a terminal; what is not in the
message or its exception is not in the line.
"""

import logging
import os
import sys
import textwrap
import time
from typing import Any, TextIO

from opentelemetry import trace
from structlog.dev import ConsoleRenderer
from structlog.processors import JSONRenderer, format_exc_info
from structlog.stdlib import ProcessorFormatter
from structlog.typing import Processor

from worker.domain.escaping import encodable, printable
from worker.domain.records import current_record
from worker.domain.verdicts import rfc3339
from worker.runtime.log_rate_limit import LogRateLimit
from worker.telemetry.tracing import trace_id

# they log what the worker reports itself, or what it can live with; the last one quotes headers
_QUIET = ("aiokafka", "kafka", "asyncio", "huggingface_hub", "opentelemetry.trace.span")
_MOST_REPEATS = 5
_REPEATS_SECONDS = 10.0

Line = dict[str, Any]


def install_logs(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Send what the process logs to stderr; once more replaces what was installed before.

    Args:
        level: the least that Guardstream says; of libraries only warnings and worse are heard.
        form: `console`, `json`, or `auto`: `console` where the stream is a terminal.
        stream: instead of stderr.
    """
    terminal = (stream or sys.stderr).isatty()
    console = form == "console" or (form == "auto" and terminal)
    render = _for_humans(colours=terminal and not os.environ.get("NO_COLOR")) if console else _JSON
    handler = _StderrHandler() if stream is None else logging.StreamHandler(stream)
    handler.setFormatter(ProcessorFormatter(processors=[_line, *render]))
    handler.addFilter(
        LogRateLimitFilter(
            LogRateLimit(
                most=_MOST_REPEATS,
                interval_seconds=_REPEATS_SECONDS,
                monotonic=time.monotonic,
            )
        )
    )
    root = logging.getLogger()
    for former in [h for h in root.handlers if isinstance(h.formatter, ProcessorFormatter)]:
        root.removeHandler(former)
    root.addHandler(handler)
    least = logging.getLevelNamesMapping()[level.upper()]
    root.setLevel(max(least, logging.WARNING))
    logging.getLogger("worker").setLevel(least)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Writes to stderr as it is at the time: a progress bar stands in for it for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class LogRateLimitFilter(logging.Filter):
    """Holds repeats of a message back, whatever its values; never what is critical."""

    def __init__(self, repeats: LogRateLimit) -> None:
        super().__init__()
        self._repeats = repeats

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        if record.levelno >= logging.CRITICAL:
            return True
        # a library may log an object, whose text only the formatter may ask for
        message = record.msg if isinstance(record.msg, str) else type(record.msg)
        held_back = self._repeats.admit(hash((record.name, record.levelno, message)))
        if held_back:
            record.__dict__["suppressed"] = held_back
        return held_back is not None


def _line(_: Any, __: str, said: Any) -> Line:
    """What a line tells, in this order."""
    record: logging.LogRecord = said["_record"]
    line: Line = {
        "timestamp": rfc3339(record.created),
        "level": record.levelname.lower(),
        "event": said["event"],
        "logger": record.name,
    }
    current = current_record()
    if current is not None:
        line["record"] = str(current)
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        line["trace_id"] = trace.format_trace_id(span.trace_id)
        line["span_id"] = trace.format_span_id(span.span_id)
    elif current is not None and (producers := trace_id(current.headers)):
        line["trace_id"] = producers
    if suppressed := getattr(record, "suppressed", 0):
        line["suppressed"] = suppressed
    if "exc_info" in said:
        line["exc_info"] = said["exc_info"]
    return line


def _encodable(_: Any, __: str, line: Any) -> Line:
    return {key: encodable(v) if isinstance(v, str) else v for key, v in line.items()}


def _printable(_: Any, __: str, line: Any) -> Line:
    # indented, so that no line of a foreign exception looks like one of ours
    trace_lines = line.pop("exception", "").splitlines()
    shown = {key: printable(v) if isinstance(v, str) else v for key, v in line.items()}
    if trace_lines:
        shown["exception"] = textwrap.indent("\n".join(map(printable, trace_lines)), "    ")
    return shown


# in ASCII, so that no character of a line steers the terminal that someone reads it on
_JSON: list[Processor] = [format_exc_info, _encodable, JSONRenderer(ensure_ascii=True)]


def _for_humans(*, colours: bool) -> list[Processor]:
    return [format_exc_info, _printable, ConsoleRenderer(colors=colours, pad_event_to=0)]
