"""`python -m benchmarks.endpoint`: the simulated engine behind OpenAI's HTTP interface.

It is to the hand-written workers what `vllm serve` is, at no cost of a model: requests are checked,
text is tokenised by the demonstration model's own tokenizer, special tokens and all, and the
completions are the simulated engine's. It answers for every model name.
"""

import asyncio
import signal
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import typer
import uvloop
from aiohttp import web
from pydantic import BaseModel, Field, NonNegativeInt, ValidationError
from tokenizers import Tokenizer

from worker.adapters.clock import SystemClock
from worker.adapters.simulated import Behaviour, SimulatedEngine
from worker.domain.engines import Completion
from worker.domain.errors import InvalidRequest, Retriable
from worker.domain.events import Exchange
from worker.domain.guard import first_request
from worker.guards.guardreasoner.guard import GuardReasoner
from worker.runtime.engines import DEMONSTRATION, demonstration_model

REQUEST = first_request(GuardReasoner(), Exchange("How do I bake bread?", None))

_HOST = "127.0.0.1"
_MAX_BODY_BYTES = 64 << 20
# what the simulated engine counts as a token
_CHARACTERS_A_TOKEN = 4
_KINDS = {400: "BadRequestError", 404: "NotFoundError", 500: "InternalServerError"}
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class CompletionRequest(BaseModel):
    """What is read of a request; the rest of OpenAI's parameters change nothing here."""

    model: str = DEMONSTRATION
    prompt: (
        Annotated[str, Field(strict=True)]
        | Annotated[list[Annotated[str, Field(strict=True)]], Field(min_length=1)]
        | Annotated[list[NonNegativeInt], Field(min_length=1)]
        | Annotated[list[list[NonNegativeInt]], Field(min_length=1)]
    )
    # OpenAI's default, and vLLM's
    max_tokens: int = Field(default=16, ge=1)
    temperature: float = Field(default=1.0, ge=0)
    stop_token_ids: list[NonNegativeInt] = []
    n: Literal[1] = 1
    stream: Literal[False] = False


class Endpoint:
    """Answers requests with an engine's completions."""

    def __init__(self, engine: SimulatedEngine, tokenizer: Tokenizer) -> None:
        self._engine = engine
        self._tokenizer = tokenizer

    def application(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES, middlewares=[_explain_refusals])
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/health", self._tell_health)
        return app

    async def _complete(self, request: web.Request) -> web.Response:
        asked = CompletionRequest.model_validate(orjson.loads(await request.read()))
        prompts = await self._token_ids(asked.prompt)
        name = f"cmpl-{uuid.uuid4().hex}"
        answers = await self._answers(prompts, name)
        written = [_within(answer, asked.max_tokens) for answer in answers]
        completion_tokens = sum(tokens for _, _, tokens in written)
        prompt_tokens = sum(map(len, prompts))
        return _json(
            {
                "id": name,
                "object": "text_completion",
                "created": int(time.time()),
                "model": asked.model,
                "choices": [
                    {"index": index, "text": text, "logprobs": None, "finish_reason": reason}
                    for index, (text, reason, _) in enumerate(written)
                ],
                "usage": {
                    "prompt_tokens": prompt_tokens,
                    "completion_tokens": completion_tokens,
                    "total_tokens": prompt_tokens + completion_tokens,
                },
            }
        )

    async def _token_ids(
        self, prompt: str | list[str] | list[int] | list[list[int]]
    ) -> Sequence[Sequence[int]]:
        if isinstance(prompt, str):
            texts = [prompt]
        elif isinstance(prompt[0], str):
            texts = prompt
        else:
            return prompt if isinstance(prompt[0], list) else [prompt]
        # the library lets go of the interpreter meanwhile
        encoded = await asyncio.to_thread(self._tokenizer.encode_batch_fast, texts)
        return [found.ids for found in encoded]

    async def _answers(self, prompts: Sequence[Sequence[int]], name: str) -> list[Completion]:
        if len(prompts) == 1:  # needs no task of its own
            return [await self._engine.complete(REQUEST, prompts[0], request_id=name, trace={})]
        calls = (
            self._engine.complete(REQUEST, prompt, request_id=f"{name}-{index}", trace={})
            for index, prompt in enumerate(prompts)
        )
        return await asyncio.gather(*calls)

    async def _list_models(self, _: web.Request) -> web.Response:
        model = {"id": DEMONSTRATION, "object": "model", "owned_by": "guardstream"}
        return _json({"object": "list", "data": [model]})

    async def _tell_health(self, _: web.Request) -> web.Response:
        await self._engine.ready()
        return web.Response()


def build_endpoint(behaviour: Behaviour, max_num_seqs: int) -> Endpoint:
    """An endpoint with an engine and the demonstration model's tokenizer."""
    engine = SimulatedEngine(behaviour=behaviour, clock=SystemClock(), max_num_seqs=max_num_seqs)
    return Endpoint(
        engine, Tokenizer.from_file(str(Path(demonstration_model()) / "tokenizer.json"))
    )


def _within(answer: Completion, max_tokens: int) -> tuple[str, str, int]:
    """A completion's text, why it ended, and its tokens, at most so many."""
    tokens = answer.usage.completion_tokens
    if tokens <= max_tokens:
        return answer.text, answer.finish_reason or "stop", tokens
    return answer.text[: max_tokens * _CHARACTERS_A_TOKEN], "length", max_tokens


@web.middleware
async def _explain_refusals(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        return _refusal(400, f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}")
    except orjson.JSONDecodeError as error:
        return _refusal(400, f"The body is not JSON ({error}).")
    except InvalidRequest as error:
        return _refusal(400, str(error))
    except Retriable as error:
        return _refusal(500, str(error))
    except web.HTTPException as error:
        return _refusal(error.status, error.reason)


def _refusal(status: int, message: str) -> web.Response:
    kind = _KINDS.get(status, "invalid_request_error")
    error = {"message": message, "type": kind, "param": None, "code": status}
    return _json({"error": error}, status=status)


def _json(content: dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")


async def _serve(endpoint: Endpoint, port: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    # vLLM, too, forgets a request whose client has gone
    runner = web.AppRunner(endpoint.application(), access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, _HOST, port, backlog=4096).start()
        print(f"listening on http://{_HOST}:{runner.addresses[0][1]}", flush=True)
        await stopped.wait()
    finally:
        await runner.cleanup()


def main(
    port: Annotated[int, typer.Option(help="0 takes a free one.")] = 0,
    ttft: Annotated[float, typer.Option(help="Seconds to the first token.")] = 0.0,
    tpot: Annotated[float, typer.Option(help="Seconds an output token.")] = 0.0,
    max_num_seqs: Annotated[int, typer.Option(help="Prompts at once.")] = 256,
) -> None:
    """Serve the simulated engine on loopback until SIGTERM."""
    behaviour = Behaviour(time_to_first_token_seconds=ttft, time_per_output_token_seconds=tpot)
    uvloop.run(_serve(build_endpoint(behaviour, max_num_seqs), port))


if __name__ == "__main__":
    typer.run(main)
