"""Links from an estimator's HTML picture to its page in the documentation."""

from __future__ import annotations

import functools
import os
from importlib import metadata
from typing import Any

__all__ = ["DocumentationLinkMixin", "documentation_url"]

_PAGE = "generated/{public_name}.html"


@functools.cache
def _published_url() -> str:
    """Address that the installed package's metadata gives (``[project.urls]``), or ""."""
    try:
        urls = metadata.metadata("skgauss").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    named = dict(entry.split(", ", 1) for entry in urls)
    return named.get("Documentation", "")


def documentation_url() -> str:
    """Root of the documentation site, or "" where none is known.

    That is the environment variable ``SKGAUSS_DOCUMENTATION_URL``, for a site of one's own, or
    else the address in the package's metadata.
    """
    return os.environ.get("SKGAUSS_DOCUMENTATION_URL") or _published_url()


class DocumentationLinkMixin:
    """Point scikit-learn's HTML picture of an estimator to skgauss's site, if it has an address."""

    _doc_link_module = "skgauss"

    @property
    def _doc_link_template(self) -> str:
        url = documentation_url()
        return f"{url.rstrip('/')}/{_PAGE}" if url else ""

    def _doc_link_url_param_generator(self) -> dict[str, Any]:
        """Name under which an estimator is documented: that of the module that exports it."""
        cls = type(self)
        package, module, *_ = [*cls.__module__.split("."), ""]
        exported = cls.__name__ in getattr(__import__(package), "__all__", ())
        home = package if exported else f"{package}.{module}"
        return {"public_name": f"{home}.{cls.__name__}"}
