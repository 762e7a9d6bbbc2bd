"""Rows about the output: failures, labels, and the GPU that produces them."""

from monitoring import foreign
from monitoring.grafana import COLUMNS, EACH, RECORDS_PER_SECOND, SHOWN, Json, panel, repeated, row
from monitoring.promql import ratio
from monitoring.rules import JUDGED
from worker.telemetry import attributes, names


def failing() -> list[Json]:
    """Which events fail, and why?"""
    error = (attributes.ERROR_TYPE,)
    return row(
        "Which events fail, and why?",
        panel(
            "Dead letters",
            "Records that could not be judged, by stage and error. `guardstream inspect` shows"
            " them, `guardstream redrive` sends them back.",
            RECORDS_PER_SECOND,
            {
                "{{stage}} {{error_type}}": SHOWN.rate(
                    names.DEAD_LETTERS, by=("stage", attributes.ERROR_TYPE)
                )
            },
            width=6,
            stacked=True,
        ),
        panel(
            "Completions that failed",
            "Calls of the engine that failed, by error, including those that are retried.",
            "suffix: calls/s",
            {
                "{{error_type}}": SHOWN.rate(
                    names.CHAT_DURATION, 'error_type!=""', by=error, part="count"
                )
            },
            width=6,
            stacked=True,
        ),
        panel(
            "Skipped exchanges",
            "Exchanges that are neither judged nor dead-lettered, by reason: no exchange by"
            " `input.mapping`, filtered by `input.keep`, not in `input.sample`.",
            "suffix: exchanges/s",
            {"{{reason}}": SHOWN.rate(names.SKIPPED, by=("reason",))},
            width=6,
            stacked=True,
        ),
        panel(
            "Inconclusive judgements",
            "Share of the judgements in which an applicable task has no label.",
            "percentunit",
            {
                "inconclusive": ratio(
                    SHOWN.rate(names.JUDGEMENTS, 'status="inconclusive"'),
                    SHOWN.rate(names.JUDGEMENTS),
                )
            },
            width=6,
        ),
        panel(
            "Flags",
            "Flags of verdicts, as a share of the judgements: `truncated`, `looping`,"
            " `template_imitation`, `simulated` and others.",
            "percentunit",
            {
                "{{flag}}": ratio(
                    SHOWN.rate(names.FLAGS, by=("flag",)),
                    f"scalar({SHOWN.rate(names.JUDGEMENTS)})",
                )
            },
            width=6,
        ),
    )


def labelling() -> list[Json]:
    """What are the verdicts?"""
    asked = 'task=~"$task"'
    return row(
        "What are the verdicts?",
        repeated(
            panel(
                "$task",
                "Shares of the labels of this question; `none` if it does not apply or has none."
                " A sudden shift indicates a change of the traffic or the guard, or an attack.",
                "percentunit",
                {
                    "{{label}}": ratio(
                        SHOWN.rate(names.VERDICTS, asked, by=("label",)),
                        f"scalar({SHOWN.rate(names.VERDICTS, asked)})",
                    )
                },
                width=COLUMNS,
                stacked=True,
                max=1,
            ),
            over="task",
        ),
        panel(
            "Judgements",
            "Exchanges judged, by status.",
            "suffix: judgements/s",
            {"{{status}}": SHOWN.rate(names.JUDGEMENTS, by=("status",))},
            width=12,
            stacked=True,
        ),
        panel(
            "Categories",
            "Verdicts with a category, by its code, as a share of the judgements; a guard without"
            " categories has none. A verdict can have several.",
            "percentunit",
            {
                "{{code}}": ratio(
                    SHOWN.rate(names.CATEGORIES, by=("code",)),
                    f"scalar({SHOWN.rate(names.JUDGEMENTS)})",
                )
            },
            width=12,
        ),
    )


