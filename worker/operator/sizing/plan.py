"""How many GPUs, replicas and partitions a load needs, how fast it catches up, what it costs.

Pure arithmetic on measured figures. The cost of a record is in GPU-seconds: the time in which a GPU
with a full engine can do nothing else. All results follow from this cost and the load.
"""

import math
from dataclasses import dataclass

# a rounding error must not add a replica
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a record, on average.

    Attributes:
        prompt: of a prompt, in total.
        shared: of these, in the prefix cache, since every prompt starts with them.
        completion: of a completion with reasoning.
        score: of the answers before reasoning, where the guard scores first; 0 where it does not.
        reasoned: the share of the records that the guard reasons about.
    """

    prompt: float
    shared: float
    completion: float
    score: float = 0.0
    reasoned: float = 1.0


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second of one GPU with a full engine, in only one of the two phases."""

    prefill: float
    decode: float


@dataclass(frozen=True, slots=True)
class Load:
    """Events per second, and the cost of one.

    Attributes:
        peak: at least the average.
    """

    average: float
    peak: float
    gpu_seconds_per_record: float


@dataclass(frozen=True, slots=True)
class Terms:
    """Requirements for the deployment.

    Attributes:
        headroom: the share of the GPUs that is free at the peak.
        target_age_seconds: the longest that an event may wait for its verdict.
        outage_seconds: of all workers, after which they catch up with the lag.
        start_seconds: from the request for a replica until it judges.
        partitions: of the input topic; None if it does not exist yet.
    """

    headroom: float = 0.3
    target_age_seconds: float = 60.0
    outage_seconds: float = 600.0
    start_seconds: float = 180.0
    gpus_per_replica: int = 1
    partitions: int | None = None
    price_per_gpu_hour: float | None = None


@dataclass(frozen=True, slots=True)
class Queues:
    """The bounds of the records in the memory of a worker.

    Attributes:
        event_bytes: of a record's value.
        in_flight: the most records in flight.
    """

    event_bytes: float
    records_per_partition: int
    bytes_per_partition: int
    total_bytes: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The results; infinite if a time never ends, None if a figure was not requested.

    Attributes:
        events_per_second_of_replica: of a fully used replica.
        gpus_busy_average: GPU-seconds per second; `_peak` is the same at the peak.
        replicas_average: required with the headroom, at the average load; also `_peak`.
        replicas_usable: those for the peak, at most one per partition.
        replicas_least: the minimum with which a jump to the peak keeps the target age.
        utilisation_busiest: at the peak, of a replica that has the most partitions.
        catch_up_seconds: until the lag of the outage is consumed, at the average load.
        jump_age_seconds: of the oldest event, when the load jumps to the peak while
            `replicas_average` run and the others still start.
        backlog_per_replica_gpu_seconds: a larger backlog requires another replica.
        lag_per_replica_records: the same in records of this mean cost.
        queue_bytes_per_replica: of values, at most.
        price_per_million_scaled: with as many GPUs as the load needs at any time.
        price_per_million_fixed: with the replicas for the peak all the time.
    """

    gpu_seconds_per_record: float
    events_per_second_of_replica: float
    gpus_busy_average: float
    gpus_busy_peak: float
    replicas_average: int
    replicas_peak: int
    replicas_usable: int
    replicas_least: int
    gpus: int
    partitions_least: int
    more_partitions_needed: bool
    utilisation_average: float
    utilisation_peak: float
    utilisation_busiest: float
    outage_records: float
    catch_up_seconds: float
    jump_age_seconds: float
    backlog_per_replica_gpu_seconds: float
    lag_per_replica_records: float
    queue_bytes_per_replica: float
    price_per_million_scaled: float | None
    price_per_million_fixed: float | None


def gpu_seconds(tokens: Tokens, speed: Speed) -> float:
    """The cost of a record: prefill without the shared tokens, and decode.

    Reasoning after a score finds the prompt in the prefix cache.
    """
    read = max(tokens.prompt - tokens.shared, 0.0)
    written = tokens.score + tokens.reasoned * tokens.completion
    return read / speed.prefill + written / speed.decode


def plan(load: Load, terms: Terms, queues: Queues) -> Plan:
    """Calculate the plan for a load; all figures of `load` must be positive."""
    cost = load.gpu_seconds_per_record
    one = terms.gpus_per_replica / cost
    average, peak = (_replicas(rate, one, terms.headroom) for rate in (load.average, load.peak))
    partitions = peak if terms.partitions is None else terms.partitions
    usable = min(peak, partitions)
    most_partitions = math.ceil(partitions / usable)
    at_peak = load.peak / (usable * one)
    backlog = terms.target_age_seconds * terms.gpus_per_replica
    return Plan(
        gpu_seconds_per_record=cost,
        events_per_second_of_replica=one,
        gpus_busy_average=load.average * cost,
        gpus_busy_peak=load.peak * cost,
        replicas_average=average,
        replicas_peak=peak,
        replicas_usable=usable,
        replicas_least=_least(load, terms, usable, one),
        gpus=usable * terms.gpus_per_replica,
        partitions_least=peak,
        more_partitions_needed=peak > partitions,
        utilisation_average=load.average / (usable * one),
        utilisation_peak=at_peak,
        utilisation_busiest=at_peak * most_partitions * usable / partitions,
        outage_records=load.average * terms.outage_seconds,
        catch_up_seconds=_catch_up(load.average, usable * one, terms.outage_seconds),
        jump_age_seconds=_jump_age(load, terms, min(average, usable), usable, one),
        backlog_per_replica_gpu_seconds=backlog,
        lag_per_replica_records=backlog / cost,
        queue_bytes_per_replica=_queue_bytes(queues, most_partitions),
        price_per_million_scaled=_price(cost / (1 - terms.headroom), terms),
        price_per_million_fixed=_price(usable * terms.gpus_per_replica / load.average, terms),
    )


def _replicas(rate: float, one: float, headroom: float) -> int:
    return max(math.ceil(rate / (one * (1 - headroom)) - _ROUNDING), 1)


def _catch_up(rate: float, capacity: float, outage_seconds: float) -> float:
    """The time to consume the lag of an outage while new events arrive."""
    if not outage_seconds:
        return 0.0
    return rate * outage_seconds / (capacity - rate) if capacity > rate else math.inf


def _jump_age(load: Load, terms: Terms, before: int, after: int, one: float) -> float:
    """The lag from the time of the start-up, divided by the rate of all replicas."""
    if after * one < load.peak:
        return math.inf
    missing = max(load.peak - before * one, 0.0)
    return missing * terms.start_seconds / (after * one)


def _least(load: Load, terms: Terms, after: int, one: float) -> int:
    """The fewest replicas whose `_jump_age` is within the target; all replicas if none is."""
    if after * one < load.peak:
        return after
    if load.peak * terms.start_seconds <= terms.target_age_seconds * after * one:
        return 1
    allowed = terms.target_age_seconds * after / terms.start_seconds
    return min(max(math.ceil(load.peak / one - allowed - _ROUNDING), 1), after)


def _queue_bytes(queues: Queues, partitions: int) -> float:
    of_partition = min(
        queues.records_per_partition * queues.event_bytes, float(queues.bytes_per_partition)
    )
    queued = min(partitions * of_partition, float(queues.total_bytes))
    return queued + queues.in_flight * queues.event_bytes


def _price(gpu_seconds_per_event: float, terms: Terms) -> float | None:
    if terms.price_per_gpu_hour is None:
        return None
    return gpu_seconds_per_event * 1e6 / 3600 * terms.price_per_gpu_hour
