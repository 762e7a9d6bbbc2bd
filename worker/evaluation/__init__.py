"""How good a guard is, on events with labels.

`labelled` reads the events, `asking` gets the engine's completions, `keeping` writes them, `stored`
reads them, `scoring` counts, `intervals` adds confidence intervals, `comparing` compares two
guards, `analysis` makes one document of it (`results`), `report` renders that as a page.

`analysis`, `comparing`, `intervals`, `report` and `results` need the extra `evaluate`.
"""
