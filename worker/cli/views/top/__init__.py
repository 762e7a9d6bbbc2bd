"""How `guardstream top` draws a view: `frames` lays out panes, which are made of `pieces`."""
