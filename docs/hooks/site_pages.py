"""What mkdocs is told beside mkdocs.yml: pages from other files, and where pages that it does not name go.

- Files that live elsewhere become pages (``OUTSIDE``), and links to them lead there.
- A page of docs/ that mkdocs.yml does not name goes to the end of its part, so that a new manual is one new file.
- Pages of docs/papers are filled from presets and the record of experiments (``papers.py``).
"""

import ast
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import papers

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "benchmarks/RESULTS.md": "speed.md",
    "examples": "examples.md",
}
"""File or folder of the repository -> the page that it becomes."""
PARTS = {"": "How to", "tutorials": "Tutorials", "papers": "Papers", "api": "Python"}
"""Folder below docs/ -> the part of the navigation that takes what is not named."""
MADE = re.compile(r"^::: (\S+)", re.MULTILINE)
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[#)])")


def on_config(config: Any) -> Any:
    """Adds the pages that nobody named to the navigation."""
    named = set(pages_of(config.nav))
    for path in sorted((ROOT / "docs").glob("**/*.md")):
        page = path.relative_to(ROOT / "docs")
        if page.as_posix() not in named:
            part = PARTS[page.parent.as_posix().removeprefix(".")]
            next(each[part] for each in config.nav if isinstance(each, dict) and part in each).append(page.as_posix())
    return config


def pages_of(nav: Any) -> Iterator[str]:
    """The pages that a navigation names, parts within parts included."""
    if isinstance(nav, str):
        yield nav
    for each in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from pages_of(each)


def on_files(files: Any, config: Any) -> Any:
    """Adds the pages that are made of other files."""
    from mkdocs.structure.files import File

    for source, page in OUTSIDE.items():
        text = examples(ROOT / source) if (ROOT / source).is_dir() else (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Fills pages of papers, and leads links of the repository to pages."""
    uri = page.file.src_uri
    if "paper" in page.meta:
        markdown = papers.filled(markdown, page.meta, (ROOT / "docs/reproductions.md").read_text(encoding="utf-8"))
    source = next((key for key, made in OUTSIDE.items() if made == uri), f"docs/{uri}")

    def led(found: re.Match[str]) -> str:
        return within(found[1], source, uri, config.extra["repository"])

    return LINK.sub(led, markdown)


def on_page_content(html: str, page: Any, config: Any, files: Any) -> str:
    """Makes links of classes that docstrings name, ``exuno.TeachConfig`` or ``study.options.StudyConfig``; of
    several of one name it is the first of the page."""
    uri = page.file.src_uri
    if not uri.startswith("api/"):
        return html
    homes = {
        path: each.stem
        for each in sorted((ROOT / "docs/api").glob("*.md"))
        for path in re.findall(MADE, each.read_text())
    }

    def linked(found: re.Match[str]) -> str:
        name = found[1].removeprefix("exuno.")
        fits = [path for path in homes if path.endswith("." + name)]
        return f'<a href="{homes[fits[0]]}.html#{fits[0]}">{found[0]}</a>' if fits else found[0]

    return re.sub(r"(?<!>)<code>([a-z][\w.]*\.[A-Z]\w*)</code>", linked, html)


def within(link: str, source: str, page: str, repository: str) -> str:
    """The link of a page for a link that stands in a file of the repository.

    Args:
        link: without its anchor; of the web, or relative to ``source``.
        source: the file that holds it, from the root of the repository.
        page: what that file becomes, from the root of the site.
        repository: address for files that are no pages.
    """
    if re.match(r"[a-z]+:", link):
        return link
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if target in OUTSIDE:
        target = f"docs/{OUTSIDE[target]}"
    if not target.startswith("docs/"):
        return f"{repository}/blob/main/{target}"
    return posixpath.relpath(target.removeprefix("docs/"), posixpath.dirname(page) or ".")


def examples(folder: Path) -> str:
    """A page of the numbered programs: what each says of itself, and its text."""
    parts = ["# Examples", "Short programs, each on its own; the tests run them."]
    for path in sorted(folder.glob("*.py")):
        text = path.read_text(encoding="utf-8")
        about = (ast.get_docstring(ast.parse(text)) or "").replace("``", "`")
        title = path.stem[3:].replace("_", " ").capitalize()
        body = text.split('"""', 2)[2].strip()
        parts += [f"## {title}", f"`examples/{path.name}`", about, f"```python\n{body}\n```"]
    return "\n\n".join(parts) + "\n"
