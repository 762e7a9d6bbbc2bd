"""What is wrong with a setting."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        setting: its name, or the variable that is no setting; empty for the file itself.
        where: where it was set: the file and line, or the variable; empty if it was not set.
        what: what is wrong.
        sentence: the fault as the error of a command that needs the settings.
    """

    setting: str
    where: str
    what: str
    sentence: str = ""

    def __post_init__(self) -> None:
        """Derive the sentence, if none was given."""
        if not self.sentence:
            where = f" ({self.where})" if self.where else ""
            text = f"The setting {self.setting}{where} cannot be used: {self.what}."
            object.__setattr__(self, "sentence", text)

    @classmethod
    def unknown(cls, setting: str, where: str, hint: str | None) -> "Fault":
        """A key or a variable that is no setting."""
        known = f" ({where})" if where != setting else ""
        more = f"; {hint}" if hint else ""
        return cls(
            setting,
            where,
            f"there is no such setting{more}",
            f"There is no setting {setting}{known}{more}{'' if more.endswith('?') else '.'}",
        )

    @classmethod
    def of_file(cls, file: Path, what: str, where: str = "") -> "Fault":
        """A file that cannot be read."""
        return cls("", where or str(file), what, f"The settings file {where or file} {what}.")

    @property
    def line(self) -> str:
        """The fault as a line: where, which setting, what is wrong."""
        parts = dict.fromkeys(part for part in (self.where, self.setting, self.what) if part)
        return ": ".join(parts)
