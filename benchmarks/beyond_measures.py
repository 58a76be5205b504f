"""Calibration of a density on held-out rows, and how far its samples are from such rows."""

from __future__ import annotations

import numpy as np
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import NearestNeighbors

NORM_LEVELS = (0.01, 0.05, 0.5, 0.95, 0.99)
REGION_LEVELS = (0.5, 0.9, 0.99)


def latent_normality(Z: np.ndarray) -> dict:
    """How far latents of held-out rows are from standard normal.

    The Kolmogorov-Smirnov distance is that of the worst column; beside it is the distance that
    independent normal columns stay below in 95 % of tables. The share of rows whose squared norm
    is below each quantile of its chi-square law should be the level of the quantile.
    """
    n_rows, n_columns = Z.shape
    distances = [stats.kstest(column, "norm").statistic for column in Z.T]
    norms = np.sum(Z**2, axis=1)
    shares = {
        f"norm_{level:g}": float(np.mean(norms < stats.chi2.ppf(level, n_columns)))
        for level in NORM_LEVELS
    }
    return {
        "ks": float(max(distances)),
        "ks_normal": float(stats.kstwo.ppf(0.95 ** (1 / n_columns), n_rows)),
        **shares,
    }


def region_coverage(test_scores: np.ndarray, sample_scores: np.ndarray) -> dict:
    """Share of held-out rows in the highest-density regions that hold given shares of samples.

    References
    ----------
    Hyndman (1996), Computing and graphing highest density regions, The American Statistician
    50(2), doi:10.2307/2684423.
    """
    return {
        f"region_{level:g}": float(np.mean(test_scores >= np.quantile(sample_scores, 1 - level)))
        for level in REGION_LEVELS
    }


def two_sample_test(test: np.ndarray, samples: np.ndarray, seed: int) -> dict:
    """Accuracy and ROC-AUC, cross-fitted, of a classifier that tells test rows from samples.

    References
    ----------
    Lopez-Paz & Oquab (2017), Revisiting classifier two-sample tests, arXiv:1610.06545.
    """
    X, y = np.vstack([test, samples]), np.repeat([1, 0], [len(test), len(samples)])
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    classifier = HistGradientBoostingClassifier(random_state=seed)
    probability = cross_val_predict(classifier, X, y, cv=folds, method="predict_proba")[:, 1]
    return {
        "accuracy": float(accuracy_score(y, probability > 0.5)),
        "auc": float(roc_auc_score(y, probability)),
    }


def nearest_ratio(train: np.ndarray, test: np.ndarray, samples: np.ndarray) -> float:
    """Median distance of samples to the nearest training row, over that of test rows.

    Above 1, samples stray from where the rows are; below, they crowd around training rows.
    """
    tree = NearestNeighbors(n_neighbors=1, algorithm="kd_tree").fit(train)
    own, true = (float(np.median(tree.kneighbors(rows)[0])) for rows in (samples, test))
    return own / true
