"""What a release would be: ``python -m tests.release wheel`` builds it and uses it in an empty environment, ``extras``
resolves every extra for every Python. Both need uv and the package index; ``wheel`` takes gigabytes for torch unless
UV_TORCH_BACKEND=cpu. Prints one line for each thing that holds.
"""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("x86_64-unknown-linux-gnu", "aarch64-apple-darwin", "x86_64-pc-windows-msvc")
JUNK = re.compile(r"(^|/)(\.[^/]+|__pycache__|runs|dist|.*\.(pyc|pt|log|egg-info))(/|$)")
LARGEST = 4 << 20
"""Bytes of a file in a release."""
TAG = "9.8.7"


def uv(*args: str | Path, cwd: Path = ROOT) -> str:
    """What uv prints."""
    found = shutil.which("uv") or str(ROOT / ".uv/bin/uv")
    return run(found, *args, cwd=cwd)


def run(*args: str | Path, cwd: Path, environment: dict[str, str] | None = None) -> str:
    """What a command prints; ends all with what it said where it fails."""
    done = subprocess.run([*map(str, args)], cwd=cwd, capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, args))}\n{done.stdout}{done.stderr}")
    return done.stdout


def build(source: Path, out: Path, *options: str) -> tuple[list[Path], str]:
    """What ``uv build`` makes of a tree or an sdist, and its version."""
    uv("build", source, "--out-dir", out, *options, cwd=out.parent)
    made = sorted(path for path in out.iterdir() if path.suffix in (".gz", ".whl"))
    return made, made[0].name.removesuffix(".tar.gz").split("-")[1]


def holds(what: str, wrong: Iterable[str] = ()) -> None:
    """Says so, or ends all with what is wrong."""
    if found := sorted(wrong):
        sys.exit(f"NOT: {what}: {', '.join(found[:20])}")
    print(f"ok: {what}", flush=True)


def check_contents(wheel: Path, sdist: Path) -> None:
    """All that is tracked below src/exuno is in both, and in the sdist nothing that is not tracked."""
    tracked = set(run("git", "ls-files", cwd=ROOT).splitlines())
    package = {name.removeprefix("src/") for name in tracked if name.startswith("src/exuno/")}
    written = {"exuno/_version.py"}
    with zipfile.ZipFile(wheel) as file:
        inside = {each.filename: each.file_size for each in file.infolist()}
    mine = {name for name in inside if name.startswith("exuno/")}
    holds(f"the wheel has all {len(package)} files of the package, data and presets too", (package | written) - mine)
    about = re.compile(rf"exuno-{re.escape(wheel.name.split('-')[1])}\.dist-info/")
    holds("and nothing else", {name for name in inside if not about.match(name)} - package - written)
    with tarfile.open(sdist) as file:
        there = {each.name.partition("/")[2]: each.size for each in file.getmembers() if each.isfile()}
    known = tracked | {f"src/{name}" for name in written} | {"PKG-INFO"}
    holds(f"the {len(there)} files of the sdist are tracked ones", there.keys() - known)
    holds("none of either is junk", [name for name in (*inside, *there) if JUNK.search(name) and name != ".gitignore"])
    sizes = {**inside, **there}
    holds(f"none is above {LARGEST >> 20} MB", [name for name, size in sizes.items() if size > LARGEST])


def check_versions(folder: Path, version: str, sdist: Path) -> None:
    """The version of a tagged tree is the tag; a tree without a tag, an sdist and a snapshot without git build, too."""
    _, again = build(sdist, folder / "again", "--wheel")
    holds(f"built from the sdist it is {version} again", [again] if again != version else [])
    snapshot = folder / "snapshot"
    snapshot.mkdir()
    run("git", "archive", "--output", folder / "snapshot.tar", "HEAD", cwd=ROOT)
    with tarfile.open(folder / "snapshot.tar") as file:
        file.extractall(snapshot, filter="data")
    _, without = build(snapshot, folder / "without", "--wheel")
    holds(f"a snapshot without git is {without}", [] if without == "0.1.dev0" else [without])
    run("git", "clone", "--quiet", ROOT, folder / "clone", cwd=folder)
    run("git", "tag", f"v{TAG}", cwd=folder / "clone")
    _, tagged = build(folder / "clone", folder / "tagged", "--wheel")
    holds(f"tagged v{TAG} it is {TAG}", [] if tagged == TAG else [tagged])


def check_use(wheel: Path, version: str, folder: Path) -> None:
    """An empty environment, a folder with nothing in it, and the first commands of a newcomer."""
    uv("venv", "--quiet", "--python", sys.executable, folder / "env")
    programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
    python, exuno = programs / "python", programs / "exuno"
    uv("pip", "install", "--quiet", "--python", python, wheel)
    size = sum(path.stat().st_size for path in (folder / "env").rglob("*") if path.is_file() and not path.is_symlink())
    holds(f"it installs into an empty environment, which then has {size / 1e9:.1f} GB")
    away = folder / "away"
    away.mkdir()
    bare = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    said = run(exuno, "--version", cwd=away, environment=bare).strip()
    holds(f"exuno --version: {said}", [] if said == f"exuno {version}" else [said])
    where = run(python, "-c", "import exuno; print(exuno.__file__)", cwd=away, environment=bare).strip()
    holds("it is the one of that environment", [] if str(folder / "env") in where else [where])
    presets = run(exuno, "presets", cwd=away, environment=bare)
    some = {"digits", "cifar10-wrn40_4-wrn16_4", "label-smoothing-digits"}
    holds("its presets are there", some - set(presets.split()))
    run(exuno, "distill", "digits", "--smoke", "--devices", "cpu", "--run-dir", "run", cwd=away, environment=bare)
    files = ("report.html", "model.safetensors", "result.json")
    holds("the demo runs there", [name for name in files if not (away / "run" / name).is_file()])


def wheel() -> None:
    """All about one build."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made, version = build(ROOT, folder / "built")
        (sdist,), (wheel,) = ([path for path in made if path.suffix == end] for end in (".gz", ".whl"))
        holds(f"sdist and wheel of {version}: {sdist.stat().st_size:,} and {wheel.stat().st_size:,} bytes")
        check_contents(wheel, sdist)
        check_versions(folder, version, sdist)
        check_use(wheel, version, folder)


def extras() -> None:
    """Every extra, and none, for every Python on three systems."""
    os.environ.setdefault("MACOSX_DEPLOYMENT_TARGET", "14.0")  # of onnxruntime for Python 3.14
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for extra in ("", *project["optional-dependencies"]):
        for platform in PLATFORMS:
            for python in PYTHONS:
                chosen = ["--extra", extra] if extra else []
                way = ["--python-version", python, "--python-platform", platform]
                uv("pip", "compile", "--quiet", "pyproject.toml", *chosen, *way, "--output-file", os.devnull)
        holds(f"{extra or 'no extra'}: Python {', '.join(PYTHONS)} on Linux, macOS 14 and Windows")


if __name__ == "__main__":
    {"wheel": wheel, "extras": extras}[sys.argv[1]]()
