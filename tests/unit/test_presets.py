"""Each preset reads the records of its product: fixtures made with the products' own SDKs."""

import copy
import re
from datetime import UTC
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_expressions import JSON
from worker.decoding.decoder import Decoded, EventDecoder, Refused
from worker.decoding.mapping import load_mapping, presets
from worker.domain.events import Skip
from worker.domain.records import record_of_line
from worker.operator.understanding import suggest

FOLDER = Path(__file__).parent / "presets"
FIXTURES = {
    f"{path.parent.name}/{path.stem}": orjson.loads(path.read_bytes())
    for path in sorted(FOLDER.glob("*/*.json"))
}
OPTIONAL = ("id", "conversation_id", "model", "user_id", "tenant", "occurred_at")
DECODERS = {name: EventDecoder(mapping=load_mapping(name)) for name in presets()}


def decode(preset, value):
    return DECODERS[preset].decode(record_of_line("t", 7, orjson.dumps(value), 0.0))


def found_in(decoding):
    """The exchanges of a record, as fixtures write them."""
    found = []
    for one in decoding.exchanges:
        if isinstance(one, Refused):
            found.append({"refused": type(one.error).__name__, "because": str(one.error)})
            continue
        fields = {name: getattr(one.event, name) for name in OPTIONAL}
        when = fields["occurred_at"]
        fields["occurred_at"] = when and when.astimezone(UTC).isoformat().replace("+00:00", "Z")
        found.append(
            {
                "prompt": one.exchange.prompt,
                "response": one.exchange.response,
                "flags": list(one.exchange.flags),
                **fields,
            }
        )
    return found + [{"skipped": str(why)} for why in decoding.skipped]


@pytest.mark.parametrize("name", FIXTURES)
def test_a_record_is_read_as_expected(name):
    fixture = FIXTURES[name]
    found = found_in(decode(name.partition("/")[0], fixture["record"]))
    expected = [
        one if "prompt" not in one else {**dict.fromkeys(OPTIONAL), "flags": [], **one}
        for one in fixture["expected"]
    ]
    for one, wanted in zip(found, expected, strict=False):
        if "because" in one and wanted.get("because", "?") in one["because"]:
            one["because"] = wanted["because"]
    assert found == expected


@pytest.mark.parametrize("preset", presets())
def test_without_a_mapping_the_refusal_of_a_record_names_its_preset(preset):
    advised = []
    for name, fixture in FIXTURES.items():
        if name.startswith(f"{preset}/"):
            (found, *_) = (
                EventDecoder()
                .decode(record_of_line("t", 7, orjson.dumps(fixture["record"]), 0.0))
                .exchanges
            )
            said = str(found.error) if isinstance(found, Refused) else ""
            if advice := re.search(r"looks like .*: set input\.mapping to (.*)\.$", said):
                advised.append(advice[1])
    assert all(preset in advice.split(" or ") for advice in advised)
    # LiteLLM's records have messages, as events do
    assert advised or preset == "litellm"


@pytest.mark.parametrize("preset", presets())
def test_a_preset_has_fixtures(preset):
    own = [fixture for name, fixture in FIXTURES.items() if name.startswith(f"{preset}/")]
    assert len(own) >= 5
    assert any("prompt" in one for fixture in own for one in fixture["expected"])
    assert all(fixture["made_with"] for fixture in own)


def nodes_of(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else ()
    for key, inner in enumerate(value) if isinstance(value, list) else items:
        yield from nodes_of(inner, (*path, key))


def changed(record, path, new):
    """A copy of a record with another value at a path, or without it."""
    if not path:
        return new
    record = copy.deepcopy(record)
    holder = record
    for key in path[:-1]:
        holder = holder[key]
    if new is ...:
        del holder[path[-1]]
    else:
        holder[path[-1]] = new
    return record


@given(st.data())
def test_a_changed_record_is_judged_refused_or_skipped(data):
    name = data.draw(st.sampled_from(sorted(FIXTURES)))
    record = FIXTURES[name]["record"]
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(nodes_of(record))))
        record = changed(record, path, data.draw(JSON | st.just(...) if path else JSON))
    decoding = decode(name.partition("/")[0], record)
    assert all(isinstance(one, Decoded | Refused) for one in decoding.exchanges)
    assert all(isinstance(one, Skip) for one in decoding.skipped)
    assert decoding.exchanges or decoding.skipped


@pytest.mark.parametrize("name", presets())
def test_the_records_of_a_preset_suggest_it(name):
    records = [
        record_of_line("t", n, orjson.dumps(fixture["record"]), 0.0)
        for n, (path, fixture) in enumerate(FIXTURES.items())
        if path.startswith(f"{name}/")
    ]
    assert suggest(records)[0].name == name
