"""The arguments and the exit of contenders: the same for all, so that one harness runs them.

`CMD --bootstrap-servers H:P --input TOPIC --output TOPIC --dead TOPIC --group GROUP
--guarantee at_least_once|exactly_once [--engine-url URL]` runs until SIGTERM. It reads chat events
from the beginning of the input, puts a verdict for each on the output under the record's own key,
or the value it cannot judge on the dead-letter topic, and commits to the group only after that is
acknowledged, or in one transaction with it. One that cannot keep a guarantee exits 2 at once.
"""

import argparse
import sys
from dataclasses import dataclass
from typing import Literal, NoReturn

Guarantee = Literal["at_least_once", "exactly_once"]
GUARANTEES: tuple[Guarantee, ...] = ("at_least_once", "exactly_once")


class Unprepared(Exception):  # noqa: N818 - a state, as the project's errors are named
    """A requirement of a contender is not available; the message is a sentence for the table."""


@dataclass(frozen=True, slots=True)
class Order:
    """What a contender is to do; `engine_url` is for those that ask an endpoint."""

    bootstrap_servers: str
    input: str
    output: str
    dead: str
    group: str
    guarantee: Guarantee
    engine_url: str | None = None

    def arguments(self) -> list[str]:
        """The order as a command line."""
        said = {
            "--bootstrap-servers": self.bootstrap_servers,
            "--input": self.input,
            "--output": self.output,
            "--dead": self.dead,
            "--group": self.group,
            "--guarantee": self.guarantee,
            "--engine-url": self.engine_url,
        }
        return [word for name, value in said.items() if value for word in (name, value)]


def read_order(parser: argparse.ArgumentParser | None = None) -> tuple[Order, argparse.Namespace]:
    """The order of this process's command line, and the other arguments of `parser`."""
    parser = parser or argparse.ArgumentParser()
    for name in ("--bootstrap-servers", "--input", "--output", "--dead", "--group"):
        parser.add_argument(name, required=True)
    parser.add_argument("--guarantee", required=True, choices=GUARANTEES)
    parser.add_argument("--engine-url")
    said = parser.parse_args()
    order = Order(**{name: getattr(said, name) for name in Order.__slots__})
    return order, said


def refuse(why: str) -> NoReturn:
    """End as a contender does that cannot keep the guarantee."""
    sys.stderr.write(why + "\n")
    sys.exit(2)
