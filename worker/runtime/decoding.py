"""The decoder of the settings."""

from worker.decoding.decoder import EventDecoder
from worker.decoding.expressions import Expression
from worker.decoding.mapping import load_mapping
from worker.decoding.selection import Selection
from worker.decoding.values import JsonReader
from worker.runtime.settings import Settings


def build_decoder(settings: Settings) -> EventDecoder:
    """What decodes the records of the input topics.

    Raises:
        WrongSetting: `input.mapping` names no mapping.
    """
    chosen = settings.input
    selection = None
    if chosen.keep is not None or chosen.sample < 1:
        keep = None if chosen.keep is None else Expression(chosen.keep)
        selection = Selection(keep, chosen.sample)
    mapping = load_mapping(chosen.mapping)
    return EventDecoder(JsonReader(chosen.framing), mapping, chosen.judge, selection)
