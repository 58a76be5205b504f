"""Every public name is documented with an example that runs, and estimators link to their page."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import skgauss
from skgauss import GlowGaussianizer, RBIGTransformer
from skgauss._documentation import documentation_url
from skgauss.marginals import SplineMarginal
from skgauss.rotations import PCARotation

API = Path(__file__).parents[1] / "docs" / "api.rst"


def public_names():
    """Every class and function in the ``__all__`` of a public module, with its home."""
    found = {}
    for info in pkgutil.walk_packages(skgauss.__path__, "skgauss."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        module = importlib.import_module(info.name)
        for name in getattr(module, "__all__", ()):
            value = getattr(module, name)
            if callable(value) and value.__module__.startswith("skgauss"):
                found[f"{value.__module__}.{name}"] = value
    return found


NAMES = public_names()


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_example(name):
    documentation = inspect.getdoc(NAMES[name]) or ""
    assert "Examples\n--------" in documentation
    assert ">>>" in documentation


@pytest.mark.skipif(not API.exists(), reason="the documentation is not part of this copy")
def test_every_public_name_is_in_the_api_reference():
    listed = {line.strip() for line in API.read_text(encoding="utf-8").splitlines()}
    missing = [name for name in NAMES if name.rsplit(".", 1)[1] not in listed]
    assert not missing


@pytest.mark.parametrize(
    ("estimator", "page"),
    [
        (GlowGaussianizer(), "generated/skgauss.GlowGaussianizer.html"),
        (RBIGTransformer(), "generated/skgauss.RBIGTransformer.html"),
        (PCARotation(), "generated/skgauss.rotations.PCARotation.html"),
        (SplineMarginal(), "generated/skgauss.marginals.SplineMarginal.html"),
    ],
)
def test_the_html_picture_links_to_the_page_of_the_estimator(monkeypatch, estimator, page):
    monkeypatch.setenv("SKGAUSS_DOCUMENTATION_URL", "https://docs.example/skgauss/")
    assert f'href="https://docs.example/skgauss/{page}"' in estimator._repr_html_()


def test_there_is_no_link_where_there_is_no_site(monkeypatch):
    monkeypatch.delenv("SKGAUSS_DOCUMENTATION_URL", raising=False)
    monkeypatch.setattr("skgauss._documentation._published_url", lambda: "")
    assert documentation_url() == ""
    assert "Documentation for" not in SplineMarginal()._repr_html_()
