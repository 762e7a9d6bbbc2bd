"""The credentials of the worker and of the brokers: secrets and certificates, read from files.

Files are read when a client is built, so a new client has what they hold by then. Certificates are
looked at before every handshake too: a client that lives for weeks reconnects with the renewed one.
"""

import logging
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.domain.errors import BusUnavailable

logger = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret that is given as it is, or by the file that holds it.

    Args:
        setting: its name, for the error when the file cannot be read.
    """

    setting: str
    value: str | None = field(default=None, repr=False)
    file: Path | None = None

    def read(self) -> str | None:
        """The secret as it is now, without the line end that editors add.

        Raises:
            BusUnavailable: its file cannot be read.
        """
        if self.file is None:
            return self.value
        return _read(self.file, f"{self.setting}_file").decode().removesuffix("\n")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The trusted certificates, and the client's own.

    Args:
        group: of the settings that name these files.
        ca_file: the certificates that are trusted; the system's when None.
    """

    group: str
    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    key_password: Secret | None = None

    def context(self) -> ssl.SSLContext:
        """A context that verifies the other side's certificate and host name.

        Raises:
            BusUnavailable: a file is missing, or is not what it should be.
        """
        context = _RenewingContext(ssl.PROTOCOL_TLS_CLIENT)
        context.begin(self)
        return context

    def load(self, context: ssl.SSLContext) -> None:
        """Give a context what the files hold now.

        Raises:
            BusUnavailable: a file is missing, or is not what it should be.
        """
        if self.ca_file is None:
            context.load_default_certs()
        else:
            _read(self.ca_file, f"{self.group}.ca_file")
            try:
                context.load_verify_locations(self.ca_file)
            except ssl.SSLError as error:
                raise BusUnavailable(
                    f"{self.group}.ca_file, {self.ca_file}, holds no certificate in PEM form."
                ) from error
        if self.certificate_file is not None:
            self._load_own(context, self.certificate_file)

    def _load_own(self, context: ssl.SSLContext, certificate: Path) -> None:
        name = f"{self.group}.certificate_file"
        _read(certificate, name)
        if self.key_file is not None:
            _read(self.key_file, f"{self.group}.key_file")
        password = self.key_password.read() if self.key_password else None
        try:
            # without a password OpenSSL would ask the terminal for one
            context.load_cert_chain(certificate, self.key_file, password or "")
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                what = f"{self.group}.key_file is not the key of {name}, {certificate}."
            else:
                what = (
                    f"{name}, {certificate}, and its key cannot be used; both are PEM, and a key"
                    f" with a password needs {self.group}.key_password_file."
                )
            raise BusUnavailable(what) from error

    def stamp(self) -> _Stamp:
        """What changes when a file does."""
        files = (self.ca_file, self.certificate_file, self.key_file)
        stats = [file.stat() for file in files if file is not None]
        return tuple((stat.st_mtime_ns, stat.st_size) for stat in stats)


class _RenewingContext(ssl.SSLContext):
    """Looks at its files before each handshake.

    What a new file of trusted certificates leaves out is trusted until the client is built again.
    """

    _files: TlsFiles
    _stamp: _Stamp

    def begin(self, files: TlsFiles) -> None:
        self._files = files
        files.load(self)
        self._stamp = files.stamp()

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        try:
            stamp = self._files.stamp()
            if stamp != self._stamp:
                self._files.load(self)
                self._stamp = stamp
                logger.info("The certificates of %s were reloaded.", self._files.group)
        except (BusUnavailable, OSError) as error:
            # perhaps half of them is replaced: the next handshake looks again
            logger.warning("Certificates were not reloaded (%s).", error)
        return super().wrap_bio(*args, **kwargs)


def _read(file: Path, setting: str) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        reason = "is not there" if isinstance(error, FileNotFoundError) else "cannot be read"
        raise BusUnavailable(
            f"The file of {setting}, {file}, {reason}; mount it, or name another."
        ) from error
