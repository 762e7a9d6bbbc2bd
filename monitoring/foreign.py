"""Metrics of vLLM, the process and Prometheus that the dashboard and the rules read."""

from worker.telemetry.metric import Kind, Metric

_ENGINE = ("model_name", "engine")

VLLM_RUNNING = Metric(
    "vllm:num_requests_running", Kind.GAUGE, "{request}", "In the running batch.", _ENGINE
)
VLLM_WAITING = Metric(
    "vllm:num_requests_waiting", Kind.GAUGE, "{request}", "Not yet scheduled.", _ENGINE
)
VLLM_KV_USE = Metric("vllm:kv_cache_usage_perc", Kind.GAUGE, "1", "1 is full.", _ENGINE)
VLLM_PREEMPTIONS = Metric(
    "vllm:num_preemptions",
    Kind.COUNTER,
    "{request}",
    "Preempted because the cache is full.",
    _ENGINE,
)
VLLM_PREFIX_QUERIES = Metric(
    "vllm:prefix_cache_queries", Kind.COUNTER, "{token}", "Tokens looked up.", _ENGINE
)
VLLM_PREFIX_HITS = Metric(
    "vllm:prefix_cache_hits", Kind.COUNTER, "{token}", "Tokens found.", _ENGINE
)
VLLM = (
    VLLM_RUNNING,
    VLLM_WAITING,
    VLLM_KV_USE,
    VLLM_PREEMPTIONS,
    VLLM_PREFIX_QUERIES,
    VLLM_PREFIX_HITS,
)

CPU = Metric("process.cpu", Kind.COUNTER, "s", "Of the worker's own process.")
MEMORY = Metric("process.resident_memory", Kind.GAUGE, "By", "Of the worker's own process.")
OPEN_FILES = Metric("process.open_fds", Kind.GAUGE, "{file}", "Of the worker's own process.")
START_TIME = Metric("process.start_time", Kind.GAUGE, "s", "Unix time.")
PROCESS = (CPU, MEMORY, OPEN_FILES, START_TIME)

UP = Metric("up", Kind.GAUGE, "1", "Whether the scrape succeeded: of Prometheus itself.")
