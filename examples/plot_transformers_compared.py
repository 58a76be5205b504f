"""
Beside QuantileTransformer and PowerTransformer
===============================================

scikit-learn has two transformers that make columns normal, one at a time. `RBIGTransformer` makes
the *table* normal. What that adds is measured here on rows held out: what is left of the
columns' dependence, how likely the rows are, and what happens outside the training range.
"""

# %%
import time

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import multivariate_normal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import ShuffleSplit
from sklearn.preprocessing import PowerTransformer, QuantileTransformer, StandardScaler

from skgauss import RBIGTransformer
from skgauss.diagnosis import diagnose
from skgauss.marginals import SplineMarginal

BLUE, ORANGE = "#0072B2", "#D55E00"

data = load_breast_cancer(as_frame=True)
names = [name for name in data.data.columns if name.startswith("mean ")]
X = data.data[names].to_numpy()
print(f"breast cancer table: {X.shape[0]} rows, {X.shape[1]} columns")

# %%
# Five ways to normal columns
# ---------------------------
#
# Standardisation, scikit-learn's two, and skgauss's map of columns alone for comparison. (RBIG
# spreads rounded values over their last digit in `fit`; without it, it would warn and name the
# columns.) Five random fifths of the rows are held out in turn. What is reported for them:
#
# - the largest correlation of two outputs, or of their sizes, as `diagnose` has it: ten
#   independent normals would stay below the figure of the last line 19 times out of 20;
# - the column that is farthest from a standard normal (Kolmogorov-Smirnov distance);
# - the largest error of `inverse_transform` behind `transform`, relative to the largest value of
#   the column;
# - the seconds of fitting, transforming and coming back.

transformers = {
    "StandardScaler": StandardScaler(),
    "PowerTransformer": PowerTransformer(),
    "QuantileTransformer": QuantileTransformer(n_quantiles=200, output_distribution="normal"),
    "SplineMarginal": SplineMarginal(random_state=0),
    "RBIGTransformer": RBIGTransformer(dequantize=True, random_state=0),
}
folds = list(ShuffleSplit(5, test_size=0.2, random_state=0).split(X))
found = {}
for name, transformer in transformers.items():
    reports, start = [], time.perf_counter()
    for train, test in folds:
        fitted = clone(transformer).fit(X[train])
        Z = fitted.transform(X[test])
        back = fitted.inverse_transform(Z)
        reports.append(diagnose(X[test], Z, back, X[train].min(0), X[train].max(0)))
    found[name] = reports, (time.perf_counter() - start) / len(folds)

print(f"{'held-out rows, means of five':<32} dependence   normality   way back   seconds")
for name, (reports, seconds) in found.items():
    dependence = np.mean([report.dependence for report in reports])
    distance = np.mean([report.normality_distance.max() for report in reports])
    error = np.max([report.round_trip_error for report in reports])
    print(f"  {name:<30} {dependence:10.2f} {distance:11.2f} {error:10.0e} {seconds:9.2f}")
noise = np.mean([report.dependence_noise for report in reports])
print(f"  {'independent normals':<30} {noise:10.2f}")

# %%
# Columns that are each normal can still say almost the same: radius, perimeter and area do, and
# no transformation of single columns changes that. RBIG's outputs are mixtures of columns, which
# is the price: none of them belongs to one column of the table.


def correlations(transformer):
    """Absolute correlations of the outputs for held-out rows, by the first fold."""
    train, test = folds[0]
    return np.abs(np.corrcoef(clone(transformer).fit(X[train]).transform(X[test]).T))


fig, axes = plt.subplots(1, 4, figsize=(12, 3.4), layout="constrained")
shown = ("PowerTransformer", "QuantileTransformer", "SplineMarginal", "RBIGTransformer")
for name, axis in zip(shown, axes, strict=True):
    image = axis.imshow(correlations(transformers[name]), vmin=0, vmax=1, cmap="Blues")
    axis.set(title=name, xlabel="output", xticks=range(0, 10, 3), yticks=range(0, 10, 3))
