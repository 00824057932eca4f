"""``python docs/hooks/offline.py SITE`` fails if a page of a built site would fetch anything from elsewhere.

Links that a reader follows may lead anywhere. What a browser loads by itself (scripts, styles, fonts, pictures, frames)
must lie in the site.
"""

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "link": "href",
}
FOLLOWED = {"canonical", "next", "prev", "alternate"}
"""Kinds of <link> that no browser loads."""
AWAY = re.compile(r"(?:https?:)?//")
IN_STYLES = re.compile(r"(?:url\(|@import)\s*['\"]?((?:https?:)?//[^)'\"\s]+)")


class Loaded(HTMLParser):
    """Collects what a page loads from other hosts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(LOADS.get(tag, ""))
        if address and AWAY.match(address) and not (tag == "link" and given.get("rel") in FOLLOWED):
            self.found.append(address)


def loaded_from_elsewhere(site: Path) -> list[str]:
    """``FILE: ADDRESS`` for each thing that a page or a style sheet of the site loads from another host."""
    found = []
    for path in sorted(site.rglob("*.html")):
        page = Loaded()
        page.feed(path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(site)}: {address}" for address in page.found]
    for path in sorted(site.rglob("*.css")):
        found += [f"{path.relative_to(site)}: {at}" for at in IN_STYLES.findall(path.read_text(encoding="utf-8"))]
    return found


if __name__ == "__main__":
    if fetched := loaded_from_elsewhere(Path(sys.argv[1])):
        sys.exit("\n".join(["The site would fetch:", *dict.fromkeys(fetched)]))
