"""The benchmarks page: tables, a picture and what they say, from benchmarks/results/*.json.

Written when the site is built, so that no number on the page is typed by hand. A result file with
parts shows each part's tables as they describe themselves, with a provenance of its own; one whose
name begins with ``density`` gets the comparison of likelihoods. `TITLES` has their order.
"""

import json
import sys
from pathlib import Path

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
sys.path.append(str(RESULTS.parent))

from density_pictures import FARTHEST, draw_curves, draw_differences  # noqa: E402
from density_records import (  # noqa: E402
    CLEAR,
    comparisons,
    grouped,
    label,
    mean,
    over,
    overtakings,
    verdict,
)

from datasets import OWN, WHOLE  # noqa: E402
from report import accelerators, budgets, continued  # noqa: E402
from result_tables import cells  # noqa: E402

TITLES = {
    "beyond_nats": "What likelihood does not show",
    "ablation": "What each default of GlowGaussianizer is worth",
    "steadiness": "How steady GlowGaussianizer is",
    "scaling": "How costs grow",
    "step_profile": "Where a training step's time goes",
    "rbig": "RBIGTransformer",
    "marginals": "Marginals",
    "adbench": "Anomaly detection",
    "adbench_keel": "Anomaly detection on tables of KEEL",
    "outlier_laws": "What DensityOutlierDetector promises",
    "information": "Information measures",
    "cold_start": "Cold start of GlowGaussianizer",
}
DENSITY_COLUMNS = {
    "set": "table",
    "model": "model",
    "splits": "splits",
    "nats": "held-out nats",
    "difference": "ours minus it",
    "says": "says",
    "fit": "fit, s",
    "warm": "second fit, s",
    "score": "scored, rows/s",
    "parameters": "parameters",
    "memory": "peak MiB",
}


def list_table(header, rows, caption=None):
    """Lines of a list-table directive."""
    lines = [
        f".. list-table:: {caption or ''}".rstrip(),
        "   :header-rows: 1",
        "   :class: benchmark",
        "",
    ]
    for row in [header, *rows]:
        for k, cell in enumerate(row):
            lines.append(f"   {'* -' if k == 0 else '  -'} {cell}".rstrip())
    return [*lines, ""]


def with_error(value, error):
    """A number and its standard error, as text."""
    return "" if value is None else f"{value:.3f} ± {error:.3f}"


def density_rows(results):
    """One row per table, model and budget."""
    ours = (results["ours"], f"{results['ours']}_budget")
    for (name, model, budget), records in grouped(results).items():
        failed = next((record["error"] for record in records if "error" in record), None)
        told = f"{name}, {records[0]['n_train']:,} x {records[0]['n_features']}"
        called = f"**{label(model, budget)}**" if model in ours else label(model, budget)
        if failed:
            said = [told, called, len(records), f"failed: {failed}"]
            yield [*said, *[""] * (len(DENSITY_COLUMNS) - len(said))]
            continue
        difference, error = mean(records, "ours_minus_peer"), mean(records, "ours_minus_peer_error")
        details = [record["details"] for record in records]
        numbers = (
            (mean(records, "fit_seconds"), ",.1f"),
            (mean(records, "warm_fit_seconds"), ",.1f"),
            (mean(records, "score_rows_per_second"), ",.0f"),
            (mean(details, "n_parameters"), ",.0f"),
            (mean(records, "peak_mib"), ",.0f"),
        )
        yield [
            told,
            called,
            len(records),
            with_error(mean(records, "nats"), mean(records, "nats_error")),
            with_error(difference, error),
            verdict(difference, error),
            *("" if value is None else format(value, form) for value, form in numbers),
        ]


def summary(results):
    """Say in words what the comparisons with each model come to."""
    lines = []
    by_model = {}
    for name, model, difference, error in comparisons(results):
        by_model.setdefault(model, []).append((name, verdict(difference, error)))
    for model, verdicts in by_model.items():
        parts = []
        for word in ("ahead", "behind", "undecided"):
            names = [name for name, said in verdicts if said == word]
            if names:
                parts.append(f"{word} on {', '.join(names)}")
        lines.append(f"- Against *{model}*: {'; '.join(parts)}.")
    if any(record.get("ours", results["ours"]) != results["ours"] for record in results["records"]):
        lines.append(
            "- A model that stops at a budget is compared with ours stopped at the same one where "
            "that was run; the others, with ours as it stops by itself."
        )
    return lines


