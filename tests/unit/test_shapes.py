"""The sample events in other shapes are read as the same events by their presets."""

import pytest

from worker.decoding.decoder import Decoded, EventDecoder
from worker.decoding.mapping import load_mapping, presets
from worker.demo.samples import sample_lines
from worker.demo.shapes import SHAPES, shaped
from worker.domain.records import record_of_line


def decode(line, **decoder):
    (found,) = EventDecoder(**decoder).decode(record_of_line("t", 0, line, 0.0)).exchanges
    return found


@pytest.mark.parametrize("name", [name for name in SHAPES if name in presets()])
def test_each_sample_is_the_same_exchange(name):
    judged = 0
    for line in sample_lines():
        plain = decode(line)
        if not isinstance(plain, Decoded):
            assert shaped(line, name) == line
            continue
        mapped = decode(shaped(line, name), mapping=load_mapping(name))
        assert isinstance(mapped, Decoded), (line, mapped)
        assert mapped.exchange.prompt == plain.exchange.prompt
        assert (mapped.exchange.response or None) == (plain.exchange.response or None)
        judged += 1
    assert judged > 30
