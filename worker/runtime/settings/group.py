"""The base of a group of settings, and the types that groups share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Group(BaseModel):
    """Settings that belong together; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")
