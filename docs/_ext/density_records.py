"""What the records of a likelihood benchmark say: in words, paired with ours, and as curves."""

from report import rows_of

CLEAR = 2  # standard errors of the paired difference, from which on it counts as one
BUDGETS_OF_A_CURVE = 3  # at least

MODELS = {
    "skgauss": "GlowGaussianizer, defaults",
    "skgauss_budget": "GlowGaussianizer, defaults, stopped at the budget",
    "skgauss_long": "GlowGaussianizer, more steps, finer splines, stopped at the budget",
    "skgauss_accelerated": "GlowGaussianizer, more steps, finer splines, batches of 4,096",
    "flowjax": "flowjax coupling_flow, defaults",
    "flowjax_tuned": "flowjax coupling_flow, tuned",
    "flowjax_accelerated": "flowjax coupling_flow, tuned, batches of 4,096",
    "flowjax_maf": "flowjax masked_autoregressive_flow, splines",
    "zuko_nsf": "zuko NSF",
    "zuko_nsf_accelerated": "zuko NSF, batches of 4,096",
    "zuko_gf": "zuko GF",
    "nflows_rqnsf_c": "nflows RQ-NSF (C)",
    "nflows_rqnsf_c_accelerated": "nflows RQ-NSF (C), batches of 4,096",
    "nflows_rqnsf_c_paper": "nflows RQ-NSF (C), the paper's size",
    "gmm": "GaussianMixture, best of a grid",
    "gmm_budget": "GaussianMixture, best k to 500",
    "kde": "KernelDensity, best bandwidth",
    "rbig": "RBIGTransformer, defaults",
    "rbig_mixture": 'RBIGTransformer, head="mixture"',
    "rbig_auto": 'RBIGTransformer, head="auto"',
    "gaussian": "one Gaussian",
}
OF_OURS = {said for model, said in MODELS.items() if model.startswith(("skgauss", "rbig"))}


def mean(records, key):
    """Mean over seeds, None where a record lacks it."""
    values = [record.get(key) for record in records]
    return None if None in values else sum(values) / len(values)


def verdict(difference, error):
    """What a paired difference says of ours, in one word."""
    if difference is None:
        return ""
    if abs(difference) <= CLEAR * error:
        return "undecided"
    return "ahead" if difference > 0 else "behind"


def grouped(results):
    """Records by table, model and budget, in the order of the file."""
    groups = {}
    for record in results["records"]:
        key = rows_of(record), record["model"], record.get("budget")
        groups.setdefault(key, []).append(record)
    return groups


def label(model, budget=None):
    """What a reader calls the model, with the seconds that it was given."""
    said = MODELS.get(model, model)
    return said if budget is None else f"{said}, {budget:g} s"


def comparisons(results):
    """Table, label of the model, difference and error of every paired comparison."""
    for (name, model, budget), records in grouped(results).items():
        difference = mean(records, "ours_minus_peer")
        if difference is not None:
            yield name, label(model, budget), difference, mean(records, "ours_minus_peer_error")


def over(results):
    """What likelihood is followed over in a file: "rows", "seconds", or None for nothing."""
    if any("rows" in record for record in results["records"]):
        return "rows"
    return "seconds" if len(results.get("budgets", ())) >= BUDGETS_OF_A_CURVE else None


def curves(results):
    """Nats over rows or seconds: ``{table: {model: [(rows or seconds of fit, nats), ...]}}``.

    A model of several budgets has a curve for each where rows are what grows.
    """
    along = over(results)
    found = {}
    groups = grouped(results).items()
    for (_, model, budget), records in sorted(groups, key=lambda group: _extent(*group)):
        x = mean(records, "rows" if along == "rows" else "fit_seconds")
        nats = mean(records, "nats")
        if nats is not None:
            of_table = found.setdefault(records[0]["set"], {})
            line = label(model, budget if along == "rows" else None)
            of_table.setdefault(line, []).append((x, nats))
    return found


def _extent(key, records):
    """What a curve's points are in order of."""
    return records[0].get("rows", 0), key[2] or 0


def overtakings(results):
    """By table: the best peer of any budget, and the first of our fits that is above it.

    Yields table, the peer's label, its nats and seconds, and our nats and seconds or None.
    """
    ours = {label(results["ours"]), label(f"{results['ours']}_budget")}
    for name, lines in curves(results).items():
        peers = [
            (nats, s, m) for m, curve in lines.items() if m not in OF_OURS for s, nats in curve
        ]
        if not peers:
            continue
        best, seconds, model = max(peers)
        above = [(s, nats) for m in ours for s, nats in lines.get(m, ()) if nats > best]
        yield name, model, best, seconds, min(above, default=None)