axes[0].set_ylabel("output")
fig.colorbar(image, ax=axes, label="absolute correlation, held-out rows")
plt.show()

# %%
# How likely are the rows held out?
# ---------------------------------
#
# Every smooth increasing map to a normal is a density: the normal's at the output, times the
# slope of the map. For the transformers of single columns the slope is taken here by central
# differences, over a hundred thousandth of the column's range; QuantileTransformer's is a step
# function's interpolation, flat outside the training range, so that a row there has density zero.


def log_density(fitted, rows):
    """Log-density of rows under the columns' maps, each a density by itself."""
    step = 1e-5 * np.ptp(X, axis=0)
    z = fitted.transform(rows)
    slope = (fitted.transform(rows + step) - fitted.transform(rows - step)) / (2 * step)
    with np.errstate(divide="ignore"):
        return np.sum(np.log(slope) - 0.5 * (z**2 + np.log(2 * np.pi)), axis=1)


scores = {name: [] for name in [*transformers, "one Gaussian"]}
for train, test in folds:
    scaler = StandardScaler().fit(X[train])
    gaussian = multivariate_normal(np.zeros(10), np.cov(scaler.transform(X[train]).T))
    by_gaussian = gaussian.logpdf(scaler.transform(X[test])) - np.sum(np.log(scaler.scale_))
    scores["one Gaussian"].append(by_gaussian)
    for name, transformer in transformers.items():
        fitted = clone(transformer).fit(X[train])
        own = getattr(fitted, "score_samples", None)
        scores[name].append(own(X[test]) if own else log_density(fitted, X[test]))

print("held-out log-likelihood, nats per row")
for name, log_densities in scores.items():
    log_densities = np.concatenate(log_densities)
    zero = np.mean(np.isneginf(log_densities))
    print(f"  {name:<22} {log_densities.mean():8.2f}   rows of density zero: {zero:.1%}")

# %%
# What RBIG gains over SplineMarginal is the dependence of the columns, as far as it was found. A
# Gaussian with a full covariance, which bends no column, finds the linear part of it.
#
# Outside the training range
# --------------------------
#
# One column, "mean area", is moved from far below to far above the training range, all others
# at their medians. On the left: what comes back, against what went in. On the right, each
# transformer is fitted to this column alone, to see its map.

train, _ = folds[0]
column = names.index("mean area")
low, high = X[train, column].min(), X[train, column].max()
line = np.linspace(low - 0.5 * (high - low), high + 0.5 * (high - low), 601)
rows = np.repeat(np.median(X[train], axis=0)[None], len(line), axis=0)
rows[:, column] = line
inside = (low <= line) & (line <= high)

fig, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
styles = {
    "QuantileTransformer": {"color": ORANGE, "linewidth": 2},
    "PowerTransformer": {"color": "0.6", "linewidth": 4},
    "RBIGTransformer": {"color": BLUE, "linestyle": "--", "linewidth": 2},
}
for name, style in styles.items():
    fitted = clone(transformers[name]).fit(X[train])
    back = fitted.inverse_transform(fitted.transform(rows))[:, column]
    axes[0].plot(line, back, label=name, **style)
    lost = np.mean(np.abs(back - line)[~inside] > 1e-6 * (high - low))
    print(f"{name:<20} values outside the range that do not come back: {lost:.0%}")
    alone = clone(transformers[name]).fit(X[train][:, [column]]).transform(line[:, None])[:, 0]
    print(f"{'':<20} fitted to this column alone: outputs {alone.min():.3g} to {alone.max():.3g}")
    axes[1].plot(line, alone, label=name, **style)
for axis in axes:
    axis.axvspan(low, high, color="0.93", zorder=0, label="training range")
    axis.set_xlabel("mean area")
    axis.legend(frameon=False)
axes[0].set(ylabel="inverse_transform(transform(.))", title="There and back again")
axes[1].set(ylabel="transform(.)", title="The map of this column alone", ylim=(-10, 10))
plt.show()

# %%
# QuantileTransformer clips. PowerTransformer comes back, but its formula changes at zero, and runs
# off below. RBIG's tails follow a law chosen by the likelihood of the rows in them.
