"""The console of `guardstream top`: `frames` lays out panes, which consist of `pieces`."""
