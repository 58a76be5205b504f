"""Check a built site: ``python docs/check_site.py docs/_build/html``.

Every link within the site must lead to a page and a place that exist, every picture must be
there, and nothing that a page needs to be shown may come from a network.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {("script", "src"), ("img", "src"), ("link", "href"), ("iframe", "src")}


class Page(HTMLParser):
    """The anchors of a page, and what it refers to."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.references = {""}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        """Note anchors and references."""
        given = dict(attributes)
        self.anchors.update(given[name] for name in ("id", "name") if given.get(name))
        for name in ("href", "src"):
            preload = tag == "link" and given.get("rel") in ("canonical", "search", "author")
            if given.get(name) and not preload:
                self.references.append((given[name], (tag, name) in LOADED))


def faults(root):
    """Yield what is wrong, one line per fault."""
    pages = {
        path.resolve(): Page(path)
        for path in root.rglob("*.html")
        if "_static" not in path.relative_to(root).parts  # the theme's, not pages
    }
    for path, page in pages.items():
        for reference, loaded in page.references:
            url = urlsplit(reference)
            if url.scheme or url.netloc:
                if loaded and url.scheme != "data":
                    yield f"{path.relative_to(root)}: needs {reference}"
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                yield f"{path.relative_to(root)}: {reference} is not there"
                continue
            # What follows ":~:" tells a browser which words to show, not a place.
            place = unquote(url.fragment).split(":~:")[0]
            if target in pages and place not in pages[target].anchors:
                yield f"{path.relative_to(root)}: {reference} has no such place"


if __name__ == "__main__":
    built = Path(sys.argv[1]).resolve()
    found = sorted(set(faults(built)))
    print("\n".join([*found, f"{len(list(built.rglob('*.html')))} pages, {len(found)} faults"]))
    sys.exit(bool(found))
