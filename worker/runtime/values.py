"""The reader of values from the settings."""

from importlib.util import find_spec

from worker.adapters.clock import SystemClock
from worker.adapters.kafka.credentials import Secret, TlsFiles
from worker.decoding.values import JsonReader, ValueReader
from worker.domain.errors import WrongSetting
from worker.runtime.settings import Settings

_PACKAGES = {"fastavro": "fastavro", "google.protobuf": "protobuf", "grpc_tools": "grpcio-tools"}


def build_value_reader(settings: Settings) -> ValueReader:
    """The reader of values for `input.framing`.

    Raises:
        WrongSetting: a package that it needs is missing.
    """
    registry = settings.input.registry
    if settings.input.framing != "registry" or registry.url is None:
        return JsonReader(settings.input.framing)
    _refuse_missing_packages()
    from worker.adapters.registry.client import RegistryClient  # noqa: PLC0415 an extra
    from worker.adapters.registry.reader import RegistryReader  # noqa: PLC0415

    password = registry.password.get_secret_value() if registry.password else None
    client = RegistryClient(
        registry.url,
        username=registry.username,
        password=Secret("input.registry.password", password, registry.password_file),
        token=Secret("input.registry.token", file=registry.token_file),
        tls=TlsFiles(group="input.registry", ca_file=registry.ca_file),
        timeout_seconds=registry.timeout_seconds,
    )
    return RegistryReader(client, cache_schemas=registry.cache_schemas, clock=SystemClock())


def _refuse_missing_packages() -> None:
    missing = [package for module, package in _PACKAGES.items() if not _is_installed(module)]
    if missing:
        raise WrongSetting(
            f"input.framing registry needs {' and '.join(missing)}: install guardstream with its"
            " extra [registry]."
        )


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # of a parent
        return False
