"""The row about what a verdict costs: when the guard reasons, and whether it should have."""

from monitoring.grafana import SHOWN, Json, panel, row
from monitoring.promql import ratio
from worker.telemetry import names

WHYS = 'flag=~"score_unsure|score_flagged|answer_improbable|audited"'
AUDITED = 'flag="audited"'
AUDIT_DISAGREES = 'flag="audit_disagrees"'


def cost() -> list[Json]:
    """What does a verdict cost?"""
    judged, reasoned = SHOWN.rate(names.JUDGEMENTS), SHOWN.rate(names.REASONED)
    of_reasoning = SHOWN.rate(names.JUDGEMENT_TOKENS, 'by="reasoned"')
    of_scores = SHOWN.rate(names.JUDGEMENT_TOKENS, 'by="score"')
    each_reasoned, scored = ratio(of_reasoning, reasoned), f"({judged} - {reasoned})"
    return row(
        "What does a verdict cost?",
        panel(
            "Reasoned",
            "Share of the exchanges that the guard reasoned about; with `judging.reasoning: always`"
            " all of them.",
            "percentunit",
            {"reasoned": ratio(reasoned, judged)},
            width=6,
            max=1,
        ),
        panel(
            "Why it reasoned",
            "With a cascade, as a share of the judgements: the score was not sure, said harmful,"
            " or had too little probability on the labels; or the exchange was audited.",
            "percentunit",
            {"{{flag}}": ratio(SHOWN.rate(names.FLAGS, WHYS, by=("flag",)), f"scalar({judged})")},
            width=6,
            stacked=True,
        ),
        panel(
            "Generated tokens per verdict",
            "Of those with reasoning, and of those judged by their score alone.",
            "short",
            {"reasoned": each_reasoned, "by score": ratio(of_scores, scored)},
            width=6,
        ),
        panel(
            "Tokens saved",
            "Generated tokens that were not needed, by the mean of the verdicts with reasoning.",
            "suffix: tokens/s",
            {"saved": f"{each_reasoned} * {scored} - {of_scores}"},
            width=3,
        ),
        panel(
            "Audits that agree",
            "Share of the audited verdicts in which the reasoning says what the score had said.",
            "percentunit",
            {
                "agree": "1 - "
                + ratio(SHOWN.rate(names.FLAGS, AUDIT_DISAGREES), SHOWN.rate(names.FLAGS, AUDITED))
            },
            width=3,
            max=1,
        ),
    )
