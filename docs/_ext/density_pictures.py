"""The pictures of a likelihood benchmark: paired differences, and nats over seconds or rows."""

import textwrap

import matplotlib as mpl
from density_records import CLEAR, MODELS, comparisons, curves, over, verdict
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

PANELS = 3  # side by side
TITLE_WIDTH = 36  # characters
STYLE = {"svg.hashsalt": "skgauss", "svg.fonttype": "none"}
OURS = "#0072B2"
COLOURS = {"ahead": OURS, "behind": "#D55E00", "undecided": "0.45"}
MARKERS = {"ahead": "o", "behind": "s", "undecided": "D"}
PEERS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#999933")


def panels(n, height, **kwargs):
    """A figure, and `n` axes of so many inches of height."""
    across = min(PANELS, n)
    down = -(-n // across)
    figure = Figure(figsize=(8, down * height), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, **kwargs).ravel()
    for axis in axes[n:]:
        axis.remove()
    for axis in axes[:n]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.title.set_fontsize("medium" if across < PANELS else "x-small")
    return figure, axes[:n]


def draw_differences(results, path):
    """Draw the paired differences, one panel per peer except the single Gaussian."""
    shown = [c for c in comparisons(results) if c[1] != MODELS["gaussian"]]
    if not shown:
        return False
    names = list(dict.fromkeys(name for name, *_ in shown))
    models = list(dict.fromkeys(model for _, model, *_ in shown))
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(models), 1.05 + 0.42 * len(names), sharey=True)
        for axis, model in zip(axes, models, strict=True):
            axis.axvline(0, color="0.6", linewidth=0.8)
            for name, other, difference, error in shown:
                if other == model:
                    said = verdict(difference, error)
                    style = {"color": COLOURS[said], "marker": MARKERS[said]}
                    axis.errorbar(
                        difference, names.index(name), xerr=CLEAR * error, capsize=3, **style
                    )
            axis.set(
                title=textwrap.fill(f"against {model}", TITLE_WIDTH),
                xlabel="ours minus it, nats per row",
            )
        axes[0].set(yticks=range(len(names)), yticklabels=names, ylim=(len(names) - 0.5, -0.5))
        figure.savefig(path, metadata={"Date": None})
    return True


#: Nats below the highest of a panel where it ends.
FARTHEST = 8.0


def draw_curves(results, path):
    """Draw nats over seconds of fit, or over training rows: one panel per table."""
    along, found = over(results), curves(results)
    if along is None:
        return False
    models = list(dict.fromkeys(model for lines in found.values() for model in lines))
    ours = [model for model in models if model.startswith("GlowGaussianizer")]
    peers = [model for model in models if model not in ours]
    with mpl.rc_context(STYLE):
        figure, axes = panels(len(found), 2.6)
        for axis, (name, lines) in zip(axes, found.items(), strict=True):
            for model in ours:
                style = {"color": OURS, "marker": "o", "linewidth": 2, "zorder": 3}
                axis.plot(*_points(lines, model), label=model, **style)
            for model, colour in zip(peers, PEERS, strict=False):
                style = {"color": colour, "marker": ".", "linewidth": 1}
                axis.plot(*_points(lines, model), label=model, **style)
            x_label = "training rows" if along == "rows" else "seconds of fit"
            axis.set(title=name, xscale="log", xlabel=x_label)
            highest = max(nats for line in lines.values() for _, nats in line)
            shown = [nats for model in ours for _, nats in lines.get(model, ())]
            lowest = min([*shown, highest - FARTHEST + 1]) - 1  # ours is never cut off
            axis.set_ylim(bottom=max(axis.get_ylim()[0], lowest))
            if along == "seconds":
                axis.xaxis.set_minor_locator(NullLocator())
                axis.set_xticks(results["budgets"], [f"{b:g}" for b in results["budgets"]])
        axes[0].set(ylabel="held-out nats per row")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize="x-small")
        figure.savefig(path, metadata={"Date": None})
    return True


def _points(lines, model):
    """Abscissae and ordinates of a curve; none where a table lacks it."""
    return list(zip(*lines.get(model, ()), strict=True)) or ((), ())
