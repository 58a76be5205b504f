"""MathJax from an installed package, so that formulas are drawn without a network.

The package sphinx-mathjax-offline holds MathJax 3.2.2 as it was published. One file of it is
enough, because it draws its glyphs itself; its checksum is that of ``es5/tex-svg.js`` in the
package that MathJax publishes on npm.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

FILE = Path("static", "mathjax", "tex-svg.js")
SHA256 = "d4295dc33744836935c1399feece5159577b34c5c8ffb9f1c6324cd82e03a882"


def copy_mathjax(app, error):
    """Copy the file into the site, if it is what it should be."""
    if error or app.builder.format != "html":
        return
    spec = find_spec("sphinx-mathjax-offline")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("sphinx-mathjax-offline is missing: pip install '.[docs]'")
    script = (Path(spec.origin).parent / FILE).read_bytes()
    if hashlib.sha256(script).hexdigest() != SHA256:
        raise ValueError(f"{FILE} of sphinx-mathjax-offline is not MathJax 3.2.2's tex-svg.js")
    Path(app.outdir, "_static", "mathjax.js").write_bytes(script)


def setup(app):
    """Called by Sphinx."""
    app.config.mathjax_path = "mathjax.js"
    app.config.mathjax3_config = {"options": {"enableMenu": False}}  # it would load more files
    app.connect("build-finished", copy_mathjax)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
