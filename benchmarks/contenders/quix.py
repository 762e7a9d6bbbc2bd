"""Quix Streams: a dataframe of one step, which judges a record at a time.

Its checkpoint flushes the producer and then commits, or commits both in one transaction. The
interval is that of Guardstream's commits; there is no state, so no changelog and no folder of it.
"""

import time
from typing import Any

from quixstreams import Application, message_context
from quixstreams.models import Serializer

from benchmarks.contenders.contract import Order, read_order
from benchmarks.contenders.work import Work
from worker.domain.records import OutgoingRecord, Partition, Record

_COMMIT_SECONDS = 1.0


class _ValueOf(Serializer):
    def __call__(self, value: OutgoingRecord, ctx: Any) -> bytes | None:  # noqa: ARG002 - Quix's
        return value.value


def build(order: Order) -> Application:
    """The application, ready to run."""
    work = Work(output=order.output, dead=order.dead, group=order.group)
    app = Application(
        broker_address=order.bootstrap_servers,
        consumer_group=order.group,
        auto_offset_reset="earliest",
        processing_guarantee=order.guarantee.replace("_", "-"),
        commit_interval=_COMMIT_SECONDS,
        auto_create_topics=False,
        use_changelog_topics=False,
        loglevel="WARNING",
        consumer_extra_config={"isolation.level": "read_committed"},
    )
    source = app.topic(order.input, key_deserializer="bytes", value_deserializer="bytes")
    outputs = {
        name: app.topic(name, key_serializer="bytes", value_serializer=_ValueOf())
        for name in (order.output, order.dead)
    }

    def judge(value: bytes, key: bytes, timestamp: int, headers: Any) -> list[OutgoingRecord]:
        context = message_context()
        where = Partition(context.topic, context.partition)
        record = Record(
            where, 0, context.offset, key, value, tuple(headers or ()), timestamp, time.time()
        )
        return work.outcomes([record])

    (
        app.dataframe(source)
        .apply(judge, metadata=True, expand=True)
        .set_headers(lambda outgoing, *_: list(outgoing.headers))
        .to_topic(lambda outgoing, *_: outputs[outgoing.topic], key=lambda outgoing: outgoing.key)
    )
    return app


def main() -> None:
    """Run by the command line."""
    order, _ = read_order()
    build(order).run()


if __name__ == "__main__":
    main()