def provenance(name, results):
    """Where, when and with what a file's numbers were measured."""
    told = results["provenance"]
    machine = told["machine"]
    versions = ", ".join(f"{name} {v}" for name, v in told["versions"].items() if v)
    records = results.get("records", ())
    seeds = sorted({record["seed"] for record in records if "seed" in record})
    said = [
        f"measured {told['date'][:10]} at revision ``{told['git_revision']}``",
        f"{machine['cpus']} CPUs ({machine['processor']}){accelerators(results)}, "
        f"{machine['memory_gib']} GiB",
    ]
    if "load_average" in told:  # 0 is a machine that does nothing else
        said.append(f"load average {told['load_average']:g} before")
    if "command" in told:
        said.append(f"``{told['command']}``")
    if results.keys() & {"budget", "budgets"}:
        said.append(f"budget {budgets(results)} s")
    if seeds:
        said.append(f"seeds {', '.join(map(str, seeds))}")
    return f"Provenance: ``{name}``, {'; '.join(said)}; {versions}.{continued(results)}"


def image(drawing, alternative):
    """Lines of an image directive."""
    return [
        f".. image:: /generated/benchmarks/{drawing}",
        f"   :alt: {alternative}",
        "   :width: 100%",
        "",
    ]


CUT_OFF = f"A peer more than {FARTHEST:g} nats below the best of its panel may lie outside of it."


def curves_section(results, drawing):
    """What the curves show, under their picture."""
    if over(results) == "rows":
        told = "Held-out log-likelihood over training rows, by table"
        said = f"Held-out nats over the training rows that were used. {CUT_OFF}"
        return [*image(drawing, told), said, ""]
    lines = image(drawing, "Held-out log-likelihood over seconds of fit, by table")
    said = "Held-out nats over the seconds that the fit took, compilation included."
    lines += [f"{said} {CUT_OFF}", ""]
    for name, peer, best, seconds, above in overtakings(results):
        ours = "none of our fits is above that"
        if above is not None:
            ours = f"ours is above that after {above[0]:.0f} s, at {above[1]:.3f}"
        lines.append(f"- {name}: the best peer is *{peer}*, {best:.3f} in {seconds:.0f} s; {ours}.")
    return [*lines, ""]


def density_section(path, results, folder):
    """Comparison of held-out likelihoods."""
    lines, curves = [], f"{path.stem}-curves.svg"
    if draw_curves(results, folder / curves):
        lines += curves_section(results, curves)
    drawing = f"{path.stem}.svg"
    if draw_differences(results, folder / drawing):
        lines += image(
            drawing, "Differences of the held-out log-likelihood, ours minus each peer, by table"
        )
        lines += [
            f"Bars reach over {CLEAR} standard errors of the difference, paired over the same",
            "held-out rows: blue circles, ours is ahead; orange squares, behind; grey diamonds,",
            "undecided.",
            "",
        ]
    lines += [*summary(results), ""]
    lines += list_table(DENSITY_COLUMNS.values(), density_rows(results))
    preparations = {record["set"]: record["preparation"] for record in results["records"]}
    lines += ["How the tables were prepared:", ""]
    lines += [f"- {name}: {preparation}." for name, preparation in preparations.items()]
    return [*lines, ""]


def parts_section(path, results):
    """Every part under a heading of its own, with its tables and where they were measured."""
    lines = []
    for part in results["parts"].values():
        lines += [part["title"], "~" * len(part["title"]), ""]
        for table in part["tables"]:
            header, *rows = cells(table)
            lines += [table["caption"], "", *list_table(header, rows)]
            lines += [*(f"- {note}" for note in table.get("notes", ())), ""]
        lines += [provenance(path.name, part), ""]
    return lines


def section(path, results, folder):
    """What a file is called, and what it holds."""
    if "parts" in results:
        return TITLES[path.stem], parts_section(path, results)
    lines = density_section(path, results, folder)
    at_once = any(record.get("budget") for record in results["records"])
    title = "Held-out likelihood at equal time" if at_once else "Held-out likelihood"
    if over(results) == "rows":
        title = "Held-out likelihood by number of rows"
    elif {record["set"] for record in results["records"]} <= set(WHOLE):
        title = "Held-out likelihood on all of POWER"
    elif {record["set"] for record in results["records"]} <= OWN.keys():
        title = "Held-out likelihood on scikit-learn's own tables"
    return title + accelerators(results), [*lines, provenance(path.name, results), ""]


def _place(path):
    """Likelihoods first, then the files with parts in the order of `TITLES`."""
    return -1 if path.stem.startswith("density") else list(TITLES).index(path.stem), path.name


def write_page(folder):
    """Write ``benchmarks.inc`` and its pictures into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for path in sorted(RESULTS.glob("*.json"), key=_place):
        results = json.loads(path.read_text(encoding="utf-8"))
        title, told = section(path, results, folder)
        if title in lines:  # a further file of the same kind
            _, year, month, day, what = path.stem.split("-", 4)
            title += f": {what.replace('-', ' ')}, {year}-{month}-{day}"
        lines += [title, "-" * len(title), "", *told]
    (folder / "benchmarks.inc").write_text("\n".join(lines), encoding="utf-8")


def setup(app):
    """Called by Sphinx."""
    app.connect(
        "builder-inited", lambda app: write_page(Path(app.srcdir, "generated", "benchmarks"))
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
