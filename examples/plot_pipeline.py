"""
In a pipeline: search, frames, persistence
==========================================

`GlowGaussianizer` is a scikit-learn transformer and density estimator. This example tunes it by
`GridSearchCV`, gets named columns out of it, saves it in two ways, puts it before a classifier,
and shows the one trap of densities in pipelines.
"""

# %%
import tempfile
from pathlib import Path

import joblib
import matplotlib.pyplot as plt
import numpy as np
import skops.io
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skgauss import GlowGaussianizer

data = load_breast_cancer(as_frame=True)
names = ["radius", "texture", "smoothness", "concavity", "symmetry", "fractal dimension"]
X = data.data[[f"mean {name}" for name in names]]
y = data.target
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0, stratify=y)

# %%
# Search
# ------
#
# `score` is the mean log-likelihood per row, so `GridSearchCV` needs no scorer: the winner is
# the one under which the rows left out are most likely. (The columns are rounded, so that values
# repeat; ``dequantize=True`` spreads them over their last digit while fitting.)

glow = GlowGaussianizer(dequantize=True, random_state=0)
search = GridSearchCV(glow, {"n_steps": [1, 3], "coupling": ["affine", "spline"]}, cv=3)
search.fit(X_train)

print("held-out log-likelihood, nats per row (three folds)")
results = search.cv_results_
for i in np.argsort(results["rank_test_score"], kind="stable"):
    parameters = ", ".join(f"{name}={value!r}" for name, value in results["params"][i].items())
    scores = [results[f"split{fold}_test_score"][i] for fold in range(3)]
    folds = " ".join(f"{score:7.3f}" for score in scores)
    print(f"  {parameters:<32} {results['mean_test_score'][i]:7.3f}   ({folds})")
glow = search.best_estimator_
print(f"on the test rows, refitted: {glow.score(X_test):.3f}")

# %%
# Frames
# ------
#
# With `set_output` the latents come as a frame with names and the index of the table, and
# `inverse_transform` takes that frame back.

glow.set_output(transform="pandas")
Z = glow.transform(X_test)
print(Z.head(3).round(3).to_string())
error = np.abs(glow.inverse_transform(Z) - X_test.to_numpy()).max()
print(f"\nlargest error of the way back: {error:.1e}")

# %%
# Persistence
# -----------
#
# A fitted estimator holds NumPy arrays and plain Python values. joblib (and pickle) save it
# whole, but load only what you would also run. skops lists the types that a file holds before it
# loads any: nothing but skgauss's own asks for trust.

with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "glow.joblib")
    joblib.dump(glow, path)
    from_joblib = joblib.load(path)

    path = Path(folder, "glow.skops")
    skops.io.dump(glow, path)
    types = skops.io.get_untrusted_types(file=path)
    assert all(name.startswith("skgauss.") for name in types)
    from_skops = skops.io.load(path, trusted=types)

print("types that skops asks about:")
for name in types:
    print(f"  {name}")
log_density = glow.score_samples(X_test)
for name, loaded in (("joblib", from_joblib), ("skops", from_skops)):
    same = np.array_equal(loaded.score_samples(X_test), log_density)
    print(f"{name}: the same densities to the last bit: {same}")

# %%
# Before a classifier
# -------------------
#
# The latents are features like any others. The map keeps what the table says of the classes,
# none of which it has seen, and says it in another form: whether that helps depends on the
# classifier, so compare.

print("log-loss of a logistic regression, five folds (smaller is better)")
for features in (StandardScaler(), glow):
    classifier = make_pipeline(features, LogisticRegression())
    losses = -cross_validate(classifier, X, y, scoring="neg_log_loss", cv=5)["test_score"]
    error = losses.std(ddof=1) / np.sqrt(len(losses))
    print(f"  {type(features).__name__:<17} {losses.mean():.3f} ± {error:.3f}")

# %%
# The trap: whose density is it?
# ------------------------------
#
# A pipeline's `score_samples` passes the rows through every step but the last, and asks the last
# for its density. That is the density of the *last step's input*. Behind a `StandardScaler`
# it is the density of standardised rows, larger or smaller than that of the table by the sum
# of the logarithms of the scales. (`clone`, because a pipeline fits the very objects that it is
# given.)

scaled = make_pipeline(StandardScaler(), clone(glow)).fit(X_train)
log_scales = np.log(scaled[0].scale_).sum()
by_pipeline, direct = scaled.score_samples(X_test), glow.score_samples(X_test)
corrected = by_pipeline - log_scales

print("mean log-density of the test rows, nats")
print(f"  the pipeline's score_samples      {by_pipeline.mean():8.3f}   of the standardised rows")
print(f"  sum of the log scales             {log_scales:8.3f}")
print(f"  the difference                    {corrected.mean():8.3f}   of the table")
print(f"  GlowGaussianizer on raw columns   {direct.mean():8.3f}   of the table")
print(f"largest difference of the last two, in any row: {np.abs(corrected - direct).max():.1e}")

# %%
# A scaler shifts every row alike, so one fitted map ranks the rows the same on either side of it.
# These are two fits, which hold out other rows and differ by some tenths of a nat, a few strange
# rows by more. Comparing the pipeline's figure with another model's is what goes wrong, or
# comparing pipelines with different scalers; and behind a step that bends, such as a
# `PowerTransformer`, the shift differs from row to row, and the ranking with it. There is no need
# for any of this: the estimator standardises inside, as part of its map, so that raw columns go
# straight in and the density that comes out is that of the table.

fig, axis = plt.subplots(figsize=(6.4, 4.4), layout="constrained")
limits = np.array([min(direct.min(), by_pipeline.min()), max(direct.max(), by_pipeline.max())])
axis.axline((0, 0), slope=1, color="0.6", linewidth=1, linestyle=":", label="equal")
axis.plot(direct, by_pipeline, "o", color="#D55E00", markersize=4, label="the pipeline's, as it is")
axis.plot(direct, corrected, "s", color="#0072B2", markersize=4, label="less the sum of log scales")
axis.set(
    xlabel="log-density by GlowGaussianizer on raw columns (nats)",
    ylabel="log-density by the pipeline (nats)",
    xlim=(direct.min() - 1, direct.max() + 1),
    title="The same rows, scored in a pipeline behind a StandardScaler",
)
axis.legend(frameon=False)
plt.show()
