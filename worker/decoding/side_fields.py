"""The fields of an event that are not judged: read leniently, never a reason to refuse an event."""

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from worker.domain.events import MAX_ID_CHARACTERS

# larger floats do not represent every integer
_MAX_EXACT_FLOAT = 2.0**53
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# no format of a time is longer; bounds the work of parsers on untrusted text
_MAX_TIME_CHARACTERS = 64
# upper bounds and units: a number is read in the unit that gives a year between 1973 and 5138
_UNITS = ((1e11, 1_000_000.0), (1e14, 1_000.0), (1e17, 1.0))


def identifier(value: object) -> str | None:
    """An id as text; None for other types, and for empty or too long text.

    An id of more than `MAX_ID_CHARACTERS` is not truncated: different ids could become equal.
    """
    if value is None:
        return None
    if type(value) is str:
        return value if 0 < len(value) <= MAX_ID_CHARACTERS else None
    if type(value) is int:
        return str(value)
    if type(value) is float and abs(value) <= _MAX_EXACT_FLOAT:
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def model_name(value: object) -> str | None:
    """The name of a model: a string, or the `name` or `id` of an object."""
    if value is None:
        return None
    if isinstance(value, dict):
        name, own_id = value.get("name"), value.get("id")
        value = name if isinstance(name, str) else own_id
    return value if isinstance(value, str) else None


def time_in_utc(value: object) -> datetime | None:
    """A time in UTC; None for other values, and for times outside the years 1 to 9999.

    Accepts RFC 3339 (UTC if it has no time zone), RFC 1123, and Unix time in seconds, milliseconds,
    microseconds or nanoseconds, as a number or as digits.
    """
    try:
        if type(value) is str:
            return _time_of_text(value)
        if type(value) is int or type(value) is float:
            return _time_of_number(value)
    except (ValueError, OverflowError, TypeError, IndexError):
        pass
    return None


def _time_of_text(text: str) -> datetime | None:
    if len(text) > _MAX_TIME_CHARACTERS:
        return None
    if text.isdigit():
        found = _time_of_digits(text)
    else:
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            found = _time_of_other_text(text.strip())
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _time_of_digits(text: str) -> datetime:
    if len(text) == 8:
        return datetime.fromisoformat(text)
    if len(text) == 14:
        # YYYYMMDDHHMMSS: in milliseconds it would be after the year 2286
        return datetime.fromisoformat(f"{text[:8]}T{text[8:]}")
    return _time_of_number(int(text))


def _time_of_other_text(text: str) -> datetime:
    if text.removeprefix("-").replace(".", "", 1).isdigit():
        return _time_of_number(float(text))
    # without the name of the time zone in brackets, which Java appends
    iso = text.partition("[")[0].upper()
    if iso[16:19] == ":60":
        # a leap second is read as the first second of the next minute
        return datetime.fromisoformat(f"{iso[:16]}:59{iso[19:]}") + timedelta(seconds=1)
    try:
        return datetime.fromisoformat(iso)
    except ValueError:
        return parsedate_to_datetime(text)


def _time_of_number(number: float) -> datetime:
    for below, microseconds in _UNITS:
        if abs(number) < below:
            return _EPOCH + timedelta(microseconds=number * microseconds)
    return _EPOCH + timedelta(microseconds=number / 1000)
