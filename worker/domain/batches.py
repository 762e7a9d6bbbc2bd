"""Micro-batches: why they close."""

from enum import StrEnum


class CloseReason(StrEnum):
    """Why a batch closed."""

    RECORDS = "records"
    TOKENS = "tokens"
    LINGER = "linger"
    IDLE = "idle"
    SUSPECT = "suspect"
