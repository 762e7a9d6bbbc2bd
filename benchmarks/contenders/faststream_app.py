"""FastStream: a batch subscriber that acknowledges what it has published, and goes back on errors.

Tuned as its documentation suggests: batches; a custom decoder, since the default one would parse
the JSON a first time; no validation of the handler's arguments; sends without a wait each, all
confirmed before the acknowledgement. `publish_batch` would be faster, but puts a complete batch
into one partition whatever the keys. `MANUAL` acknowledgement would commit the position after a
batch that failed together with the next one, so it is `NACK_ON_ERROR`, as its page on at-least-once
has it. It can open no transaction over inputs and outputs.
"""

import asyncio
import logging
import time
from typing import Any

from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

from benchmarks.contenders.contract import Order, read_order, refuse
from benchmarks.contenders.work import Work, record_of

_MOST_RECORDS = 500


def build(order: Order) -> FastStream:
    """The application, ready to run."""
    work = Work(output=order.output, dead=order.dead, group=order.group)
    broker = KafkaBroker(
        order.bootstrap_servers,
        apply_types=False,
        enable_idempotence=True,
        max_batch_size=256 * 1024,
    )

    @broker.subscriber(
        order.input,
        batch=True,
        max_records=_MOST_RECORDS,
        group_id=order.group,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=256 * 1024,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        decoder=_hand_on,
    )
    async def judge(message: KafkaMessage) -> None:
        received_at = time.time()
        records = [record_of(raw, received_at) for raw in message.raw_message]
        confirmed = [
            await broker.publish(
                outgoing.value,
                outgoing.topic,
                key=outgoing.key,
                headers={name: value.decode() for name, value in outgoing.headers},
                no_confirm=True,
            )
            for outgoing in work.outcomes(records)
        ]
        await asyncio.gather(*confirmed)

    return FastStream(broker, logger=None)


async def _hand_on(message: Any) -> Any:
    return message


def main() -> None:
    """Run by the command line."""
    order, _ = read_order()
    if order.guarantee == "exactly_once":
        refuse("FastStream cannot commit inputs and outputs in one transaction.")
    logging.disable(logging.INFO)
    asyncio.run(build(order).run())


if __name__ == "__main__":
    main()
