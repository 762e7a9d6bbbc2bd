"""Times in options of commands: RFC 3339, or how long ago."""

from datetime import UTC, datetime, timedelta

import typer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_MAX_AGO_DIGITS = 6


def parse_time_ms(text: str, *, now: datetime) -> int:
    """Unix milliseconds of `2026-01-31T12:00:00Z`, or of `2h`: two hours before `now`.

    Raises:
        BadParameter: it is neither.
    """
    try:
        count, unit = text[:-1], _UNITS.get(text[-1:])
        if unit and count.isascii() and count.isdigit() and len(count) <= _MAX_AGO_DIGITS:
            time = now - timedelta(**{unit: int(count)})
        else:
            time = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        pass
    else:
        if time.tzinfo is not None:
            # negative times have special meanings in Kafka
            return max(0, (time - _EPOCH) // timedelta(milliseconds=1))
    raise typer.BadParameter(
        f"{text!r} is neither a time with its zone, as 2026-01-31T12:00:00Z, nor how long ago, as"
        " 90s, 30m, 2h, 7d or 1w."
    )
