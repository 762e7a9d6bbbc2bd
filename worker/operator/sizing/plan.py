"""How many GPUs, replicas and partitions a load needs, how fast it catches up, what it costs.

Pure arithmetic on figures that somebody measured. A record costs GPU-seconds: time in which the GPU
can do nothing else, with the engine full. Everything else follows from that and from the load.
"""

import math
from dataclasses import dataclass

# what floats lose must not become a replica
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Tokens:
    """A record's tokens, in the mean.

    Attributes:
        prompt: all of a prompt's.
        shared: of these, found in the prefix cache, since every prompt begins with them.
        completion: what the guard writes.
    """

    prompt: float
    shared: float
    completion: float


@dataclass(frozen=True, slots=True)
class Speed:
    """What one GPU does with a full engine, in tokens a second, if it did nothing else."""

    prefill: float
    decode: float


@dataclass(frozen=True, slots=True)
class Load:
    """What comes in, in events a second, and what one of them costs.

    Attributes:
        peak: at least the average.
    """

    average: float
    peak: float
    gpu_seconds_per_record: float


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of the deployment.

    Attributes:
        headroom: share of the GPUs that is free at the peak.
        target_age_seconds: how long an event may wait for its verdict.
        outage_seconds: of everything, after which the lag is to be worked off.
        start_seconds: from the wish for a replica until it judges.
        partitions: of the input topic; None where they are still to be made.
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
    """What bounds the records that a worker holds in memory.

    Attributes:
        event_bytes: of a record's value.
        in_flight: records at the engine and on their way to it.
    """

    event_bytes: float
    records_per_partition: int
    bytes_per_partition: int
    total_bytes: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows; infinite where it never ends, None where it was not asked for.

    Attributes:
        events_per_second_of_replica: what one takes, fully used.
        gpus_busy_average: GPU-seconds a second; so at the peak.
        replicas_average: needed with the headroom, at the average load; so at the peak.
        replicas_usable: of those for the peak, as many as there are partitions.
        replicas_least: to begin with, so that a jump to the peak keeps the target age.
        utilisation_busiest: at the peak, of a replica that holds the most partitions.
        catch_up_seconds: until the lag of the outage is gone, at the average load.
        jump_age_seconds: of the oldest event, when the load jumps to the peak from what
            `replicas_average` take and the others have yet to start.
        backlog_per_replica_gpu_seconds: more than this asks for another replica.
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
    """What a record costs: its own part of the prompt read, its completion written."""
    read = max(tokens.prompt - tokens.shared, 0.0)
    return read / speed.prefill + tokens.completion / speed.decode


def plan(load: Load, terms: Terms, queues: Queues) -> Plan:
    """What a load needs under these terms; all figures of `load` are above zero."""
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
    """While the lag is worked off, events keep coming."""
    if not outage_seconds:
        return 0.0
    return rate * outage_seconds / (capacity - rate) if capacity > rate else math.inf


def _jump_age(load: Load, terms: Terms, before: int, after: int, one: float) -> float:
    """The lag of the start-up time, over what all replicas then take."""
    if after * one < load.peak:
        return math.inf
    missing = max(load.peak - before * one, 0.0)
    return missing * terms.start_seconds / (after * one)


def _least(load: Load, terms: Terms, after: int, one: float) -> int:
    """The fewest replicas whose `_jump_age` is within the target; all where none keeps it."""
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
