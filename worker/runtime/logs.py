"""Log lines: text in a terminal, JSON otherwise, with the ids of the record and the trace.

Modules log through `logging`, a constant message with its values as arguments. The values can be
untrusted text, so line breaks and control characters in them are escaped. Only the message and its
exception are logged.
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
from typing_extensions import override

from worker.domain.escaping import encodable, printable
from worker.domain.records import current_record
from worker.domain.verdicts import rfc3339
from worker.runtime.log_rate_limit import LogRateLimit
from worker.telemetry.tracing import trace_id

# their messages are reported by the worker too, or are harmless; the last one quotes headers
_QUIET = ("aiokafka", "kafka", "asyncio", "huggingface_hub", "opentelemetry.trace.span")
_MOST_REPEATS = 5
_REPEATS_SECONDS = 10.0

Line = dict[str, Any]


def install_logs(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Send the logs of the process to stderr; another call replaces the configuration.

    Args:
        level: the minimum for Guardstream; for libraries, it is at least `warning`.
        form: `console`, `json`, or `auto`: `console` if the stream is a terminal.
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
    """Writes to the current `sys.stderr`, which a progress bar replaces temporarily."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


class LogRateLimitFilter(logging.Filter):
    """Suppresses repeats of a message with any values, except critical ones."""

    def __init__(self, repeats: LogRateLimit) -> None:
        super().__init__()
        self._repeats = repeats

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.CRITICAL:
            return True
        # libraries can log objects: only the formatter may convert them to text
        message = record.msg if isinstance(record.msg, str) else type(record.msg)
        held_back = self._repeats.admit(hash((record.name, record.levelno, message)))
        if held_back:
            record.__dict__["suppressed"] = held_back
        return held_back is not None


def _line(_: Any, __: str, event: Any) -> Line:
    """The fields of a line, in this order."""
    record: logging.LogRecord = event["_record"]
    line: Line = {
        "timestamp": rfc3339(record.created),
        "level": record.levelname.lower(),
        "event": event["event"],
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
    if "exc_info" in event:
        line["exc_info"] = event["exc_info"]
    return line


def _encodable(_: Any, __: str, line: Any) -> Line:
    return {key: encodable(v) if isinstance(v, str) else v for key, v in line.items()}


def _printable(_: Any, __: str, line: Any) -> Line:
    # indented, so that no line of an untrusted exception looks like a log line
    trace_lines = line.pop("exception", "").splitlines()
    shown = {key: printable(v) if isinstance(v, str) else v for key, v in line.items()}
    if trace_lines:
        shown["exception"] = textwrap.indent("\n".join(map(printable, trace_lines)), "    ")
    return shown


# in ASCII, so that no character of a line can control a terminal
_JSON: list[Processor] = [format_exc_info, _encodable, JSONRenderer(ensure_ascii=True)]


def _for_humans(*, colours: bool) -> list[Processor]:
    return [format_exc_info, _printable, ConsoleRenderer(colors=colours, pad_event_to=0)]
