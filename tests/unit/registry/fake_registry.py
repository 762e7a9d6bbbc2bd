"""A registry on loopback, with answers that a test sets."""

from aiohttp import web
from aiohttp.test_utils import TestServer

from worker.adapters.kafka.credentials import Secret, TlsFiles
from worker.adapters.registry.client import RegistryClient
from worker.domain.records import Partition, Record

AVRO = '{"type": "record", "name": "Ev", "fields": [{"name": "id", "type": "string"}]}'


class FakeRegistry:
    """Answers by path; each is a status and JSON data, or a function that returns both."""

    def __init__(self):
        self.answers = {}
        self.asked = []
        self.headers = []

    def has(self, number, schema=AVRO, **fields):
        self.answers[f"/schemas/ids/{number}"] = (200, {"schema": schema, **fields})

    async def _answer(self, request):
        self.asked.append(request.path_qs)
        self.headers.append(request.headers)
        missing = (404, {"error_code": 40403, "message": "Schema not found"})
        answer = self.answers.get(request.raw_path, self.answers.get(request.path, missing))
        status, data = answer(request) if callable(answer) else answer
        if isinstance(data, bytes):
            return web.Response(status=status, body=data)
        headers = {"Location": "/elsewhere"} if status == 302 else None
        return web.json_response(data, status=status, headers=headers)

    async def __aenter__(self):
        application = web.Application()
        application.router.add_get("/{tail:.*}", self._answer)
        self._server = TestServer(application)
        await self._server.start_server()
        self.url = str(self._server.make_url("")).rstrip("/")
        return self

    async def __aexit__(self, *_):
        await self._server.close()

    def client(self, **options):
        return client(self.url, **options)


def client(url, username=None, password=None, token_file=None, timeout_seconds=10.0):
    return RegistryClient(
        url,
        username=username,
        password=Secret("input.registry.password", password),
        token=Secret("input.registry.token", file=token_file),
        tls=TlsFiles(group="input.registry"),
        timeout_seconds=timeout_seconds,
    )


def record(value, headers=(), unreadable=None):
    return Record(Partition("in", 0), 0, 0, None, value, tuple(headers), 0, 0.0, unreadable)


def framed(number, body):
    return b"\x00" + number.to_bytes(4) + body
