"""The vLLM engine: one AsyncLLM for all requests.

vllm is imported at the start only: the import takes 20 s of CPU.
"""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import override

from worker.adapters.vllm.request_options import RequestOptions
from worker.adapters.vllm.tokenizer import JsonTokenizer
from worker.domain.engines import (
    Completion,
    Engine,
    EngineReference,
    EngineRequest,
    FinishReason,
    Usage,
    place_after,
)
from worker.domain.errors import EngineDead, EngineUnavailable, InvalidRequest, Retriable

ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    # stdout is for data
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "TOKENIZERS_PARALLELISM": "true",
    # suppresses a warning per import without Triton
    "TORCH_LOGS": "-torch.utils.flop_counter,-torch._library.triton",
    # suppresses messages about memory binding
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    # the tracker frees shared memory that the core left; its warning is not useful
    "PYTHONWARNINGS": "ignore::UserWarning:multiprocessing.resource_tracker,"
    # nor is the warning about an interface between vLLM and torch
    "ignore::FutureWarning:vllm.triton_utils.dispatcher",
}
# without a GPU, vLLM allocates 0.92 of the memory, and blocks of 128 exceed the shared prefix
ON_CPU: dict[str, Any] = {
    "kv_cache_memory_bytes": 256 << 20,
    "block_size": 32,
    "enforce_eager": True,
    # most CPUs only emulate bfloat16
    "dtype": "float32",
}


