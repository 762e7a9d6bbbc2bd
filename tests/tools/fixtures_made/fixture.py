"""A fixture of a preset: a record, what made it, and what is expected of it."""

from dataclasses import dataclass
from importlib.metadata import version
from types import ModuleType
from typing import Any

import orjson

BY_HAND = "by hand"


@dataclass(frozen=True)
class Fixture:
    preset: str
    name: str
    made_with: str
    record: Any
    expected: list[dict[str, Any]]


def made_with(package: str) -> str:
    return f"{package} {version(package)}"


def judged(prompt: str, response: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"prompt": prompt, "response": response, **fields}


def refused(error: str, because: str) -> dict[str, Any]:
    return {"refused": error, "because": because}


def skipped() -> dict[str, Any]:
    return {"skipped": "not_an_exchange"}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


class Server:
    """Answers the requests of an SDK, and keeps what it sent."""

    def __init__(self) -> None:
        self.answer: dict[str, Any] = {}
        self.request: dict[str, Any] = {}

    def client(self, library: ModuleType) -> Any:
        """A client of `httpx`, or of another library with its interface."""

        def handle(request: Any) -> Any:
            self.request = orjson.loads(request.read())
            return library.Response(200, json=self.answer)

        return library.Client(transport=library.MockTransport(handle))