def deciding() -> list[Json]:
    """What is decided?"""
    acting, shadow = 'policy="acting"', 'policy="shadow"'
    decided = SHOWN.rate(names.DECISIONS, acting)
    return row(
        "What is decided?",
        panel(
            "Actions",
            "Shares of the actions that the policy decides. A sudden shift indicates another"
            " policy, other traffic or another guard.",
            "percentunit",
            {
                "{{action}}": ratio(
                    SHOWN.rate(names.DECISIONS, acting, by=("action",)), f"scalar({decided})"
                )
            },
            width=6,
            stacked=True,
            max=1,
        ),
        panel(
            "Actions of the shadow policy",
            "Shares of the actions that the policy of `policy.shadow_file` would take.",
            "percentunit",
            {
                "{{action}}": ratio(
                    SHOWN.rate(names.DECISIONS, shadow, by=("action",)),
                    f"scalar({SHOWN.rate(names.DECISIONS, shadow)})",
                )
            },
            width=6,
            stacked=True,
            max=1,
        ),
        panel(
            "Where the shadow policy differs",
            "Share of the decisions for which the shadow policy has another action: what would"
            " change if it acted.",
            "percentunit",
            {
                "{{action}} → {{shadow_action}}": ratio(
                    SHOWN.rate(names.DECISIONS_DIFFER, by=("action", "shadow_action")),
                    f"scalar({decided})",
                )
            },
            width=6,
            stacked=True,
        ),
        panel(
            "Rules that failed",
            "Rules that could not be evaluated on a verdict, such as a comparison with a score that"
            " is null; the action is at least `on_error`.",
            "suffix: errors/s",
            {"{{policy}} {{rule}}": SHOWN.rate(names.RULE_ERRORS, by=("policy", "rule"))},
            width=6,
            stacked=True,
        ),
        panel(
            "Policies in use",
            "Name, version and SHA-256 of the file; several versions for longer than a rollout mean"
            " that a worker has not read the new one.",
            "short",
            {"": SHOWN.level(names.POLICY_INFO, by=names.POLICY_INFO.attributes)},
            kind="table",
            width=16,
        ),
        panel(
            "Broken policy files",
            "Workers that cannot use a policy's file, and decide by the one that they read before.",
            "short",
            {"{{policy}}": SHOWN.level(names.POLICY_BROKEN, by=("policy",))},
            width=8,
        ),
    )


def gpu() -> list[Json]:
    """Is the GPU busy?"""
    prompt = SHOWN.rate(names.TOKEN_USAGE, 'gen_ai_token_type="input"', part="sum")
    return row(
        "Is the GPU busy?",
        panel(
            "Engine busy",
            "Share of the time with at least one prompt at the engine. Below 1 with lag, the GPU is"
            " underused.",
            "percentunit",
            {"{{instance}}": SHOWN.rate(names.ENGINE_BUSY, by=EACH)},
            width=6,
            max=1,
        ),
        panel(
            "Backlog",
            "GPU-seconds of work in the lag. Divide by the allowed catch-up time to get the number"
            " of GPUs.",
            "s",
            {"{{instance}}": SHOWN.level(names.BACKLOG, by=EACH)},
            width=6,
            stacked=True,
        ),
        panel(
            "GPU time per record",
            "Busy seconds of the engines per completed record.",
            "s",
            {
                "per record": ratio(
                    SHOWN.rate(names.ENGINE_BUSY),
                    SHOWN.rate(names.OUTCOMES, JUDGED),
                )
            },
            width=6,
        ),
        panel(
            "Completion latency",
            "Duration of one completion, including the wait at the engine.",
            "s",
            {f"p{q:g}": SHOWN.quantile(q / 100, names.CHAT_DURATION) for q in (50, 95, 99)},
            width=6,
        ),
        panel(
            "Tokens",
            "Of prompts (`input`) and completions (`output`).",
            "suffix: tokens/s",
            {
                "{{gen_ai_token_type}}": SHOWN.rate(
                    names.TOKEN_USAGE, by=(attributes.TOKEN_TYPE,), part="sum"
                )
            },
            width=6,
        ),
        panel(
            "Tokens per completion",
            "Length of the guard's completions, which determines most of its time.",
            "short",
            {
                f"p{q:g}": SHOWN.quantile(q / 100, names.TOKEN_USAGE, 'gen_ai_token_type="output"')
                for q in (50, 99)
            },
            width=6,
        ),
        panel(
            "Prefix cache",
            "Share of the prompt tokens found in the prefix cache: of judged prompts, and of vLLM's"
            " lookups.",
            "percentunit",
            {
                "judged": ratio(SHOWN.rate(names.TOKENS_CACHED), prompt),
                "vLLM": ratio(
                    SHOWN.rate(foreign.VLLM_PREFIX_HITS), SHOWN.rate(foreign.VLLM_PREFIX_QUERIES)
                ),
            },
            width=6,
            max=1,
        ),
        panel(
            "vLLM's requests",
            "In the running batch, waiting to be scheduled, and (per second) preempted because the"
            " KV cache is full.",
            "short",
            {
                "running": SHOWN.level(foreign.VLLM_RUNNING),
                "waiting": SHOWN.level(foreign.VLLM_WAITING),
                "preempted /s": SHOWN.rate(foreign.VLLM_PREEMPTIONS),
            },
            width=3,
        ),
        panel(
            "vLLM's KV cache",
            "Share in use; at 1 requests are preempted.",
            "percentunit",
            {"{{instance}}": SHOWN.level(foreign.VLLM_KV_USE, by=EACH, how="max")},
            width=3,
            max=1,
        ),
    )