class VllmEngine(Engine):
    """Completes prompts with vLLM in this process.

    Args:
        model: a folder or a Hugging Face name.
        tokenizer: of the model, for the control tokens and labels in requests.
        max_tokens: of a completion; at most half of the model's length.
        otlp_endpoint: base URL of the collector for the spans of vLLM, one per prompt.
        seed: of requests with a temperature: the same prompts in the same order have the same
            completions. Seeds per request are not used: on a CPU, they crash vLLM when it
            prefills a prompt in parts.
        extra: further arguments of vLLM's `AsyncEngineArgs`; they override the ones set here.
    """

    flags: tuple[str, ...] = ()
    progress = 0

    def __init__(
        self,
        *,
        model: str,
        revision: str | None,
        tokenizer: JsonTokenizer,
        max_tokens: int,
        max_num_seqs: int,
        max_model_len: int | None,
        gpu_memory_utilization: float,
        extra: Mapping[str, Any],
        otlp_endpoint: str | None = None,
        seed: int = 0,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._arguments: dict[str, Any] = {
            "model": model,
            "revision": revision,
            "max_num_seqs": max_num_seqs,
            "max_model_len": max_model_len,
            "gpu_memory_utilization": gpu_memory_utilization,
            # the input is token ids; vLLM uses its tokenizer only to decode
            "generation_config": "vllm",
            "seed": seed,
            # no progress bar in the log
            "use_tqdm_on_load": False,
        }
        self._environment = dict(ENVIRONMENT)
        if otlp_endpoint is not None:
            from worker.adapters.otlp import traces_url  # noqa: PLC0415 - imports the exporters

            self._arguments["otlp_traces_endpoint"] = traces_url(otlp_endpoint)
            self._environment["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"] = "http/protobuf"
            self._environment["OTEL_SERVICE_NAME"] = "guardstream"
        self._extra = dict(extra)
        self._engine: Any = None
        # cached per kind of request: building the parameters takes longer than the lookup
        self._options: dict[tuple[object, ...], RequestOptions] = {}
        self._version = ""
        self._max_model_len = 0

    @property
    @override
    def reference(self) -> EngineReference:
        return EngineReference("vllm", self._version)

    @property
    @override
    def max_num_seqs(self) -> int:
        return int(self._extra.get("max_num_seqs", self._arguments["max_num_seqs"]))

    @property
    @override
    def max_prompt_tokens(self) -> int:
        return self._max_model_len - self._max_tokens

    @override
    async def start(self) -> None:
        for name, value in self._environment.items():
            os.environ.setdefault(name, value)
        # vLLM sets its level only after its imports, which log too
        logging.getLogger("vllm").setLevel(os.environ["VLLM_LOGGING_LEVEL"].upper())
        try:
            await asyncio.to_thread(_import)
        except ImportError as error:
            raise EngineUnavailable(
                "vLLM is not installed: install guardstream with its extra [gpu], or [cpu] on a"
                " machine without a GPU."
            ) from error
        import vllm  # noqa: PLC0415
        from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415
        from vllm.envs import enable_envs_cache  # noqa: PLC0415
        from vllm.platforms import current_platform  # noqa: PLC0415
        from vllm.usage.usage_lib import UsageContext  # noqa: PLC0415
        from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415
        from vllm.v1.metrics.loggers import StatLoggerBase  # noqa: PLC0415

        engine = self

        class Steps(StatLoggerBase):  # type: ignore[misc]
            """Called for each step of the core: the only sign that it does not hang."""

            def __init__(self, *_: Any) -> None: ...

            def log_engine_initialized(self) -> None: ...

            def record(self, *_: Any, **__: Any) -> None:
                engine.progress += 1

        arguments = self._arguments | (ON_CPU if current_platform.is_cpu() else {}) | self._extra
        try:
            # built in the thread of the running event loop, to which it binds itself
            self._engine = AsyncLLM.from_engine_args(
                AsyncEngineArgs(**arguments),
                # large steps, as offline: without a usage context, vLLM uses the smallest
                usage_context=UsageContext.LLM_CLASS,
                stat_loggers=[Steps],
            )
        except (Exception, SystemExit) as error:
            reason = " ".join(str(error).split())[:300]
            raise EngineUnavailable(
                f"vLLM could not load {self._model}: {reason or type(error).__name__}"
            ) from error
        # as in the core process: otherwise a variable is looked up for each token
        enable_envs_cache()
        self._version = vllm.__version__
        self._max_model_len = int(self._engine.model_config.max_model_len)
        self._max_tokens = min(self._max_tokens, self._max_model_len // 2)
        self._options.clear()

    @override
    async def complete(
        self,
        request: EngineRequest,
        prompt_token_ids: Sequence[int],
        *,
        request_id: str,
        trace: Mapping[str, str],
    ) -> Completion:
        from vllm.exceptions import VLLMValidationError  # noqa: PLC0415
        from vllm.v1.engine.exceptions import EngineDeadError  # noqa: PLC0415

        engine, final = self._engine, None
        if engine is None:
            raise EngineDead("The engine was stopped.")
        options = self._options_of(request)
        try:
            async for output in engine.generate(
                {"prompt_token_ids": list(prompt_token_ids)},
                options.parameters,
                request_id,
                trace_headers=dict(trace) or None,
                priority=request.priority,
            ):
                final = output
        except EngineDeadError as error:
            raise EngineDead("The engine died.") from error
        except (VLLMValidationError, ValueError) as error:
            raise InvalidRequest("The engine refuses this prompt.") from error
        except Exception as error:
            if engine.errored:
                raise EngineDead("The engine died.") from error
            raise Retriable(f"The engine failed ({type(error).__name__}).") from error
        if final is None or final.outputs[0].finish_reason == "abort":
            raise Retriable("The engine returned no result for the prompt.")
        self.progress += 1
        answer = final.outputs[0]
        token_ids = tuple(answer.token_ids)
        usage = Usage(len(prompt_token_ids), len(token_ids), int(final.num_cached_tokens or 0))
        if token_ids and token_ids[-1] in options.stop_token_ids:
            token_ids = token_ids[:-1]
        text = options.text(token_ids, answer.text)
        return Completion(
            text=text,
            finish_reason=_finish_reason(request, answer.finish_reason, text),
            usage=usage,
            token_ids=token_ids,
            logprobs=options.logprobs(token_ids, answer.logprobs),
            stopped_by=answer.stop_reason if answer.stop_reason in request.stop else None,
        )

    def _options_of(self, request: EngineRequest) -> RequestOptions:
        kind = (
            request.max_tokens,
            request.stop_tokens,
            request.stop,
            request.choices,
            request.scores,
            request.temperature,
            request.stop_loops,
            place_after(request.prompt),
        )
        found = self._options.get(kind)
        if found is None:
            found = self._options[kind] = RequestOptions(request, self._tokenizer, self._max_tokens)
        return found

    @override
    async def ready(self) -> None:
        pass

    @override
    async def stop(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            # otherwise it reports the end of the core as a death
            if engine.output_handler is not None:
                engine.output_handler.cancel()
            await asyncio.to_thread(engine.shutdown)


def _finish_reason(request: EngineRequest, reason: str | None, text: str) -> FinishReason:
    if reason == "repetition":
        return "repetition"
    # a choice is complete, also where it fills all tokens that are allowed
    return "length" if reason == "length" and text not in request.choices else "stop"


def _import() -> None:
    import vllm.v1.engine.async_llm  # noqa: F401, PLC0415
