"""Every setting: its unit, its default, its reason.

`kafka`, `judging` and `operation` hold the groups, `model` puts them together; `given` reads what
was set and where, `loading` makes settings of it or `faults`; `lint`, `effective`, `schema`,
`starter` and `table` are for users.
"""

from worker.runtime.settings.loading import load_settings
from worker.runtime.settings.model import Settings
from worker.runtime.settings.table import settings_table

__all__ = ["Settings", "load_settings", "settings_table"]
