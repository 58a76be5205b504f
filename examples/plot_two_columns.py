"""
The density of two columns
==========================

With two columns everything can be seen: the density, its samples, how training went, and what a
mixer of the flow has become. Each picture is one call of a display from `skgauss.display`.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, train_test_split

from skgauss import GlowGaussianizer
from skgauss.display import (
    ConvergenceDisplay,
    DensityDisplay,
    GaussianizationDisplay,
    LUDisplay,
)

# %%
# Two half circles
# ----------------
#
# The flow is compared with the best Gaussian mixture of up to 20 components, chosen by
# cross-validation. Both are judged by rows that neither has seen.

X, _ = make_moons(4000, noise=0.08, random_state=0)
X_train, X_test = train_test_split(X, random_state=0)

flow = GlowGaussianizer(random_state=0).fit(X_train)
grid = {"n_components": range(2, 21, 2)}
mixture = GridSearchCV(GaussianMixture(random_state=0), grid, cv=3).fit(X_train).best_estimator_

gain = flow.score_samples(X_test) - mixture.score_samples(X_test)
print("held-out log-likelihood, nats per row")
print(f"  GlowGaussianizer                   {flow.score(X_test):.3f}")
print(f"  GaussianMixture, {mixture.n_components:2d} components     {mixture.score(X_test):.3f}")
error = gain.std() / np.sqrt(len(gain))
print(f"  difference                         {gain.mean():+.3f} ± {error:.3f}")

# %%
# The contours are those of highest density: the one of 90 % holds the 90 % of the held-out rows
# that are most likely. Rows are blue, samples orange.

display = DensityDisplay.from_estimator(flow, X_test, random_state=0)
display.ax_.set(xlabel="first column", ylabel="second column")
plt.show()

# %%
# Contours that hold stated shares can be compared between estimators: the smaller the region that
# holds 90 % of the rows, the better.

figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
for axis, estimator in zip(axes, (flow, mixture), strict=True):
    display = DensityDisplay.from_estimator(estimator, X_test, n_samples=0, labels=False, ax=axis)
    cell = np.ptp(display.xx0[0, :2]) * np.ptp(display.xx1[:2, 0])
    area = cell * np.sum(display.log_density > display.levels[display.shares == 0.9])
    axis.set_title(f"{type(estimator).__name__}, area of the 90 %: {area:.2f}", fontsize="medium")
plt.show()

# %%
# How training went
# -----------------
#
# A tenth of the training rows was held out by `fit` itself. The parameters kept are those of the
# iteration whose held-out likelihood is best. (The curve of the training rows is the mean over
# an iteration, while its parameters still move; that of the held-out rows is for their moving
# average, at its end.)

display = ConvergenceDisplay.from_estimator(flow)
plt.show()

# %%
# What the map makes of the rows
# ------------------------------
#
# Above the two columns, below the latents. The quantiles of the latents should lie on the dashed
# line, and nothing should be left in their scatter.

GaussianizationDisplay.from_estimator(flow, X_test, random_state=0)
plt.show()
print(flow.diagnose(X_test))

# %%
# A mixer
# -------
#
# Between its couplings, every step mixes the columns by a matrix that is kept in factors, so
# that its log-determinant is a sum over the diagonal of U. This is the first step's.

LUDisplay.from_estimator(flow, step=0)
plt.show()
