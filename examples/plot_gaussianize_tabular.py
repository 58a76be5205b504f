"""
A table, Gaussianized
=====================

A flow is trained on a real table on the spot. The one map that it learns makes the columns
independent standard normals, gives every row a density, and so names the strangest rows. How
good the density is, a plain Gaussian and the best Gaussian mixture tell; how sure the strangest
rows are, five refits.
"""

# %%
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from skgauss import GlowGaussianizer
from skgauss.display import GaussianizationDisplay

# %%
# The table
# ---------
#
# The Wisconsin breast cancer table ships with scikit-learn: the cell nuclei of 569 images, ten
# measurements of each, and for each measurement the mean, the standard error and the worst over
# the nuclei. Many of the 30 columns say almost the same (radius, perimeter, area). A quarter of
# the rows is held out.

data = load_breast_cancer(as_frame=True)
X = data.data
names = list(X.columns)
diagnosis = data.target_names[data.target]
X_train, X_test = train_test_split(X, test_size=0.25, random_state=0)
held_out = X.index.isin(X_test.index)
print(f"breast cancer table: {X.shape[1]} features, {len(X)} rows")
print(f"  trained on {len(X_train)} rows, {len(X_test)} held out")

# %%
# The flow
# --------
#
# Raw columns go straight in; no scaler is needed. Some columns are rounded to so few digits that
# values repeat, and strictly speaking the density of a rounded number is a row of spikes.
# ``dequantize=True`` spreads every such value over its last digit while fitting; without it,
# `fit` would warn and name the columns.

flow = GlowGaussianizer(dequantize=True, random_state=0)
start = time.perf_counter()
flow.fit(X_train)
print(
    f"GlowGaussianizer: {time.perf_counter() - start:.1f} s with compilation, "
    f"{flow.n_iter_} iterations, {flow.n_parameters_:,} parameters"
)

# %%
# How good is the density?
# ------------------------
#
# Log-likelihoods per row of the rows held out, in nats. The mixture has its number of
# components and its kind of covariance chosen by cross-validation within the training rows. It
# works on standardised columns, so the logarithms of their scales are taken off, to get the
# density of the raw table. (One thread: on matrices this small more only get in each other's
# way.)


def mixture_log_density(pipeline, X):
    """Log-density of the raw rows, from that of the standardised ones."""
    return pipeline.score_samples(X) - np.sum(np.log(pipeline[0].scale_))


pipeline = make_pipeline(StandardScaler(), GaussianMixture(random_state=0))
grid = {
    "gaussianmixture__n_components": range(1, 9),
    "gaussianmixture__covariance_type": ["full", "tied", "diag", "spherical"],
    "gaussianmixture__n_init": [2],
}
start = time.perf_counter()
with threadpool_limits(1):
    gaussian = pipeline.fit(X_train)
    log_densities = {"Gaussian": mixture_log_density(gaussian, X_test)}
    search = GridSearchCV(pipeline, grid, cv=5).fit(X_train)
    chosen = search.best_estimator_[-1]
    label = f"best GaussianMixture (k={chosen.n_components}, {chosen.covariance_type})"
    log_densities[label] = mixture_log_density(search.best_estimator_, X_test)
print(f"mixtures: {time.perf_counter() - start:.1f} s for the search")
log_densities["GlowGaussianizer"] = flow.score_samples(X_test)

print(f"\n{'held-out log-likelihood, nats per row':<42} {'mean':>8}   flow minus it")
for name, log_density in log_densities.items():
    gain = log_densities["GlowGaussianizer"] - log_density
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    versus = "" if name == "GlowGaussianizer" else f"{gain.mean():+.2f} ± {error:.2f}"
    print(f"  {name:<40} {log_density.mean():8.3f}   {versus:>13}".rstrip())
best = max(log_densities, key=lambda name: log_densities[name].mean())
print(f"  highest mean: {best}")
print("  ±: standard error of the paired difference over the rows held out")

# %%
# The least likely rows
# ---------------------
#
# The flow ranks the rows of the whole table. The density is that of the table as it is given:
# in logarithms of the columns, say, the ranking would be another. A row tends to be less likely
# to a flow that was not fitted to it, so the table says which rows were held out.
#
# Flows fitted to other rows rank differently, too. Five more are fitted, each to a random 80 %
# of all the rows, drawn without repetition, and the last column counts in how many of the five
# rankings a row is again among the ten. "Farthest out in" names the column in which the row is
# most standard deviations from the mean; a row may be ordinary in every column, and still be
# strange.


def least_likely(fitted, n_rows=10):
    """Row numbers, the least likely first."""
    return np.argsort(fitted.score_samples(X), kind="stable")[:n_rows]


rng = np.random.default_rng(0)
times_among_ten = np.zeros(len(X), int)
start = time.perf_counter()
for _ in range(5):
    rows = rng.choice(len(X), size=int(0.8 * len(X)), replace=False)
    refit = GlowGaussianizer(dequantize=True, random_state=0).fit(X.iloc[rows])
    times_among_ten[least_likely(refit)] += 1
print(f"five refits: {time.perf_counter() - start:.1f} s")

strange = least_likely(flow)
log_density = flow.score_samples(X)
z_scores = (X - X.mean()) / X.std()
print("\nthe ten least likely rows")
print("  row  log-density  held out  diagnosis  farthest out in               of 5 refits")
for row in strange:
    column = z_scores.iloc[row].abs().idxmax()
    farthest = f"{column} ({z_scores[column].iloc[row]:+.1f} sd)"
    print(
        f"{row:5d} {log_density[row]:12.2f}  {'yes' if held_out[row] else '':<8}  "
        f"{diagnosis[row]:<9}  {farthest:<28} {times_among_ten[row]:>8}"
    )
print(f"median log-density of the table: {np.median(log_density):.2f}")

# %%
# Before and after
# ----------------
#
# The rows held out: on the left of each line, the two most dependent columns and, below, the two
# most dependent latents (`skgauss.diagnosis.pairwise_dependence`, from 0 to 1): whichever pair one
# picks, nothing should be left. A latent mixes columns, so the latents do not stand below "their"
# columns. In the middle, how the values are distributed; on the right, the quantiles, one line per
# column or latent. The dashed lines are normal: for a column, of its own mean and spread; for a
# latent, N(0, 1) and nothing else will do.

display = GaussianizationDisplay.from_estimator(flow, X_test)
figure = display.figure_
for panels, values, pair in (
    (display.axes_[0], X.to_numpy(), display.features),
    (display.axes_[1], flow.transform(X), display.shown_latents),
):
    panels[0].scatter(
        *values[strange][:, pair].T,
        s=36,
        facecolors="none",
        edgecolors="#D55E00",
        linewidths=1.2,
        label="ten least likely of all rows",
    )
display.axes_[0, 0].legend(frameon=False, fontsize=8)
figure.suptitle("Above, the rows held out; below, what the flow makes of them", fontsize=13)
plt.show()

# %%
# Run as a script, the example writes the picture down.

if "sphinx_gallery" not in sys.modules:
    path = Path("figures", "gaussianize_tabular.png").resolve()
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=150)
    print(f"\nbefore and after: {path}")
