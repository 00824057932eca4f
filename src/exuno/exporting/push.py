"""To the Hugging Face hub."""

from pathlib import Path

from exuno.engine.errors import ExunoError


def push(folder: Path, repo: str, message: str) -> str:
    """Upload a folder; the repository is made if it is not there.

    Returns:
        Its address.

    Raises:
        ExunoError: no network, or no right to write there. The folder stays.
    """
    import huggingface_hub

    try:
        huggingface_hub.create_repo(repo, exist_ok=True)
        huggingface_hub.upload_folder(repo_id=repo, folder_path=folder, commit_message=message)
    except Exception as error:  # no network, no token, no such organisation: the library has many exceptions
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ExunoError(
            f"{folder} was written, but not pushed to {repo}: {first}",
            f"Sign in with hf auth login, then: hf upload {repo} {folder}",
        ) from error
    return f"https://huggingface.co/{repo}"
