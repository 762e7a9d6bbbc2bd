"""Small files of a model, from a folder or from Hugging Face."""

from pathlib import Path

from worker.domain.errors import EngineUnavailable


def model_file(model: str, name: str, revision: str | None = None) -> Path:
    """The file of a model; in a folder it may be missing.

    Raises:
        EngineUnavailable: Hugging Face has no such model or file, or the download failed.
    """
    if Path(model).is_dir():
        return Path(model) / name
    # slow to import, and not needed for a folder
    from huggingface_hub import hf_hub_download  # noqa: PLC0415
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415

    try:
        return Path(hf_hub_download(model, name, revision=revision))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise unavailable(model, error) from error


def optional_model_file(model: str, name: str, revision: str | None = None) -> Path | None:
    """The file of a model, or None if it has none, or none is cached and there is no connection.

    Raises:
        EngineUnavailable: Hugging Face has no such model, or the download failed.
    """
    if Path(model).is_dir():
        path = Path(model) / name
        return path if path.is_file() else None
    from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415

    try:
        return model_file(model, name, revision)
    except EngineUnavailable as error:
        if isinstance(error.__cause__, EntryNotFoundError):
            return None
        raise


def unavailable(model: str, error: Exception) -> EngineUnavailable:
    """Why a model cannot be loaded."""
    return EngineUnavailable(
        f"The model {model} is not available ({type(error).__name__}); check engine.model,"
        " engine.revision and the connection to Hugging Face."
    )
