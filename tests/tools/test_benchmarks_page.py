from pathlib import Path

from benchmarks.page import page, read_measured

DOCS = Path(__file__).parents[2] / "docs"


def test_the_committed_page_is_what_the_figures_and_what_was_tried_say(tmp_path):
    made = page(read_measured(DOCS / "benchmarks"), tmp_path)
    committed = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert committed == made, "run: .venv/bin/python -m benchmarks --report-only"
    assert all((DOCS / "benchmarks" / one.name).is_file() for one in tmp_path.iterdir())
