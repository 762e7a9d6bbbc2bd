"""The faults that pydantic finds in a file that a user wrote."""

from pydantic import ValidationError


def file_faults(error: ValidationError) -> list[str]:
    """Each fault with the place where it is, as `event.id: give a text`."""
    return [
        f"{'.'.join(str(part) for part in fault['loc']) or 'the file'}:"
        f" {fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
