"""What goes wrong with a schema: the registry is away, or the schema cannot be used."""

from worker.domain.errors import GuardstreamError, Retriable


class RegistryUnavailable(Retriable):
    """The registry gives no usable answer; the message is a clause that names the reason."""


class SchemaUnusable(GuardstreamError):  # noqa: N818 - the kind is the name
    """Records of this schema cannot be read; the message says why, with the schema as subject."""


class SchemaMissing(SchemaUnusable):
    """The registry does not have this schema."""
