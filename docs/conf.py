"""Sphinx configuration; `make docs` builds the site, without a network."""

import re
import warnings
from importlib.metadata import version as installed_version

project = "skgauss"
author = "skgauss developers"
copyright = "2026, skgauss developers"
release = installed_version("skgauss")
version = ".".join(release.split(".")[:2])

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "myst_parser",  # the changelog is Markdown
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
# Formulas are written as code, the way they are computed: no page needs MathJax, which would come
# from a network. Nor is there intersphinx, for the same reason.

templates_path = ["_templates"]
exclude_patterns = ["_build"]
default_role = "code"

# API
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's Parameters say more
numpydoc_show_class_members = False  # the templates list them
numpydoc_class_members_toctree = False

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
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "navbar_align": "left",
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}
# Pages without siblings need no empty sidebar.
html_sidebars = {page: [] for page in ("index", "get_started", "architecture", "changelog")}


def _plain_references(app, what, name, obj, options, lines):
    """Take scikit-learn's links to its own site out of the docstrings inherited from it."""
    if (getattr(obj, "__module__", None) or "").startswith("sklearn."):
        text = re.sub(r":(?:ref|term):`([^<`]+?)(?:\s*<[^>]*>)?`", r"\1", "\n".join(lines))
        lines[:] = text.split("\n")


def setup(app):
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _plain_references)
