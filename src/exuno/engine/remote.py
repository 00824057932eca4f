"""Paths on other machines, ``s3://BUCKET/…``, ``gs://``, ``hf://``, ``memory://``, through fsspec: what is read is
copied into a folder of this machine first, and what is written is written here and copied at the end. No torch.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError
from exuno.engine.files import atomic, disk_errors
from exuno.engine.system import lock

SCHEMES = ("s3", "gs", "gcs", "hf", "az", "abfs", "adl", "hdfs", "oss", "ftp", "sftp", "http", "https", "memory")
"""Known even where a path of Python has made one slash of two."""
BESIDE = ("classes.txt",)
"""What belongs to all files of a pattern."""
VERSION = ("size", "etag", "ETag", "LastModified", "last_modified", "mtime", "updated", "md5Hash", "blob_id", "created")
"""What file systems tell of a file that changes when its content does."""


def is_remote(path: str | Path) -> bool:
    """Whether a path lies on another machine: ``SCHEME://…``."""
    found = re.match(r"([a-z][a-z0-9+.]+):(//?)[^/]", str(path))
    return found is not None and (found[2] == "//" or found[1] in SCHEMES)


def url_of(path: str | Path) -> str:
    """A remote path with both of its slashes, which ``pathlib`` makes one."""
    return re.sub(r"^([^:/]+):/+", r"\1://", str(path)).rstrip("/")


def folder() -> Path:
    """Where copies lie: ``$XDG_CACHE_HOME/exuno/remote``, or that in ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "exuno" / "remote"


@contextmanager
def told(url: str) -> Iterator[None]:
    """Turns what can go wrong with another machine into the sentence a user needs."""
    try:
        yield
    except ExunoError:
        raise
    except ImportError as error:
        package = next(iter(re.findall(r"[Ii]nstall ['\"]?([\w-]+)", str(error))), None)
        raise ExunoError(
            f"{url} needs a package that is not installed ({error})", f"pip install {package}" if package else ""
        ) from error
    except FileNotFoundError as error:
        raise ExunoError(f"there is nothing at {url}", "Check the bucket and the path.") from error
    except Exception as error:  # of botocore, aiohttp, gcsfs, …: each has its own
        raise ExunoError(
            f"{url} cannot be used ({type(error).__name__}: {error})"[:300],
            "Check the bucket, the network, and whether this machine may use it (its credentials).",
        ) from error


def _connect(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it."""
    from fsspec.core import url_to_fs

    return url_to_fs(url, use_listings_cache=False)


def there(path: str | Path) -> bool:
    """Whether anything lies at a remote path or matches a remote pattern.

    Raises:
        ExunoError: the machine, the bucket or a package is missing.
    """
    url = url_of(path)
    with told(url):
        system, inside = _connect(_untailed(url)[0])
        pattern = _pattern(inside)
        return bool(system.glob(pattern)) if pattern != inside else system.exists(inside)


def fetched(path: str | Path) -> Path:
    """A path on this machine: of a remote file or folder, or a pattern of files, that of an up-to-date copy; any other
    path as it is. An ending ``@…`` stays where it is.

    Raises:
        ExunoError: there is no such file, or the machine, the bucket or a package is missing.
    """
    if not is_remote(path):
        return Path(path)
    url, tail = _untailed(url_of(path))
    with told(url):
        system, inside = _connect(url)
        base = folder() / url.partition("://")[0]
        pattern = _pattern(inside)
        if pattern != inside:
            top = inside[: re.search(r"[*?{\[]", inside).start()].rpartition("/")[0]  # pyright: ignore
            found = system.glob(pattern, detail=True)
            beside = [f"{top}/{name}" for name in BESIDE if system.exists(f"{top}/{name}")]
            found |= {name: system.info(name) for name in beside}
        else:
            top = inside if system.isdir(inside) else ""
            found = system.find(inside, detail=True)  # of a file, itself
        if not found:
            raise FileNotFoundError
        _copy(system, found, base)
        if top and pattern == inside:
            _drop_others(base / top.strip("/"), {base / name.strip("/") for name in found})
    return Path(f"{base / inside.strip('/')}{tail}")


def _untailed(url: str) -> tuple[str, str]:
    """``s3://b/x.png@12bit`` -> (``s3://b/x.png``, ``@12bit``)."""
    before, slash, name = url.rpartition("/")
    bare, at, tail = name.partition("@")
    return f"{before}{slash}{bare}", at + tail


def _pattern(inside: str) -> str:
    """A path in which ``{…}`` is any text."""
    return re.sub(r"\{[^}]*\}", "*", inside)


def _copy(system: Any, found: Mapping[str, Mapping[str, Any]], base: Path) -> None:
    """Copies the files that are not here yet, or are others now."""
    marks = base.parent / ".versions" / base.name
    with disk_errors(base):
        marks.mkdir(parents=True, exist_ok=True)
        with (marks / ".lock").open("w", encoding="utf-8") as file:
            lock(file.fileno(), wait=True)  # several processes of one training would copy the same
            for name, info in found.items():
                here = base / name.strip("/")
                told = json.dumps({key: str(info[key]) for key in VERSION if info.get(key) is not None})
                mark = marks / hashlib.sha256(name.encode()).hexdigest()
                if here.is_file() and mark.is_file() and mark.read_text() == told:
                    continue
                with atomic(here) as temporary:
                    system.get_file(name, str(temporary))
                with atomic(mark) as temporary:
                    temporary.write_text(told)


def _drop_others(top: Path, wanted: set[Path]) -> None:
    """Removes files of a copy that are not there any more."""
    for path in top.rglob("*"):
        if path.is_file() and path not in wanted:
            path.unlink(missing_ok=True)


@contextmanager
def outgoing(path: Path, proof: str | None = None) -> Iterator[Path]:
    """The folder to write to: ``path``, or one of this machine that is copied to the remote ``path`` when the block
    ends well.

    Args:
        path: that the user named.
        proof: a file that says what a folder holds. With it, the remote folder may hold a part of the same files
            already, and what is written here before an interruption is still here after it. Without, it must be new or
            empty.

    Raises:
        ExunoError: the remote folder holds something else, or the machine, the bucket or a package is missing.
    """
    if not is_remote(path):
        yield path
        return
    url = url_of(path)
    with told(url):
        system, inside = _connect(url)
        listed = system.find(inside, detail=True).items()
        names = {name.removeprefix(inside).lstrip("/"): info.get("size") for name, info in listed}
        if names and proof not in names:
            raise ExunoError(f"{url} is not empty", "Name a new or empty folder; nothing there was touched.")
    with tempfile.TemporaryDirectory() as new:
        here = Path(new) / inside.rpartition("/")[2]
        if proof:
            here = folder() / "outgoing" / hashlib.sha256(url.encode()).hexdigest()[:16]
        if names and proof and not (here / proof).is_file():
            with told(url), atomic(here / proof) as temporary:
                system.get_file(f"{inside}/{proof}", str(temporary))
        yield here
        with told(url):
            files = [file for file in sorted(here.rglob("*")) if file.is_file() and not file.name.startswith(".")]
            for file in files:
                name = file.relative_to(here).as_posix()
                if names.get(name) != file.stat().st_size:
                    system.makedirs(f"{inside}/{name}".rpartition("/")[0], exist_ok=True)
                    system.put_file(str(file), f"{inside}/{name}")
        if files:
            print(f"copied to {url}: {len(files)} files")
        shutil.rmtree(here, ignore_errors=True)
