"""The documentation: what its pages are filled with, what they name, and that reading them fetches nothing.

The site itself is built by ``make docs``, strictly, which finds links that lead nowhere; where its environment is
there, a test does the same.
"""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import yaml

from exuno.verbs import VERBS
from test_public_api import lines_of

ROOT = Path(__file__).parents[1]
RECORD = (ROOT / "docs/reproductions.md").read_text(encoding="utf-8")
PAPERS = [path for path in sorted((ROOT / "docs/papers").glob("*.md")) if path.stem != "index"]
BUILDER = ROOT / ".venv-docs/bin/mkdocs"


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """The modules of docs/hooks, imported as mkdocs does."""
    from importlib import import_module

    monkeypatch.syspath_prepend(str(ROOT / "docs/hooks"))
    return {name: import_module(name) for name in ("papers", "site_pages", "offline")}


def parts(path: Path) -> tuple[dict, str]:
    """Head and text of a page."""
    _, head, text = path.read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(head), text


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_a_page_of_a_paper_is_filled(path: Path, hooks: dict[str, ModuleType]) -> None:
    head, text = parts(path)
    filled = hooks["papers"].filled(text, head, RECORD)
    assert "<!--" not in filled
    assert filled.count("| `exuno ") >= 5
    assert re.search(r"^\| .* \| \[[^]]*\d[^]]*\]\(#", filled, re.MULTILINE), (
        "no row has a number that was measured here"
    )
    assert re.search(r"\| [^|]*\d\d\.\d+ %", filled) or path.stem == "single-image"


def test_numbers_of_a_row_are_those_of_preset_and_record(hooks: dict[str, ModuleType]) -> None:
    head, text = parts(ROOT / "docs/papers/extrapolating.md")
    rows = hooks["papers"].filled(text, head, RECORD).splitlines()
    long = next(row for row in rows if "`exuno distill cifar10-wrn40_4-wrn16_4 --data-root DATA`" in row)
    assert "| 94.14 % | – |" in long
    assert "50 million images" in long
    changed = RECORD.replace(
        "| 98.97 | 99.15, 98.87, 98.87 | 0.40 | 99.25 |", "| 12.34 | 99.15, 98.87, 98.87 | 0.40 | 99.25 |"
    )
    assert changed != RECORD
    rows = hooks["papers"].filled(text, head, changed).splitlines()
    assert "| [12.34](#one-photograph-reads-digits) | `exuno distill digits` |" in "\n".join(rows)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"section": "Nothing"}, "no section 'Nothing'"),
        ({"row": "a zebra"}, "row 'a zebra'"),
        ({"column": "luck"}, "column 'luck'"),
    ],
)
def test_a_number_that_there_is_not_is_told(change: dict, told: str, hooks: dict[str, ModuleType]) -> None:
    place = {"section": "One photograph reads digits", "row": "astronaut", "column": "student", **change}
    with pytest.raises(KeyError, match=told):
        hooks["papers"].cell(RECORD, **place)


def test_a_preset_that_is_not_of_the_paper_is_told(hooks: dict[str, ModuleType]) -> None:
    with pytest.raises(KeyError, match="poster digits"):
        hooks["papers"].table({"paper": "2112.00725", "published": {"poster digits": "1 %"}}, RECORD)


def test_links_of_the_repository_lead_to_pages(hooks: dict[str, ModuleType]) -> None:
    def led(link: str, source: str, page: str) -> str:
        return hooks["site_pages"].within(link, source, page, "https://host/repo")

    assert led("../CONTRIBUTING.md", "docs/design.md", "design.md") == "contributing.md"
    assert led("../benchmarks/RESULTS.md", "docs/poster.md", "poster.md") == "speed.md"
    assert led("../../benchmarks/RESULTS.md", "docs/papers/smkd.md", "papers/smkd.md") == "../speed.md"
    assert led("docs/design.md", "CONTRIBUTING.md", "contributing.md") == "design.md"
    assert led("../Makefile", "docs/gpu.md", "gpu.md") == "https://host/repo/blob/main/Makefile"
    assert led("https://arxiv.org", "docs/gpu.md", "gpu.md") == "https://arxiv.org"


def test_pages_that_nobody_names_are_in_the_navigation(hooks: dict[str, ModuleType]) -> None:
    config = SimpleNamespace(nav=[{part: []} for part in hooks["site_pages"].PARTS.values()])
    hooks["site_pages"].on_config(config)
    placed = dict(item for part in config.nav for item in part.items())
    assert "distill.md" in placed["How to"]
    assert "tutorials/photo.md" in placed["Tutorials"]
    assert "api/parts.md" in placed["Python"]


def test_every_verb_has_a_page() -> None:
    missing = [verb for verb in VERBS if not (ROOT / f"docs/{verb}.md").is_file()]
    assert not missing


def test_every_public_name_is_in_the_reference() -> None:
    import exuno

    made = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs/api").glob("*.md"))
    for name in exuno.__all__:
        if lines_of(name) != [name] or name == "Batch":  # a plain value has no entry
            found = rf"^::: exuno\.\S+\.{name}$|heading: {name}\b|\.{name.capitalize()}$"
            assert re.search(found, made, re.MULTILINE), f"{name} is not in docs/api"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"])
def test_links_of_pages_outside_of_docs_lead_somewhere(page: str) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)", (ROOT / page).read_text(encoding="utf-8")):
        assert re.match("[a-z]+:", link) or (ROOT / link).exists(), f"{page}: {link}"


@pytest.mark.parametrize(
    ("name", "text", "fetched"),
    [
        ("page.html", '<script src="https://cdn.example/a.js"></script>', "https://cdn.example/a.js"),
        ("page.html", '<link rel="stylesheet" href="//fonts.example/css">', "//fonts.example/css"),
        ("page.html", '<img src="https://badge.example/b.svg">', "https://badge.example/b.svg"),
        ("style.css", "@font-face { src: url(https://fonts.example/f.woff2) }", "https://fonts.example/f.woff2"),
        ("page.html", '<a href="https://arxiv.org"><img src="a.png"></a><link rel="canonical" href="https://x">', None),
    ],
)
def test_what_would_be_fetched_is_found(
    name: str, text: str, fetched: str | None, tmp_path: Path, hooks: dict[str, ModuleType]
) -> None:
    (tmp_path / name).write_text(text)
    assert hooks["offline"].loaded_from_elsewhere(tmp_path) == ([f"{name}: {fetched}"] if fetched else [])


@pytest.mark.slow
@pytest.mark.skipif(not BUILDER.is_file(), reason="there is no .venv-docs (make docs makes it)")
def test_the_site_is_built(tmp_path: Path) -> None:
    subprocess.run([BUILDER, "build", "--strict", "--quiet", "--site-dir", tmp_path], cwd=ROOT, check=True)
    subprocess.run([sys.executable, ROOT / "docs/hooks/offline.py", tmp_path], check=True)
    for page in ("index.html", "changelog.html", "examples.html", "papers/smkd.html", "search/search_index.js"):
        assert (tmp_path / page).is_file()
    assert "exuno.api.outcome.Trained" in (tmp_path / "api/functions.html").read_text(encoding="utf-8")
