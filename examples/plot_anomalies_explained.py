"""
Strange rows, how sure, and why
===============================

From the raw columns of a real table, with its mixed scales, ties and codes, to ten rows that a
physician would look at again: what is strange, how sure that is, and which columns it is owed to.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.ensemble import IsolationForest

from skgauss import DensityOutlierDetector
from skgauss.display import AnomalyDisplay

# %%
# The table
# ---------
#
# Age, sex, body mass, blood pressure and six blood measurements of 442 patients, in the units
# they were measured in. Sex is a code of two values, age is in whole years, and the ratio of
# total to HDL cholesterol (s4) is 2, 3 or 4 in three of five patients.

patients = load_diabetes(as_frame=True, scaled=False).data
print(patients.describe().loc[["min", "50%", "max"]].to_string())
print("distinct values:", patients.nunique().to_dict())

# %%
# Nothing is scaled, encoded or dropped: the detector smooths a column at its own resolution.

detector = DensityOutlierDetector(contamination=0.02, random_state=0).fit(patients)

# %%
# The ten strangest
# -----------------
#
# Beside every row stands what two columns took from its score, in nats, compared with a typical
# patient. Some rows have an extreme value. In others, such as that of patient 29, hardly a value is
# extreme, and the combination is rare.

display = AnomalyDisplay.from_estimator(detector, patients, n_strangest=10)
plt.show()

# %%
# Why, in full
# ------------
#
# The contributions of all columns add up: with the baseline, the mean score of ordinary rows,
# they are the score.

strangest = patients.iloc[detector.score_samples(patients).argsort()[:10]]
explanation = detector.explain(strangest)
total = explanation.baseline + explanation.contributions.sum(axis=1)
print("sums to the score:", bool(np.allclose(total, explanation.scores, rtol=0, atol=1e-8)))
for i, patient in enumerate(strangest.index):
    reasons = explanation.reasons(i, 2)
    said = ", ".join(
        f"{name} = {strangest.iloc[i][name]:g}, quantile "
        f"{(patients[name] <= strangest.iloc[i][name]).mean():.2f} ({value:+.1f} nats)"
        for name, value in reasons
    )
    print(f"patient {patient}: {said}")

# %%
# How sure
# --------
#
# p-values need rows that were not fitted to. Of 442 patients, half are the reference, of which 40 %
# are held out, and the others are tested. If nothing were strange, a p-value below 0.05 would be
# seen in 5 % of them.

careful = DensityOutlierDetector(calibration=0.4, random_state=0).fit(patients[:221])
p_values = careful.p_values(patients[221:])
print(f"p <= 0.05: {np.mean(p_values <= 0.05):.3f} of {len(p_values)} patients")
flagged = careful.predict_fdr(patients[221:], alpha=0.2) == -1
print(f"flagged at a false discovery rate of 0.2: {flagged.sum()}")

# %%
# With 88 rows held out no p-value is below 1/89, so that a false discovery rate over 221 tests can
# hardly be kept by flagging a few: it says so by flagging none rather than by guessing.
#
# Another opinion
# ---------------
#
# An isolation forest agrees on the extreme values, and less on the combinations.

forest = IsolationForest(random_state=0).fit(patients).score_samples(patients)
place = forest.argsort().argsort()
print({patient: int(place[patients.index.get_loc(patient)]) for patient in strangest.index})
