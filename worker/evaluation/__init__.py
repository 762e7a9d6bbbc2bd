"""How good a guard is, on events whose labels are known.

`labelled` reads the events, `asking` has the engine complete them, `stored` keeps completions,
`scoring` counts, `resampling` says how sure the figures are, `comparing` sets two guards side by
side, `findings` puts it all into one document, `report` shows that as a page.
"""
