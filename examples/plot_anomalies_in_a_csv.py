"""
Anomalies in a CSV with text and missing cells
==============================================

From a file to its strangest rows: what `fit` says to text and missing cells, the lines that mend
it, how many of the anomalies planted in the file come out, and what the choice of coordinates
has to do with it.
"""

# %%
import tempfile
import textwrap
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.neighbors import LocalOutlierFactor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from skgauss import DensityOutlierDetector, GlowGaussianizer

# %%
# A file
# ------
#
# Two thousand parcels, made up: what they weigh, how far they go, by which service, and what was
# paid. The price follows from the rest, with some noise. In 20 rows it is three times too high or
# a third of what it should be, which is still a usual price; and some cells are missing.

rng = np.random.default_rng(0)
n_rows, n_planted = 2000, 20
service = rng.choice(["standard", "express", "freight"], n_rows, p=[0.6, 0.3, 0.1])
kilograms = rng.lognormal(np.where(service == "freight", 4.0, 0.7), 0.6)
kilometres = rng.gamma(2.0, 150.0, n_rows)
factor = pd.Series(service).map({"standard": 1.0, "express": 2.0, "freight": 0.4}).to_numpy()
price = (3 + factor * kilograms**0.8 * (1 + kilometres / 400)) * rng.lognormal(0, 0.08, n_rows)

parcels = pd.DataFrame(
    {"service": service, "kilograms": kilograms, "kilometres": kilometres, "price": price}
)
planted = np.sort(rng.choice(n_rows, n_planted, replace=False))
parcels.loc[planted, "price"] *= np.where(rng.random(n_planted) < 0.5, 3.0, 1 / 3)
parcels = parcels.round({"kilograms": 2, "kilometres": 0, "price": 2})
for column, share in (("service", 0.02), ("kilometres", 0.03)):
    parcels.loc[rng.random(n_rows) < share, column] = np.nan

path = Path(tempfile.mkdtemp(), "parcels.csv")
parcels.to_csv(path, index=False)

# %%
# First try
# ---------

table = pd.read_csv(path)
print(table.head().to_string())
try:
    DensityOutlierDetector().fit(table)
except ValueError as error:
    print("\n" + textwrap.fill(f"ValueError: {error}", 76))

# %%
# The message names the columns, and gives a line that works. Its selector of columns may as well
# look for everything that is no number; `set_output` keeps the names, so that later messages, and
# reasons, name columns too.

text = make_pipeline(OrdinalEncoder(), SimpleImputer(strategy="most_frequent"))
prepare = make_column_transformer(
    (text, make_column_selector(dtype_exclude="number")),
    remainder=SimpleImputer(strategy="median"),
    verbose_feature_names_out=False,
)
prepare.set_output(transform="pandas")
model = make_pipeline(prepare, DensityOutlierDetector(random_state=0))

score = model.fit(table).score_samples(table)
strangest = table.assign(score=score.round(1)).nsmallest(10, "score")
print(strangest.to_string())

# %%
# Which two columns take most from the score of each, in nats:

why = model[-1].explain(prepare.transform(strangest))
for place, row in enumerate(strangest.index):
    reasons = [f"{name} {share:+.1f}" for name, share in why.reasons(place, 2)]
    print(f"{row:5}: {', '.join(reasons)}")

# %%
# The pipeline, and its detector, as a notebook shows them: the question mark leads to the page of
# the estimator.

model

# %%
# The coordinates matter
# ----------------------
#
# A density ranks rows in the coordinates of the table, in which heavy parcels are unlikely: they
# are few, and spread over a wide range of kilograms. Weights and prices vary by factors rather than
# by amounts, so their logarithms are the better coordinates here, and the same pipeline ranks the
# rows of that table in another way.

in_logs = table.assign(kilograms=np.log(table["kilograms"]), price=np.log(table["price"]))
score_in_logs = model.fit(in_logs).score_samples(in_logs)
print(table.assign(score=score_in_logs.round(1)).nsmallest(10, "score").to_string())

# %%
# How many of the planted rows come out?
# --------------------------------------
#
# Among as many rows as were planted, by the two scores, and by what else one would try: the
# log-density of a trained flow, scikit-learn's isolation forest and local outlier factor on the
# same columns (the latter standardised), and the largest distance of a column from its median in
# robust standard deviations, which looks at one column at a time.

prepared = prepare.fit(in_logs).transform(in_logs)
spread = (prepared.quantile(0.75) - prepared.quantile(0.25)) / 1.349
distances = ((prepared - prepared.median()).abs() / spread).drop(columns="service")
factor = LocalOutlierFactor().fit(StandardScaler().fit_transform(prepared))
flow = GlowGaussianizer(dequantize=True, random_state=0).fit(prepared)
rankings = {
    "DensityOutlierDetector, the table": score,
    "DensityOutlierDetector, logarithms": score_in_logs,
    "GlowGaussianizer, logarithms": flow.score_samples(prepared),
    "IsolationForest, logarithms": IsolationForest(random_state=0)
    .fit(prepared)
    .score_samples(prepared),
    "LocalOutlierFactor, logarithms": factor.negative_outlier_factor_,
    "one column at a time": -distances.max(axis=1).to_numpy(),
}
print(f"planted rows among the {n_planted} that rank lowest")
for name, ranking in rankings.items():
    lowest = np.argsort(ranking, kind="stable")[:n_planted]
    print(f"  {name:<35} {np.isin(lowest, planted).sum():3d} of {n_planted}")

# %%
# The planted rows break a relation that all others keep. A method that compares each row with its
# neighbours is made for just that; a density also calls the rows unlikely that keep every relation
# and are merely extreme. Which of the two is an anomaly, only the question tells.

lowest = np.argsort(score_in_logs, kind="stable")[:n_planted]
figure, axis = plt.subplots(figsize=(6.4, 4.8), layout="constrained")
axis.scatter(table["kilograms"], table["price"], s=8, color="0.6", linewidths=0, label="rows")
for rows, label, style in (
    (planted, "planted", {"s": 16, "marker": "s", "color": "#0072B2", "linewidths": 0}),
    (
        lowest,
        "20 lowest scores",
        {"s": 70, "facecolors": "none", "edgecolors": "#D55E00", "linewidths": 1.3},
    ),
):
    axis.scatter(*table.loc[rows, ["kilograms", "price"]].to_numpy().T, label=label, **style)
axis.set(xscale="log", yscale="log", xlabel="kilograms", ylabel="price")
axis.spines[["top", "right"]].set_visible(False)
axis.legend(frameon=False)
plt.show()

# %%
path.unlink()
path.parent.rmdir()
