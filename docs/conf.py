"""Sphinx configuration; `make docs` builds the site, without a network."""

import doctest
import os
import re
import sys
import warnings
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "skgauss"
author = "skgauss developers"
copyright = "2026, skgauss developers"
release = installed_version("skgauss")
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.intersphinx",
    "myst_parser",  # the changelog is Markdown
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",  # grids and cards
    "sphinx_gallery.gen_gallery",
    "benchmarks_page",  # tables and pictures from the stored results
    "house",  # the picture of the modules
    "packaged_mathjax",  # formulas
]

templates_path = ["_templates"]
exclude_patterns = ["_build", "generated/*.inc", "generated/benchmarks/*.inc"]
default_role = "code"
nitpicky = True  # a reference that leads nowhere is a warning, and so an error

# Links to other projects, from inventories kept here: see _inventories/write_inventories.py.
intersphinx_mapping = {
    name: (url, f"_inventories/{name}.inv")
    for name, url in {
        "python": "https://docs.python.org/3/",
        "numpy": "https://numpy.org/doc/stable/",
        "scipy": "https://docs.scipy.org/doc/scipy/",
        "sklearn": "https://scikit-learn.org/stable/",
        "jax": "https://docs.jax.dev/en/latest/",
        "pandas": "https://pandas.pydata.org/docs/",
        "matplotlib": "https://matplotlib.org/stable/",
    }.items()
}

# API
autosummary_generate = True
# Names that differ in capitals alone must not, on some systems, share a file.
autosummary_filename_map = {"skgauss.ladder.Configuration": "skgauss.ladder.Configuration-class"}
autodoc_preserve_defaults = True  # as written, not as evaluated
toc_object_entries_show_parents = "hide"
autodoc_typehints = "none"  # numpydoc's Parameters say more
numpydoc_show_class_members = False  # the templates list them
numpydoc_class_members_toctree = False
numpydoc_attributes_as_param_list = True

# Doctests of the guide and of the docstrings: `make docs` runs them, as pytest does.
doctest_default_flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
doctest_global_setup = "import matplotlib; matplotlib.use('agg')"

# The pictures of estimators in the gallery link to this very site.
os.environ["SKGAUSS_DOCUMENTATION_URL"] = ".."

# Gallery
sphinx_gallery_conf = {
    "examples_dirs": ["../examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skgauss",),
    "reference_url": {"skgauss": None},
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,  # its table comes from a network
    "abort_on_example_error": True,
}
# A script run by the gallery has no terminal to refresh a progress bar on.
warnings.filterwarnings("ignore", message="IProgress not found")

# Copy the code, not the prompts.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Pages
html_theme = "pydata_sphinx_theme"
html_title = f"skgauss {release}"
html_static_path = ["_static"]
html_css_files = ["skgauss.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "skgauss"},
    "navbar_align": "left",
    "navigation_with_keys": False,
    "secondary_sidebar_items": {"**": ["page-toc"], "index": [], "benchmarks": []},
    "show_prev_next": False,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
}
# Pages without siblings need no empty sidebar.
html_sidebars = {
    page: []
    for page in ("index", "get_started", "benchmarks", "architecture", "glossary", "changelog")
}


def _plain_references(app, what, name, obj, options, lines):
    """Take scikit-learn's links to its own site out of the docstrings inherited from it."""
    if (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        text = re.sub(r":(?:ref|term):`([^<`]+?)(?:\s*<[^>]*>)?`", r"\1", "\n".join(lines))
        lines[:] = text.split("\n")


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _plain_references)
