"""The picture of the house: the modules of skgauss and what they import, read from the code.

Written when the site is built. A module stands just below the lowest that imports it; only the
arrows that no longer way implies are drawn. Orange modules use JAX themselves or through what
they import.
"""

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "skgauss"
BLUE, ORANGE = "#0072B2", "#D55E00"


def units():
    """Modules and packages directly inside skgauss, by name, with their files."""
    found = {}
    for path in sorted(PACKAGE.iterdir()):
        if path.suffix == ".py" and path.stem != "__init__":
            found[path.stem] = [path]
        elif (path / "__init__.py").exists():
            found[path.name] = sorted(path.rglob("*.py"))
    return found


def shown_units():
    """The units without the private ones, which all others may use."""
    return {name: paths for name, paths in units().items() if not name.startswith("_")}


def imports_at_top(path):
    """Names imported when the file is, which leaves out imports inside functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def graph():
    """Return what each unit imports of the others, and which of them import JAX."""
    found = shown_units()
    edges, jax = {}, set()
    for name, paths in found.items():
        imports = {module for path in paths for module in imports_at_top(path)}
        inner = {module.split(".")[1] for module in imports if module.startswith("skgauss.")}
        edges[name] = (inner & set(found)) - {name}
        if any(module.split(".")[0] == "jax" for module in imports):
            jax.add(name)
    return edges, jax


def below(edges, name):
    """All that a unit imports, at any remove."""
    reached, waiting = set(), [name]
    while waiting:
        for other in edges[waiting.pop()] - reached:
            reached.add(other)
            waiting.append(other)
    return reached


def levels(edges):
    """Height of every unit: just below the lowest that imports it, the others on top."""
    importers = {name: {n for n, others in edges.items() if name in others} for name in edges}
    depth = {}

    def measure(name):
        if name not in depth:
            depth[name] = 1 + max((measure(other) for other in importers[name]), default=-1)
        return depth[name]

    lowest = max(measure(name) for name in edges)
    return {name: lowest - measure(name) for name in edges}, importers


def places(edges):
    """Where each unit stands: level by level, each near what imports it."""
    height, importers = levels(edges)
    where = {}
    for level in range(max(height.values()), -1, -1):
        row = [name for name, h in height.items() if h == level]

        def centre(name):
            at = [where[other][0] for other in importers[name]]
            return sum(at) / len(at) if at else 0.0

        row.sort(key=lambda name: (centre(name), -len(edges[name]), name))
        middle = sum(map(centre, row)) / len(row)
        for k, name in enumerate(row):
            where[name] = (k - (len(row) - 1) / 2 + middle, level)
    return where


def draw(path):
    """Write the picture."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    edges, jax = graph()
    reach = {name: below(edges, name) for name in edges}
    where = places(edges)
    with mpl.rc_context({"svg.hashsalt": "skgauss", "svg.fonttype": "none", "font.size": 10}):
        left, right = (f(x for x, _ in where.values()) for f in (min, max))
        width = right - left + 1
        height = max(y for _, y in where.values()) + 1
        figure = Figure(figsize=(1.55 * width, 0.95 * height), layout="constrained")
        axis = figure.subplots()
        for name, others in edges.items():
            direct = others - set().union(*(reach[other] for other in others))
            for other in direct:
                (x0, y0), (x1, y1) = where[name], where[other]
                long = y0 - y1 > 1  # bent, so that it passes beside what stands between
                arrow = {
                    "arrowstyle": "-|>",
                    "color": "0.6",
                    "linewidth": 1,
                    "shrinkA": 0,
                    "shrinkB": 2,
                    "connectionstyle": f"arc3,rad={0.25 if long else 0}",
                }
                axis.annotate("", (x1, y1 + 0.2), (x0, y0 - 0.2), arrowprops=arrow)
        for name, (x, y) in where.items():
            colour = ORANGE if jax & ({name} | reach[name]) else BLUE
            box = {
                "boxstyle": "round,pad=0.45",
                "facecolor": "white",
                "edgecolor": colour,
                "linewidth": 1.6,
            }
            axis.text(x, y, name, ha="center", va="center", bbox=box)
        axis.set(xlim=(left - 0.5, right + 0.5), ylim=(-0.5, height - 0.5))
        axis.set_axis_off()
        figure.savefig(path, metadata={"Date": None}, facecolor="white")


def table():
    """Lines of a table of all modules: where they are, and the first line of their docstring."""
    lines = [".. list-table::", "   :widths: 35 65", ""]
    for path in [PACKAGE / "__init__.py", *(path for paths in units().values() for path in paths)]:
        first = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).split("\n")[0]
        place = path.relative_to(PACKAGE).as_posix().replace("/__init__.py", "/")
        lines += [f"   * - ``{place}``", f"     - {first}"]
    return lines


def setup(app):
    """Called by Sphinx."""

    def write(app):
        folder = Path(app.srcdir, "generated")
        folder.mkdir(exist_ok=True)
        draw(folder / "house.svg")
        (folder / "house.inc").write_text("\n".join(table()), encoding="utf-8")

    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
