"""Every setting: its unit, its default, its reason.

`kafka`, `judging` and `operation` hold the groups, `loading` puts them together and reads their
values, `table` lists them.
"""

from worker.runtime.settings.loading import Settings, load_settings
from worker.runtime.settings.table import settings_table

__all__ = ["Settings", "load_settings", "settings_table"]
