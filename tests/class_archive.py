"""An archive of the classes that a broker loads: with it a start takes half of the CPU.

The tests start dozens of brokers. `tests.lanes` makes the archive beside Kafka's jars, once (some
10 s of CPU); a JVM that it does not fit ignores it.
"""

import tempfile
from pathlib import Path

from worker.demo.kafka.broker import Broker, free_ports
from worker.demo.kafka.broker_properties import Node
from worker.demo.kafka.distribution import FORMATTED_NUMBER, Distribution, obtain
from worker.demo.kafka.jars import run_java


class _Listing(Distribution):
    """Writes the names of the classes that are loaded to a file."""

    def command(self, main_class: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        listed = (*options, f"-XX:DumpLoadedClassList={_list_beside(Path(arguments[0]))}")
        return super().command(main_class, *arguments, options=listed)


def _list_beside(settings: Path) -> Path:
    return settings.with_name("classes.txt")


def archive_classes() -> Path:
    """Make the archive, unless there is one.

    Raises:
        BrokerError: Kafka is not available, or does not start.
    """
    found = obtain(print)
    if found.archive.exists():
        return found.archive
    with tempfile.TemporaryDirectory(dir=found.archive.parent) as folder:
        home, whole = Path(folder), Path(folder) / "classes.jsa"
        broker = Broker(folder=home)
        broker._launch(
            _Listing(found.java, found.jars, found.storage), Node(FORMATTED_NUMBER, *free_ports(2))
        )
        broker.kill()
        options = (
            "-Xshare:dump",
            f"-XX:SharedClassListFile={_list_beside(home / 'server.properties')}",
            f"-XX:SharedArchiveFile={whole}",
        )
        run_java(found.command("kafka.Kafka", options=options))
        if whole.exists():
            whole.rename(found.archive)
    return found.archive
