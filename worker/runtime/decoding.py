"""The decoder of the settings."""

from worker.decoding.decoder import EventDecoder
from worker.decoding.expressions import Expression
from worker.decoding.mapping import load_mapping
from worker.decoding.selection import Selection
from worker.decoding.values import ValueReader
from worker.runtime.settings import Settings
from worker.runtime.values import build_value_reader


def build_decoder(settings: Settings, reader: ValueReader | None = None) -> EventDecoder:
    """What decodes the records of the input topics.

    Args:
        settings: how records become events.
        reader: of other values than those of the topics: the lines of a file have no frames.

    Raises:
        WrongSetting: `input.mapping` names no mapping, or a package is missing.
    """
    chosen = settings.input
    selection = None
    if chosen.keep is not None or chosen.sample < 1:
        keep = None if chosen.keep is None else Expression(chosen.keep)
        selection = Selection(keep, chosen.sample)
    mapping = load_mapping(chosen.mapping)
    return EventDecoder(
        reader or build_value_reader(settings),
        mapping,
        chosen.judge,
        selection,
        chosen.exchanges_per_record,
        settings.guard.context_turns,
    )
