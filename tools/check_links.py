#!/usr/bin/env python3
"""Check that each link within a built site leads to a page that is there, and to a place on it.

tools/check_links.py build/site
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit


class Page(HTMLParser):
    """The links and the named places of an HTML file."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = {"", "__top"}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect what an element names and where it leads."""
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            if (tag, name) in (("a", "href"), ("img", "src"), ("link", "href"), ("script", "src")) and value:
                self.links.add(value)


def main() -> None:
    """Print links that lead nowhere, and end with exit code 1 if there are any."""
    site = Path(sys.argv[1]).resolve()
    pages = {path: Page(path) for path in site.rglob("*.html")}
    wrong = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links begin at the site's address
            continue
        for link in page.links:
            address, place = urldefrag(link)
            if urlsplit(address).scheme or address.startswith("//"):
                continue
            target = (path.parent / unquote(urlsplit(address).path)).resolve() if address else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (target in pages and unquote(place) not in pages[target].places):
                wrong.append(f"{path.relative_to(site)}: {link}")
    print(f"{sum(len(page.links) for page in pages.values())} links on {len(pages)} pages, {len(wrong)} lead nowhere")
    if wrong or not pages:
        sys.exit("\n".join(sorted(wrong)))


if __name__ == "__main__":
    main()
