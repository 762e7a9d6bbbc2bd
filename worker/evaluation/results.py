"""The results of an evaluation: one document for programs, which the report shows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import orjson
from pydantic import TypeAdapter, ValidationError

from worker.domain.engines import EngineReference
from worker.domain.errors import UnusableFile
from worker.domain.verdicts import GuardReference
from worker.evaluation.columns import LeftOut
from worker.evaluation.comparing import TaskComparison
from worker.evaluation.intervals import Estimate
from worker.evaluation.score_figures import ScoreFigures


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """The figures of one task.

    Attributes:
        asks: the question in words.
        labelled: rows with a label of this task.
        support: those whose label is the positive one: harmful, refusal, harmful.
        unreadable: rows without a prediction, whatever the reason.
        confusion: counts by true label, then by prediction.
        lenient: the same figures over the rows that could be read.
        scores: of the probabilities of the positive label, where the rows have some.
    """

    asks: str
    positive: str
    labelled: int
    support: int
    unreadable: int
    confusion: dict[str, dict[str, int]]
    precision: Estimate
    recall: Estimate
    f1: Estimate
    macro_f1: Estimate
    lenient: dict[str, float | None]
    scores: ScoreFigures | None = None


@dataclass(frozen=True, slots=True)
class CategoryFigures:
    """How well one category is found, over the rows whose categories are labelled.

    Attributes:
        support: rows with this label.
        predicted: rows for which the guard names it.
        hits: rows with both.
    """

    support: int
    predicted: int
    hits: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True, slots=True)
class Slice:
    """The figures over the rows whose field has this value."""

    field: str
    value: str
    rows: int
    tasks: dict[str, TaskFigures]


@dataclass(frozen=True, slots=True)
class ScoredRow:
    """One row: its labels and the predictions.

    Attributes:
        scores: the probability of the positive label, where one was asked for.
        reasoned: whether the guard reasoned, if known; so are `tokens` and `requests`.
        categories: the labelled codes; null where they have no labels.
    """

    id: str
    place: str
    exchange_sha256: str
    status: Literal["complete", "inconclusive", "unjudged"]
    labels: dict[str, str | None]
    predicted: dict[str, str | None]
    flags: tuple[str, ...] = ()
    reason: str | None = None
    scores: dict[str, float] = field(default_factory=dict)
    reasoned: bool | None = None
    tokens: int | None = None
    requests: int | None = None
    categories: tuple[str, ...] | None = None
    predicted_categories: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Costs:
    """What verdicts of a kind cost on average."""

    verdicts: int
    tokens: float
    requests: float


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row on which the predictions of two guards differ."""

    id: str
    task: str
    label: str | None
    ours: str | None
    theirs: str | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """This guard or run compared with another, on the rows that both have.

    Attributes:
        other: the name of the other's file.
        changed: rows whose id both have, but whose exchange differs.
    """

    other: str
    other_guard: GuardReference | None
    rows: int
    only_here: int
    only_there: int
    changed: int
    tasks: dict[str, TaskComparison]
    disagreements: list[Disagreement]


@dataclass(frozen=True, slots=True)
class Provenance:
    """What was evaluated, by which guard and engine, and when.

    Attributes:
        answers: the file of completions or verdicts, null for a run of the engine.
    """

    file: str
    file_sha256: str
    guard: GuardReference | None
    engine: EngineReference | None
    answers: str | None
    made_at: str
    guardstream: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The complete document.

    Attributes:
        categories: by their codes, the most frequent label first.
        costs: of all verdicts, and by whether the guard reasoned, where that is known.
    """

    provenance: Provenance
    seed: int
    resamples: int
    confidence: float
    statuses: dict[str, int]
    flags: dict[str, int]
    left_out: list[LeftOut]
    tasks: dict[str, TaskFigures]
    slices: list[Slice]
    rows: list[ScoredRow]
    comparison: Comparison | None = None
    costs: dict[str, Costs] = field(default_factory=dict)
    categories: dict[str, CategoryFigures] = field(default_factory=dict)
    schema: Literal["guardstream.evaluation/2"] = "guardstream.evaluation/2"

    @property
    def is_partial(self) -> bool:
        """Whether a row was left out or not judged."""
        return bool(self.left_out or self.statuses["unjudged"])


_EVALUATION = TypeAdapter(Evaluation)


def encode_evaluation(evaluation: Evaluation) -> bytes:
    """The document as JSON."""
    option = orjson.OPT_NON_STR_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(evaluation, option=option)


def read_evaluation(path: Path) -> Evaluation | None:
    """The document in a file; None where the file holds something else.

    Raises:
        UnusableFile: it cannot be read.
    """
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise UnusableFile(f"{path} cannot be read: {error.strerror}.") from None
    except orjson.JSONDecodeError:
        return None
    if not isinstance(document, dict) or "schema" not in document or "rows" not in document:
        return None
    try:
        return _EVALUATION.validate_python(document)
    except ValidationError:
        raise UnusableFile(
            f"{path} was written by another version of evaluate; write it again with this one."
        ) from None
