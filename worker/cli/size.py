"""`guardstream size`: the number of GPUs that a load needs, from measured figures."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli import Config, app
from worker.cli.lines import write_line

if TYPE_CHECKING:
    from worker.operator.sizing.measured import Figures
    from worker.operator.sizing.plan import Tokens

_TINY = 1e-9


@app.command()
def size(
    config: Config = None,
    events: Annotated[
        float | None,
        typer.Option(min=_TINY, help="Events a second, on average.", show_default=False),
    ] = None,
    peak: Annotated[
        float | None,
        typer.Option(min=_TINY, help="Events a second at the peak.", show_default="the mean"),
    ] = None,
    gpu_seconds: Annotated[
        float | None,
        typer.Option(
            min=_TINY, help="What a record costs, engine full; else by tokens.", show_default=False
        ),
    ] = None,
    prompt_tokens: Annotated[
        float | None,
        typer.Option(min=_TINY, help="Of a prompt, template included.", show_default=False),
    ] = None,
    shared_tokens: Annotated[
        float | None,
        typer.Option(
            min=0, help="Of these, the template's: cached, not read again.", show_default="0"
        ),
    ] = None,
    completion_tokens: Annotated[
        float | None, typer.Option(min=_TINY, help="Of a completion.", show_default=False)
    ] = None,
    reasoned: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Share of the verdicts with reasoning, if the guard scores first.",
            show_default=False,
        ),
    ] = None,
    score_tokens: Annotated[
        float, typer.Option(min=1, help="With --reasoned: tokens of a score.")
    ] = 12,
    prefill: Annotated[
        float | None,
        typer.Option(
            min=_TINY,
            help="Prompt tokens a second one GPU reads, only reading.",
            show_default=False,
        ),
    ] = None,
    decode: Annotated[
        float | None,
        typer.Option(
            min=_TINY, help="Tokens a second one GPU writes, engine full.", show_default=False
        ),
    ] = None,
    from_metrics: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Take what is not given from a worker at work, host:port or URL.",
            show_default=False,
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="Between two looks at it.")] = 30,
    headroom: Annotated[
        float, typer.Option(min=0, max=0.95, help="Share of the GPUs free at the peak.")
    ] = 0.3,
    target_age: Annotated[
        float, typer.Option(min=1, help="Seconds an event may wait for its verdict.")
    ] = 60,
    outage: Annotated[float, typer.Option(min=0, help="Minutes, to catch up with.")] = 10,
    start_up: Annotated[float, typer.Option(min=0, help="Seconds until a new replica judges.")] = (
        180
    ),
    gpus_per_replica: Annotated[int, typer.Option(min=1, help="Of one worker's engine.")] = 1,
    partitions: Annotated[
        int | None, typer.Option(min=1, help="Of the input topic, if made.", show_default=False)
    ] = None,
    event_bytes: Annotated[float, typer.Option(min=1, help="Of a record's value.")] = 2048,
    price: Annotated[
        float | None, typer.Option(min=0, help="Of a GPU for an hour.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Calculate how many GPUs, replicas and partitions a load needs.

    Figures come from options or from a worker (--from-metrics). Assumptions are
    printed.
    """
    from worker.cli.views import sizing as view
    from worker.operator.sizing import plan as sizing
    from worker.runtime.settings import load_settings

    settings = load_settings(config)
    measured = _measure(from_metrics, seconds) if from_metrics else None
    assumed: list[str] = []
    if measured is not None:
        events = events or measured.events_per_second
    if not events:
        raise typer.BadParameter("required: the number of events per second", param_hint="--events")
    if peak and peak < events:
        raise typer.BadParameter("must not be less than --events", param_hint="--peak")
    if gpu_seconds is None and prefill and decode:
        tokens = _tokens(prompt_tokens, shared_tokens, completion_tokens, measured)
        if reasoned is not None:
            tokens = replace(tokens, score=score_tokens, reasoned=reasoned)
        gpu_seconds = sizing.gpu_seconds(tokens, sizing.Speed(prefill, decode))
        assumed.append(view.of_tokens(tokens))
    if gpu_seconds is None and measured is not None:
        gpu_seconds = measured.engine_seconds_per_record * gpus_per_replica
        assumed.append(view.of_engine(measured))
    if gpu_seconds is None:
        raise typer.BadParameter(
            "the cost of a record is required: this option, or --from-metrics, or --prefill and"
            " --decode with tokens",
            param_hint="--gpu-seconds",
        )
    load = sizing.Load(events, peak or events, gpu_seconds)
    terms = sizing.Terms(
        headroom=headroom,
        target_age_seconds=target_age,
        outage_seconds=60 * outage,
        start_seconds=start_up,
        gpus_per_replica=gpus_per_replica,
        partitions=partitions,
        price_per_gpu_hour=price,
    )
    queues = sizing.Queues(
        event_bytes=event_bytes,
        records_per_partition=settings.input.queued_records_per_partition,
        bytes_per_partition=settings.input.queued_bytes_per_partition,
        total_bytes=settings.input.queued_bytes,
        in_flight=settings.in_flight_limit,
    )
    plan = sizing.plan(load, terms, queues)
    assumed += view.of_terms(terms)
    if json:
        found = {"load": load, "terms": terms, "plan": plan, "measured": measured}
        write_line({**found, "assumed": assumed})
    else:
        view.show(load, terms, plan, measured, assumed)


def _measure(url: str, seconds: float) -> "Figures":
    from worker.operator.sizing.measured import take_figures
    from worker.operator.top.watching import base_url

    try:
        base = base_url(url)
    except ValueError as error:
        raise typer.BadParameter(
            f"{error} is not the address of a worker: give host, host:port or a URL",
            param_hint="--from-metrics",
        ) from None
    return asyncio.run(take_figures(base, seconds))


def _tokens(
    prompt: float | None,
    shared: float | None,
    completion: float | None,
    measured: "Figures | None",
) -> "Tokens":
    from worker.operator.sizing.plan import Tokens

    if measured is not None:
        tokens = measured.tokens
        prompt, completion = prompt or tokens.prompt, completion or tokens.completion
        shared = tokens.shared if shared is None else shared
    if prompt is None or completion is None:
        raise typer.BadParameter(
            "required, with --completion-tokens: the tokens of a record",
            param_hint="--prompt-tokens",
        )
    if shared is not None and shared > prompt:
        raise typer.BadParameter(
            "must not be more than --prompt-tokens", param_hint="--shared-tokens"
        )
    return Tokens(prompt, shared or 0.0, completion)
