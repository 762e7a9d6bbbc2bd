"""The embedded broker's end, when it ended before it was asked to."""

import signal

import psutil
import pytest

from worker.demo.kafka.broker import Broker

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("end", [Broker.stop, Broker.kill, Broker.close])
def test_a_broker_that_died_leaves_no_process(end):
    before = set(psutil.Process().children())
    with Broker() as broker:
        (guardian,) = set(psutil.Process().children()) - before
        (machine,) = guardian.children()
        machine.send_signal(signal.SIGKILL)
        # it is not waited for: that is the broker's part
        while guardian.status() != psutil.STATUS_ZOMBIE:
            pass
        end(broker)
        assert not broker.running
        assert set(psutil.Process().children()) == before
