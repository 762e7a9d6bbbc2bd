"""Each way to say who one is, against a real Kafka that asks, and what is said of mistakes."""

import asyncio
import ssl
import uuid

import pytest
from aiokafka.conn import create_conn
from aiokafka.errors import KafkaConnectionError

from tests.integration.authority import Authority
from tests.integration.harness import event, produce, start_process, until
from tests.integration.secured import (
    PASSWORD,
    TOKEN_SESSION_MS,
    SecuredBroker,
    TokenEndpoint,
    add_scram_user,
)
from worker.adapters.kafka import connection
from worker.adapters.kafka.connection import create_topics, require_topics
from worker.domain.errors import BusUnavailable
from worker.runtime.connection import build_connection
from worker.runtime.settings import load_settings
from worker.runtime.worker import Worker

pytestmark = pytest.mark.integration

QUICK = {"time_to_first_token_seconds": 0.01, "time_per_output_token_seconds": 0.0}
WAYS = ["TLS", "mTLS", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def broker(authority):
    with SecuredBroker(authority) as found:
        asyncio.run(add_scram_user(found.connection, "worker", PASSWORD))
        yield found


@pytest.fixture
async def endpoint():
    async with TokenEndpoint().serving() as found:
        yield found


@pytest.fixture
def password_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return file


@pytest.fixture
def ways(broker, authority, endpoint, password_file):
    """Kafka's settings for each way."""
    certificate, key = authority.issue("worker")
    trusting = {"ca_file": authority.file}
    named = trusting | {
        "bootstrap_servers": broker.servers["WORDS"],
        "security_protocol": "SASL_SSL",
        "username": "worker",
        "password_file": password_file,
    }
    words = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    return {
        "TLS": trusting | {"bootstrap_servers": broker.servers["TLS"], "security_protocol": "SSL"},
        "mTLS": trusting
        | {
            "bootstrap_servers": broker.servers["MTLS"],
            "security_protocol": "SSL",
            "certificate_file": certificate,
            "key_file": key,
        },
        **{mechanism: named | {"sasl_mechanism": mechanism} for mechanism in words},
        "OAUTHBEARER": trusting
        | {
            "bootstrap_servers": broker.servers["TOKENS"],
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "OAUTHBEARER",
            "oauth": {
                "token_endpoint_url": endpoint.url,
                "client_id": "worker",
                "client_secret_file": password_file,
                "scope": "moderation",
            },
        },
    }


@pytest.fixture
async def make_settings(broker):
    async def make(kafka, guarantee="at_least_once"):
        name = uuid.uuid4().hex[:8]
        topics = [f"events-{name}", f"verdicts-{name}", f"dead-{name}"]
        await create_topics(broker.connection, topics, partitions=1)
        return load_settings(
            kafka=kafka,
            input={"topics": topics[:1], "group_id": f"group-{name}"},
            output={"verdict_topic": topics[1], "dead_letter_topic": topics[2]},
            engine={"kind": "simulated", "simulated": QUICK},
            delivery={"guarantee": guarantee},
            health={"port": 0},
        )

    return make


@pytest.mark.parametrize(
    ("way", "guarantee"),
    [*((way, "at_least_once") for way in WAYS), ("mTLS", "exactly_once")],
)
async def test_the_worker_works(broker, ways, make_settings, way, guarantee):
    settings = await make_settings(ways[way], guarantee)
    topic = settings.input.topics[0]
    await produce(broker.connection, topic, [event(topic, "1")])
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    await until(lambda: worker.outcomes["verdict"] == 1 or running.done())
    worker.stop()
    await running
    assert worker.outcomes["verdict"] == 1


async def connect(kafka):
    await require_topics(build_connection(load_settings(kafka=kafka)), ["no-such-topic"])


MISTAKES = {
    "a wrong password": ("PLAIN", {"password_file": None, "password": "x"}, "kafka.password_file"),
    "a wrong SCRAM password": (
        *("SCRAM-SHA-512", {"password_file": None, "password": "x"}),
        "refuses user worker with SCRAM-SHA-512",
    ),
    "an unknown user": ("SCRAM-SHA-256", {"username": "nobody"}, "refuses user nobody"),
    "an authority that is not trusted": ("TLS", {"ca_file": None}, "kafka.ca_file"),
    "no client certificate": (
        *("mTLS", {"certificate_file": None, "key_file": None}),
        "kafka.certificate_file",
    ),
    "no TLS where there is some": (
        *("TLS", {"security_protocol": "PLAINTEXT"}),
        "kafka.security_protocol, which is PLAINTEXT",
    ),
    "SASL where there is none": (
        *("TLS", {"security_protocol": "SASL_SSL", "username": "worker", "password": "x"}),
        "kafka.security_protocol",
    ),
    "another mechanism": (
        *("OAUTHBEARER", {"sasl_mechanism": "PLAIN", "username": "worker", "password": "x"}),
        "does not offer PLAIN; look at kafka.sasl_mechanism",
    ),
}


@pytest.mark.parametrize(("way", "changes", "said"), MISTAKES.values(), ids=list(MISTAKES))
async def test_a_mistake_is_named_with_its_setting(ways, way, changes, said):
    with pytest.raises(BusUnavailable) as caught:
        await connect(ways[way] | changes)
    assert said in str(caught.value)
    assert "correct-horse" not in str(caught.value)


async def test_tls_where_there_is_none_is_named(broker, ways):
    with pytest.raises(BusUnavailable, match=r"kafka\.security_protocol, which is SSL"):
        await connect(ways["TLS"] | {"bootstrap_servers": broker.connection.bootstrap_servers})


async def test_a_certificate_for_another_name_is_named(ways):
    servers = ways["TLS"]["bootstrap_servers"].replace("localhost", "127.0.0.1")
    with pytest.raises(BusUnavailable, match="is for another name; name the broker in"):
        await connect(ways["TLS"] | {"bootstrap_servers": servers})


@pytest.mark.parametrize(
    "setting", ["ca_file", "certificate_file", "key_file", "key_password_file"]
)
async def test_a_missing_file_is_named(ways, tmp_path, setting):
    with pytest.raises(BusUnavailable, match=rf"kafka\.{setting}, .*gone, is not there"):
        await connect(ways["mTLS"] | {setting: tmp_path / "gone"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ca_file": "worker.key"}, "kafka.ca_file.*holds no certificate"),
        ({"key_file": "other.key"}, "kafka.key_file is not the key of kafka.certificate_file"),
        ({"key_file": "locked.key"}, "needs kafka.key_password_file"),
    ],
)
async def test_a_file_of_another_kind_is_named(ways, authority, changes, said):
    authority.issue("other")
    authority.issue("locked", password=b"open")
    folder = authority.file.parent
    with pytest.raises(BusUnavailable, match=said):
        await connect(ways["mTLS"] | {key: folder / name for key, name in changes.items()})


async def test_a_key_with_a_password_is_opened(ways, authority, tmp_path):
    certificate, key = authority.issue("locked", password=b"open")
    (tmp_path / "key-password").write_text("open\n")
    files = {
        "certificate_file": certificate,
        "key_file": key,
        "key_password_file": tmp_path / "key-password",
    }
    with pytest.raises(BusUnavailable, match="has no topic"):
        await connect(ways["mTLS"] | files)


async def test_a_renewed_certificate_is_shown_at_the_next_handshake(ways, authority, tmp_path):
    arguments = build_connection(load_settings(kafka=ways["mTLS"])).arguments()
    host, _, port = arguments.pop("bootstrap_servers").partition(":")
    certificate, key = ways["mTLS"]["certificate_file"], ways["mTLS"]["key_file"]
    good = certificate.read_bytes(), key.read_bytes()

    async def reconnect():
        (await create_conn(host, int(port), **arguments)).close()

    await reconnect()
    for mine, theirs in zip((certificate, key), Authority(tmp_path, "x").issue("w"), strict=True):
        mine.write_bytes(theirs.read_bytes())
    with pytest.raises((KafkaConnectionError, ssl.SSLError)):
        await reconnect()
    certificate.write_bytes(good[0])
    # half of the pair: what was read last is kept, and nothing breaks but the handshake
    with pytest.raises((KafkaConnectionError, ssl.SSLError)):
        await reconnect()
    key.write_bytes(good[1])
    await reconnect()


async def test_a_changed_password_is_read_by_the_next_client(ways, password_file):
    found = build_connection(load_settings(kafka=ways["PLAIN"]))
    password_file.write_text("yesterday's")
    with pytest.raises(BusUnavailable, match="refuses user worker"):
        await require_topics(found, ["no-such-topic"])
    password_file.write_text(PASSWORD)
    with pytest.raises(BusUnavailable, match="has no topic"):
        await require_topics(found, ["no-such-topic"])


async def test_a_worker_outlives_its_tokens_and_its_secret(
    broker, ways, endpoint, make_settings, password_file
):
    endpoint.life_seconds = 1.5
    settings = await make_settings(ways["OAUTHBEARER"])
    topic = settings.input.topics[0]
    worker = Worker(settings)
    running = asyncio.create_task(worker.run())
    for number in range(3):
        if number == 1:
            endpoint.secret = "changed"
            password_file.write_text("changed")
        await produce(broker.connection, topic, [event(topic, str(number))])
        await until(lambda n=number: worker.outcomes["verdict"] == n + 1 or running.done(), 30)
        # longer than the broker lets a connection live on one token
        await asyncio.sleep(1.5 * TOKEN_SESSION_MS / 1000)
    worker.stop()
    await running
    assert endpoint.given >= 3


@pytest.mark.parametrize(
    ("oauth", "said"),
    [
        ({"client_id": "stranger"}, "issued no token (status 401, invalid_client)"),
        ({"scope": "another"}, "refuses the token"),
        ({"token_endpoint_url": "http://127.0.0.1:1/token"}, "kafka.oauth.token_endpoint_url"),
        ({"client_secret_file": "gone"}, "kafka.oauth.client_secret_file, gone, is not there"),
    ],
)
async def test_what_is_wrong_with_tokens_is_named(ways, monkeypatch, oauth, said):
    # aiokafka does not see that a token is refused, and asks on
    monkeypatch.setattr(connection, "_CONNECT_SECONDS", 3.0)
    kafka = ways["OAUTHBEARER"]
    with pytest.raises(BusUnavailable) as caught:
        await connect(kafka | {"oauth": kafka["oauth"] | oauth})
    assert said in str(caught.value)


async def test_a_token_endpoint_that_nobody_trusts_is_named(ways, authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("endpoint", hosts=["localhost"]))
    async with TokenEndpoint().serving(context) as endpoint:
        kafka = ways["OAUTHBEARER"]
        url = endpoint.url.replace("127.0.0.1", "localhost")
        oauth = kafka["oauth"] | {"token_endpoint_url": url}
        with pytest.raises(BusUnavailable, match=r"kafka\.oauth\.ca_file"):
            await connect(kafka | {"oauth": oauth})
        with pytest.raises(BusUnavailable, match="has no topic"):
            await connect(kafka | {"oauth": oauth | {"ca_file": authority.file}})


async def test_check_says_what_failed(ways, make_settings):
    settings = await make_settings(ways["SCRAM-SHA-512"])
    environment = {
        "KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA__SASL_MECHANISM": "SCRAM-SHA-512",
        "KAFKA__USERNAME": "worker",
        "KAFKA__CA_FILE": str(settings.kafka.ca_file),
        "ENGINE__SIMULATED__ALLOWED": "true",
    }
    for password, code, said in (
        ("wrong", 1, "refuses user worker with SCRAM-SHA-512"),
        (PASSWORD, 0, settings.output.verdict_topic),
    ):
        process = await start_process(settings, "check", **environment, KAFKA__PASSWORD=password)
        out, _ = await process.communicate()
        text = " ".join(out.decode().split())
        assert (process.returncode, said in text) == (code, True), text
        assert password not in text
