"""How well a guard finds categories, each by itself."""

from collections import Counter
from collections.abc import Sequence

from worker.evaluation.intervals import f1, proportion
from worker.evaluation.results import CategoryFigures, ScoredRow


def category_figures(rows: Sequence[ScoredRow]) -> dict[str, CategoryFigures]:
    """The figures of each code that is labelled or predicted, the most frequent label first.

    Only rows whose categories are labelled count; one that was not judged finds none of them.
    """
    support, predicted, hits = Counter[str](), Counter[str](), Counter[str]()
    for row in rows:
        if row.categories is not None:
            support.update(row.categories)
            predicted.update(row.predicted_categories)
            hits.update(set(row.categories) & set(row.predicted_categories))
    return {
        code: _figures(support[code], predicted[code], hits[code])
        for code in sorted(support | predicted, key=lambda code: (-support[code], code))
    }


def _figures(support: int, predicted: int, hits: int) -> CategoryFigures:
    errors = support + predicted - 2 * hits
    return CategoryFigures(
        support,
        predicted,
        hits,
        precision=proportion(hits, predicted),
        recall=proportion(hits, support),
        f1=f1(hits, errors),
    )
