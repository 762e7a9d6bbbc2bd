"""The policies of the settings, read again while the worker runs."""

import hashlib
import logging
import os
from pathlib import Path
from typing import NamedTuple

from worker.domain.errors import UnusableFile
from worker.domain.ports import Clock
from worker.flow.deciding import Deciding
from worker.policy.file import parse_policy
from worker.policy.policy import Policy
from worker.runtime.settings import Settings
from worker.telemetry import Telemetry
from worker.telemetry.decisions import DecisionMetrics, PolicyUse

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0


class _Content(NamedTuple):
    """What is found where a policy should be.

    Attributes:
        held: its bytes; None if it cannot be read.
        digest: of the bytes, or the reason why there are none.
        place: device and number of the file: other ones after an atomic replacement.
    """

    held: bytes | None
    digest: str
    place: tuple[int, int] | None


class WatchedPolicy:
    """The policy of a file, which can change at any time.

    A change is seen at the first use a second after the last look, or later. A file that is
    replaced counts at once: this is what `mv` does, and Kubernetes with a ConfigMap. One that is
    written in place counts when it is the same at the next look, since half of a policy can be a
    policy. What is no policy is reported once, and the one before it stays in use.

    Args:
        path: of the file.
        use: what the policy is for.
        metrics: record which policy is in use, and whether the file is broken.
        clock: says when the file is looked at again.

    Raises:
        UnusableFile: there is no policy in it.
    """

    def __init__(self, path: Path, use: PolicyUse, metrics: DecisionMetrics, clock: Clock) -> None:
        self._path, self._use, self._metrics, self._clock = path, use, metrics, clock
        # what the last look found, and what was made of an earlier one
        self._seen = self._concluded = found = self._read()
        self._looked_at = clock.monotonic()
        self._is_broken = False
        self._adopt(self._policy_of(found))
        metrics.watch(use, self._look_and_tell)

    def current(self) -> Policy:
        """The policy to decide by now."""
        now = self._clock.monotonic()
        if now - self._looked_at >= _LOOK_SECONDS:
            self._looked_at = now
            self._look()
        return self._policy

    def _look_and_tell(self) -> bool:
        self.current()
        return self._is_broken

    def _look(self) -> None:
        before, self._seen = self._seen, self._read()
        found, concluded = self._seen, self._concluded
        if found.digest == concluded.digest:
            self._concluded = found
            return
        is_whole = None not in (found.place, before.place) and found.place != before.place
        if not is_whole and found.digest != before.digest:
            return
        self._concluded = found
        try:
            policy = self._policy_of(found)
        except UnusableFile as error:
            self._is_broken = True
            held = self._policy.reference
            logger.error(  # noqa: TRY400 - the message says it all
                "%s The policy %s, version %s, stays in use.", error, held.name, held.version
            )
        else:
            self._is_broken = False
            self._adopt(policy)

    def _adopt(self, policy: Policy) -> None:
        self._policy, reference = policy, policy.reference
        self._metrics.uses(self._use, reference, policy.file.actions)
        logger.info(
            "The %s policy is %s, version %s (%s).",
            self._use,
            reference.name,
            reference.version,
            reference.sha256[:12],
        )

    def _read(self) -> _Content:
        # read as a whole: a file of the same time and size can be another one
        try:
            with self._path.open("rb") as file:
                status, held = os.fstat(file.fileno()), file.read()
        except OSError as error:
            return _Content(None, error.strerror or type(error).__name__, None)
        return _Content(held, hashlib.sha256(held).hexdigest(), (status.st_dev, status.st_ino))

    def _policy_of(self, found: _Content) -> Policy:
        if found.held is None:
            raise UnusableFile(f"{self._path} cannot be read: {found.digest}.")
        return Policy(parse_policy(found.held, str(self._path)))


def build_deciding(settings: Settings, telemetry: Telemetry, clock: Clock) -> Deciding:
    """What decides, by the policies of the settings.

    Raises:
        UnusableFile: there is no policy in a file.
    """

    def file_of(path: str | None, use: PolicyUse) -> WatchedPolicy | None:
        return None if path is None else WatchedPolicy(Path(path), use, telemetry.decisions, clock)

    acting = file_of(settings.policy.file, "acting")
    shadow = file_of(settings.policy.shadow_file, "shadow")
    return Deciding(
        telemetry,
        clock,
        acting=None if acting is None else acting.current,
        shadow=None if shadow is None else shadow.current,
    )
