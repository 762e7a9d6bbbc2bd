"""The connection to the brokers from the settings: addresses and credentials."""

from pathlib import Path

from pydantic import SecretStr

from worker.adapters.kafka.connection import Connection
from worker.adapters.kafka.credentials import Secret, TlsFiles
from worker.adapters.kafka.oauth import ClientCredentials
from worker.runtime.settings import Settings


def build_connection(settings: Settings) -> Connection:
    """The connection to the brokers of the settings."""
    kafka = settings.kafka
    return Connection(
        bootstrap_servers=kafka.bootstrap_servers,
        security_protocol=kafka.security_protocol,
        sasl_mechanism=kafka.sasl_mechanism,
        username=kafka.username,
        password=_secret("kafka.password", kafka.password, kafka.password_file),
        oauth=_build_tokens(settings),
        tls=TlsFiles(
            group="kafka",
            ca_file=kafka.ca_file,
            certificate_file=kafka.certificate_file,
            key_file=kafka.key_file,
            key_password=Secret("kafka.key_password", file=kafka.key_password_file),
        ),
        client_id=kafka.client_id,
    )


def _build_tokens(settings: Settings) -> ClientCredentials | None:
    oauth = settings.kafka.oauth
    if not (oauth.token_endpoint_url and oauth.client_id):
        return None
    return ClientCredentials(
        token_endpoint_url=oauth.token_endpoint_url,
        client_id=oauth.client_id,
        client_secret=_secret(
            "kafka.oauth.client_secret", oauth.client_secret, oauth.client_secret_file
        ),
        scope=oauth.scope,
        tls=TlsFiles(group="kafka.oauth", ca_file=oauth.ca_file),
    )


def _secret(setting: str, value: SecretStr | None, file: Path | None) -> Secret:
    return Secret(setting, value.get_secret_value() if value else None, file)
