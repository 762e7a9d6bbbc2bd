"""Mappings: from records as other programs log them to events.

A mapping is a file of JMESPath expressions, one for each field of an event; `presets/` has those
that ship. It is compiled once, when the worker starts.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from worker.decoding.compiled import is_true
from worker.decoding.expressions import Expression, ExpressionFailed, InvalidExpression
from worker.domain.errors import NotAnEvent, RecordError, Redacted, UnusableFile, WrongSetting
from worker.domain.events import Skip
from worker.domain.validation import file_faults

NONE = "none"
_PRESETS = Path(__file__).parent / "presets"


def _compilable(text: str) -> str:
    try:
        Expression(text)
    except InvalidExpression as error:
        raise ValueError(str(error)) from None
    return text


JmesPath = Annotated[str, Field(min_length=1), AfterValidator(_compilable)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EventFields(_Strict):
    """For each field of an event the expression that finds it; `messages` or `prompt` is needed."""

    id: JmesPath | None = None
    messages: JmesPath | None = None
    prompt: JmesPath | None = None
    response: JmesPath | None = None
    conversation_id: JmesPath | None = None
    occurred_at: JmesPath | None = None
    model: JmesPath | None = None
    user_id: JmesPath | None = None
    tenant: JmesPath | None = None
    metadata: JmesPath | None = None

    @model_validator(mode="after")
    def _has_a_request(self) -> "EventFields":
        if not (self.messages or self.prompt):
            raise ValueError("give messages or prompt")
        return self


class Refusal(_Strict):
    """Records that look like exchanges but are incomplete: dead letters with this reason."""

    when: JmesPath
    because: str = Field(min_length=1, max_length=500)


class Redaction(_Strict):
    """How a record shows that the content of its messages was not logged."""

    texts: list[str] = Field([], description="Texts that stand in place of a request or answer.")
    when: JmesPath | None = None


class MappingFile(_Strict):
    """A mapping, as it is written."""

    name: str | None = Field(None, description="In messages; the file's name if unset.")
    about: str = Field("", description="What writes such records.")
    unwrap: JmesPath | None = Field(
        None, description="What all other expressions are applied to; the value if unset."
    )
    exchanges: JmesPath | None = Field(
        None,
        description="Finds an array: each element is an exchange, and the expressions of `keep`,"
        " `refuse`, `redacted` and `event` are applied to it.",
    )
    keep: JmesPath | None = Field(
        None, description="Records for which this is false or null are no exchange: skipped."
    )
    refuse: list[Refusal] = []
    redacted: Redaction = Redaction()
    event: EventFields


class MappedEvent(NamedTuple):
    """The fields of one event, as data; `missing` explains a record without a request."""

    fields: dict[str, Any]
    missing: str


Mapped = MappedEvent | RecordError | Skip
# without a request there is no event; errors in other fields leave these null
_JUDGED = frozenset({"messages", "prompt", "response"})


class EventMapping:
    """A compiled mapping.

    Attributes:
        name: of the preset or the file.
        has_several: whether a record can hold several exchanges.
    """

    def __init__(self, file: MappingFile, name: str) -> None:
        self.name = file.name or name
        self.has_several = file.exchanges is not None
        self._unwrap = _compiled(file.unwrap)
        self._exchanges = _compiled(file.exchanges)
        self._keep = _compiled(file.keep)
        self._refuse = [(Expression(rule.when), rule.because) for rule in file.refuse]
        self._redacted = _compiled(file.redacted.when)
        self.redacted_texts = frozenset(text.strip() for text in file.redacted.texts)
        self._fields = [(field, Expression(text)) for field, text in file.event if text is not None]
        wanted = [f"event.{field}: {e.text}" for field, e in self._fields if field in _JUDGED]
        self._missing = (
            f"Not an event: the mapping {self.name} finds no messages and no prompt"
            f" ({'; '.join(wanted)})."
        )

    def read(self, data: Any) -> Iterator[Mapped]:
        """The exchanges in the data of a record: events, and what is refused or skipped."""
        try:
            if self._unwrap is not None:
                data = self._unwrap.evaluate(data)
            found = [data] if self._exchanges is None else self._exchanges.evaluate(data)
        except ExpressionFailed as error:
            yield self._failed("exchanges" if self._unwrap is None else "unwrap", error)
            return
        if found is None:
            yield Skip.NOT_AN_EXCHANGE
            return
        for one in found if isinstance(found, list) else [found]:
            yield self._read_one(one)
        if found == []:
            yield Skip.NOT_AN_EXCHANGE

    def _read_one(self, data: Any) -> Mapped:
        where = "keep"
        try:
            if self._keep is not None and not is_true(self._keep.evaluate(data)):
                return Skip.NOT_AN_EXCHANGE
            where = "refuse"
            for when, because in self._refuse:
                if is_true(when.evaluate(data)):
                    return NotAnEvent(because)
            where = "redacted"
            if self._redacted is not None and is_true(self._redacted.evaluate(data)):
                return self.redaction()
        except ExpressionFailed as error:
            return self._failed(where, error)
        fields: dict[str, Any] = {}
        for name, expression in self._fields:
            try:
                fields[name] = expression.evaluate(data)
            except ExpressionFailed as error:
                if name in _JUDGED:
                    return self._failed(f"event.{name}", error)
        return MappedEvent(fields, self._missing)

    def redaction(self) -> Redacted:
        """The reason why a record without its content is not judged."""
        return Redacted(
            f"The content of this exchange was not logged (mapping {self.name}): turn the logging"
            " of messages on where it is written."
        )

    def _failed(self, where: str, error: ExpressionFailed) -> NotAnEvent:
        return NotAnEvent(
            f"Not an event: {where} of the mapping {self.name} fails on this record ({error})."
        )


def presets() -> list[str]:
    """The names of the mappings that ship."""
    return sorted(path.stem for path in _PRESETS.glob("*.yaml"))


def load_mapping(chosen: str) -> EventMapping | None:
    """The mapping that `input.mapping` names: a preset, or a file; None for `none`.

    Raises:
        WrongSetting: there is no such preset, or the file is no mapping.
    """
    if chosen == NONE:
        return None
    try:
        return EventMapping(read_mapping_file(chosen), Path(chosen).stem)
    except UnusableFile as error:
        raise WrongSetting(f"input.mapping cannot be used: {error}") from None


def read_mapping_file(chosen: str) -> MappingFile:
    """The file of a preset, by name, or of a user, by path.

    Raises:
        UnusableFile: there is none, or it is no mapping.
    """
    path = _PRESETS / f"{chosen}.yaml" if chosen in presets() else Path(chosen)
    try:
        held = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise UnusableFile(
            f"There is no preset and no file {chosen}; the presets are {', '.join(presets())}."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UnusableFile(
            f"{path} is not a readable YAML file ({type(error).__name__})."
        ) from None
    try:
        return MappingFile.model_validate(held)
    except ValidationError as error:
        raise UnusableFile(f"{path}: {'; '.join(file_faults(error))}.") from None


def _compiled(text: str | None) -> Expression | None:
    return None if text is None else Expression(text)
