"""DensityOutlierDetector: rows that a density finds strange, how sure it is, and why."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, MetaEstimatorMixin, OutlierMixin
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.validation import check_is_fitted

from skgauss._blas import one_blas_thread
from skgauss._calibration import HeldOut, held_out_rows, pooled_p_values
from skgauss._documentation import DocumentationLinkMixin
from skgauss._members import EstimatorEnsemble, check_given, taken, wanted_metadata
from skgauss._scoring import Scorer
from skgauss._thresholds import threshold, weighted_quantile
from skgauss._validation import (
    HasMethods,
    Interval,
    StrOptions,
    all_or_nothing,
    numpy_generator,
    routing_enabled,
    validate_rows,
)
from skgauss._version import VersionedStateMixin
from skgauss.conformal import benjamini_hochberg
from skgauss.content import ranked_columns
from skgauss.explanation import Explanation, explained, reference_rows, typical_shares
from skgauss.latent_ensemble import LatentEnsemble
from skgauss.ranking_density import RankingDensity
from skgauss.robust import central_rows

__all__ = ["DensityOutlierDetector"]

_N_MEMBERS = 8
_MAX_SAMPLES = 1024
_LEAST_RANGE = 2.0  # nats; the fence is three below: a twentieth of the density, or less


class DensityOutlierDetector(
    DocumentationLinkMixin, VersionedStateMixin, MetaEstimatorMixin, OutlierMixin, BaseEstimator
):
    """Find the rows that a density holds for unlikely, with p-values and reasons.

    By default the density is one made to rank rows, the mean of three: the columns' own densities,
    fitted to rows that a stiff, robust fit does not find far out, with their dependence as eight
    small random subsamples of these see it; what eight others see of the columns as they are
    (`skgauss.kernel_ensemble`); and mixtures of a few Gaussians (`skgauss.crossed_mixture`), which
    count the more, the more rows there are. A cluster of anomalies thins out in a small subsample.
    A row that is itself in a subsample is scored by the others in it, and by Gaussians that were
    fitted without it, so that training rows and new rows are scored alike.

    Parameters
    ----------
    estimator : estimator or None, default=None
        Any density estimator with `score_samples` (with `transform` for
        ``criterion="latent_norm"``); None is the default density. It is fitted to arrays, not to
        frames: what picks columns by name, such as a ColumnTransformer, goes in front of the
        detector, in a pipeline. Where columns are tied and the estimator, or a step of it, has a
        parameter `dequantize`, it is switched on.
    contamination : float in (0, 0.5] or "auto", default="auto"
        Share of the training rows to flag; where more have a density of zero, all of these. "auto"
        is Tukey's lower fence: scores more than 1.5 interquartile ranges below the first quartile
        are flagged, quartiles of those scores that do not come from a density of zero. Of clean
        rows that is 0.35 % if scores are normal and 4.8 % if they fall off exponentially; of new
        normal rows of three benchmark tables, 0.4 to 8 %.
        For log-densities of the default density the range is two nats at least, in a table of n
        rows divided by ``sqrt(1 + (800 / n)^2)``, as its kernels are wider: no row is flagged that
        is less than three nats (of 1,000 rows, 2.3) below the first quartile. Of one or
        two normal columns 2 to 7 % are flagged on the mean, in single tables of 30 to 300 rows up
        to 17 %. Other scores of discrete columns by themselves
        can leave next to nothing between the quartiles, and more are flagged: then give a share or
        use `predict_fdr`.
    criterion : {"log_density", "latent_norm", "typicality"}, default="log_density"
        "log_density" depends on the coordinates: the logarithm of a column is another table.
        "latent_norm" is minus half the squared norm of the latents, a property of the map: twice
        its negative is chi-square, with one degree of freedom per column, for rows that are as the
        map of a member says. After any increasing map of a column it is nearly the same (rank
        correlations of 0.993 and above on fifteen benchmark tables). "typicality" is minus the
        distance of the log-density from its median over the training rows: rows that are too likely
        are strange too.
    n_estimators : int or "auto", default="auto"
        Members of the ensemble, over whose scores the mean is taken: 8 for the default density, in
        both of its systems of coordinates, 1 for an estimator given.
    max_samples : int or "auto", default="auto"
        Rows of a subsample: 1,024 for the default density, half as many where columns are merely
        scaled, and at most 80 % of all, or of 10,000 where some are trimmed; all rows for an
        estimator given. A mode of fewer rows than the table has per subsampled row is held for an
        anomaly: a stated prior, not an estimate.
    trim : float in [0, 0.5] or "auto", default="auto"
        Share of the training rows to leave out, the strangest under a robust Gaussian of the
        columns' latents. "auto" is those whose score lies more than four interquartile ranges below
        the first quartile, hence at most a quarter. The default density leaves them out of the
        columns' own densities, of their dependence and of one of the eight members that see the
        columns merely scaled; members of ``criterion="latent_norm"`` and an estimator given are
        fitted without them, and there "auto" is none. 0 says that all training rows are normal:
        with the default density, few rows then tell finer what is not.
    calibration : float in (0, 1), "cross" or None, default=None
        Share of the rows held out of the fit for `p_values`. "cross" fits five more models, each
        without a fifth of the rows, and holds out every row once.
    n_jobs : int or None, default=None
        Threads in which the default density scores and explains, and in which clones of an
        estimator are fitted. Read at every call: `set_params` changes it for a fitted detector.
    random_state : int, RandomState instance or None, default=None
        Of the subsamples, and of the estimator where it has no seed of its own; of several clones,
        each gets another seed.
    verbose : int, default=0
        1 says which model is being fitted.

    Attributes
    ----------
    offset_ : float
        ``decision_function`` is ``score_samples`` less this.
    calibration_scores_ : array of shape (n_calibration,)
        Scores of the rows held out; with `calibration` only, else None.
    calibration_indices_ : array of int of shape (n_calibration,)
        Training row that each of them belongs to; with "cross" every row of positive weight is
        there once, scored by the model that has not seen it.
    scorer_ : object
        The fitted ensemble whose scores `score_samples` returns.
    calibration_ : list
        Per fit that rows were held out of, its scorer, their scores and weights, for `p_values`.
    reference_ : array of shape (n_reference, n_features)
        At most 100 training rows that are not flagged, from which explanations start.
    n_features_in_ : int
    feature_names_in_ : array of shape (n_features,)
        Where the table had names.

    See Also
    --------
    sklearn.ensemble.IsolationForest : Random splits in place of a density.
    RBIGTransformer, GlowGaussianizer : Density estimators to put inside.

    Notes
    -----
    Tied, discrete and one-hot columns are smoothed at their own resolution: a spline has no knots
    closer than the values of its column, 0.05 standard deviations are added to every distance
    between neighbours, and a value that more than 2 % of the rows share in a continuous column is
    spread over a tenth of a standard deviation. A value of more than 2 % of the rows is never
    trimmed away if its column would then vary less than half as often: it is rare, not impossible.
    So are amounts that most rows have none of: if more than half of those that are not zero lie in
    trimmed rows, their column is learned from all rows; where both quartiles of a column are one
    value, its unit is the median distance of the others. Constant columns say nothing until a row
    differs, by a millionth of the value or more. Beyond 1e100 times a column's scale, all rows are
    equally far.

    The parameter is called `criterion`, not ``score``: an attribute of that name would make
    pipelines and searches take it for scikit-learn's method.

    The outer fence, the quarter, and of `skgauss.kernel_ensemble` the stiffness and its bounds,
    what members are drawn from, and the second system of coordinates with its units, were chosen on
    the fifteen ADBench sets of our benchmark, under both of its protocols and with anomalies among
    the training rows; 1,024 rows, the Gaussians and their share on these and 27 tables of KEEL:
    figures on these sets are those of a choice made on them.

    References
    ----------
    Tukey (1977), Exploratory Data Analysis, for the fences; Nalisnick, Matsukawa, Teh &
    Lakshminarayanan (2019), Detecting out-of-distribution inputs to deep generative models using
    typicality, arXiv:1906.02994; see also `p_values`, `predict_fdr` and `explain`.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss import DensityOutlierDetector
    >>> X = np.random.default_rng(0).normal(size=(300, 2))
    >>> X[7] = [3, -3]
    >>> detector = DensityOutlierDetector(random_state=0).fit(X)
    >>> int(detector.score_samples(X).argmin()), int(detector.predict(X)[7])
    (7, -1)
    """

    offset_: float
    calibration_indices_: np.ndarray | None

    _parameter_constraints: ClassVar[dict] = {
        "estimator": [HasMethods(["fit", "score_samples"]), None],
        "contamination": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="right")],
        "criterion": [StrOptions({"log_density", "latent_norm", "typicality"})],
        "n_estimators": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "max_samples": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "trim": [StrOptions({"auto"}), Interval(Real, 0, 0.5, closed="both")],
        "calibration": [StrOptions({"cross"}), Interval(Real, 0, 1, closed="neither"), None],
        "n_jobs": [Integral, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        estimator=None,
        *,
        contamination="auto",
        criterion="log_density",
        n_estimators="auto",
        max_samples="auto",
        trim="auto",
        calibration=None,
        n_jobs=None,
        random_state=None,
        verbose=0,
    ):
        self.estimator = estimator
        self.contamination = contamination
        self.criterion = criterion
        self.n_estimators = n_estimators
        self.max_samples = max_samples
        self.trim = trim
        self.calibration = calibration
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def get_metadata_routing(self):
        """Say which metadata go where, for scikit-learn's metadata routing.

        Returns
        -------
        routing : sklearn.utils.metadata_routing.MetadataRouter
        """
        router = MetadataRouter(owner=self)
        if self.estimator is None:
            return router.add_self_request(self)
        mapping = MethodMapping().add(caller="fit", callee="fit")
        return router.add(estimator=self.estimator, method_mapping=mapping)

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, **fit_params: Any) -> Self:
        """Learn what is normal.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Numbers, finite; at least two rows.
        y : None
            Ignored.
        sample_weight : array-like of shape (n_rows,), default=None
            Frequencies: a row of weight k counts as k rows; but `max_samples` of an estimator given
            are rows, whatever their weights. Where they sum to less than the number of rows, only
            their proportions count.
        **fit_params
            Passed to the estimator's `fit`; what has one entry per row is subsampled with the
            rows.

        Returns
        -------
        self : object
            If anything fails, or is interrupted, `self` is left as it was.

        Raises
        ------
        ValueError
            If a parameter, the table or the weights are not as described.
        TypeError
            If the estimator is a class, takes no sample weights, or not what was passed on to it.
        """
        with all_or_nothing(self):
            self._validate_params()
            check_given(self.estimator, self.criterion)
            fit_params = self._metadata(sample_weight, fit_params)
            if sample_weight is None:  # they may have another name here than in the estimator
                sample_weight = fit_params.get("sample_weight")
            X, weight = validate_rows(self, X, sample_weight, reset=True)
            if "sample_weight" in fit_params:
                fit_params = {**fit_params, "sample_weight": weight}
            kept = np.arange(len(X)) if weight is None else np.flatnonzero(weight)
            if weight is not None and len(kept) < len(X):
                fit_params = taken(fit_params, kept, len(X))
                X, weight = X[kept], weight[kept]
            self._fit(X, weight, fit_params)
            if self.calibration_indices_ is not None:
                self.calibration_indices_ = kept[self.calibration_indices_]
        return self

    def _metadata(self, weight, fit_params):
        """What is passed along with the rows, if someone wants it."""
        if self.estimator is None:
            if fit_params:
                raise TypeError(
                    f"fit got {sorted(fit_params)}, but estimator=None takes sample_weight only."
                )
            return {}
        if routing_enabled():
            given = fit_params if weight is None else {**fit_params, "sample_weight": weight}
            return dict(process_routing(self, "fit", **given).estimator.fit) if given else {}
        return wanted_metadata(self.estimator, weight, fit_params)

    def _fit(self, X, weight, fit_params):
        rng = numpy_generator(self.random_state)
        counted = np.ones(len(X)) if weight is None else weight
        folds = held_out_rows(self.calibration, len(X), rng)
        crossed = isinstance(self.calibration, str)
        calibration = []
        if crossed:
            for out in folds:
                rows = np.flatnonzero(~out)
                scorer = self._fit_scorer(X, counted, rows, fit_params, rng)
                calibration.append(HeldOut(scorer, scorer(X[out], self.n_jobs), counted[out]))
        fitted_to = np.ones(len(X), bool) if crossed or not folds else ~folds[0]
        rows = np.flatnonzero(fitted_to)
        self.scorer_ = self._fit_scorer(X, counted, rows, fit_params, rng)
        scores = self.scorer_(X, self.n_jobs)
        if folds and not crossed:
            calibration = [HeldOut(self.scorer_, scores[~fitted_to], counted[~fitted_to])]
        self.calibration_ = calibration
        self.calibration_scores_ = (
            np.concatenate([part.scores for part in calibration]) if calibration else None
        )
        self.calibration_indices_ = (
            np.concatenate([np.flatnonzero(out) for out in folds]) if folds else None
        )
        least_range = 0.0
        if self.estimator is None and self.criterion == "log_density":
            least_range = _LEAST_RANGE / math.sqrt(self.scorer_.ensemble.stiffness)
        self.offset_ = threshold(scores, counted, self.contamination, least_range)
        normal = rows[scores[rows] >= self.offset_]  # one far row would be most of a mean
        normal = normal if len(normal) else rows
        self.reference_ = reference_rows(X[normal], counted[normal], rng)
        self._typical: np.ndarray | None = None

    def _fit_scorer(self, X, weight, rows, fit_params, rng):
        """Fit an ensemble to some rows."""
        if self.verbose:
            print(f"[DensityOutlierDetector] fitting to {len(rows)} rows")
        if self.estimator is None:
            ensemble = self._fit_default(X[rows], weight[rows], rng)
        else:
            ensemble = EstimatorEnsemble.fit(
                self.estimator,
                (X, weight, fit_params),
                rows,
                rng,
                n_members=self._size(self.n_estimators, 1),
                max_samples=self._size(self.max_samples, len(rows)),
                trim=self.trim,
                by_latents=self.criterion == "latent_norm",
                n_jobs=self.n_jobs,
            )
        scorer = Scorer(ensemble, None)
        if self.criterion != "typicality":
            return scorer
        raw = scorer.raw(X[rows], self.n_jobs)
        return scorer._replace(typical=weighted_quantile(raw, weight[rows], 0.5))

    def _size(self, value, default):
        return default if value == "auto" else int(value)

    def _fit_default(self, X, weight, rng):
        Y, weight = ranked_columns(X, weight, int(rng.integers(2**63)))
        n_members = self._size(self.n_estimators, _N_MEMBERS)
        max_samples = self._size(self.max_samples, _MAX_SAMPLES)
        with one_blas_thread():
            if self.criterion != "latent_norm":
                return RankingDensity(Y, weight, n_members, max_samples, rng, self.trim)
            kept = None if self.trim == "auto" else central_rows(Y, weight, self.trim)
            return LatentEnsemble(Y, weight, n_members, max_samples, rng, kept)

    def score_samples(self, X: Any) -> np.ndarray:
        """How normal every row is: high is normal.

        A row that is itself in a subsample is scored by the others in it, and where an estimator
        was given, by the members that it was not fitted to, if there are any: the one member that
        there is by default was fitted to all training rows, as were those of the default
        ``criterion="latent_norm"``. Their training rows can score higher than new ones.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        scores : array of float64 of shape (n_rows,)
            For ``criterion="log_density"`` the mean over the members of the log-density, in nats:
            that of a density up to a constant, as the mean of logarithms does not integrate to one
            (a single member does). A member whose density is zero counts as -1e100.

        Raises
        ------
        ValueError
            If the table is not as in `fit`, or an estimator's score is NaN.
        """
        check_is_fitted(self)
        X, _ = validate_rows(self, X, reset=False)
        return self.scorer_(X, self.n_jobs)

    def decision_function(self, X: Any) -> np.ndarray:
        """How far on the normal side of the threshold every row is; negative for outliers.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        decision : array of float64 of shape (n_rows,)
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Tell outliers from normal rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        labels : array of int of shape (n_rows,)
            -1 for outliers, 1 for the others.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_values(self, X: Any) -> np.ndarray:
        """Conformal p-value of every row: small is strange.

        With `calibration` a share, the share of the rows held out that score at most as high, the
        row itself counted in. If a normal row is exchangeable with these, its p-value is at most
        alpha with probability at most alpha, on average over calibration rows. The training rows
        must therefore be normal ones; among contaminated rows, p-values are too large rather than
        too small. It says nothing of rows that were in the fit.

        Rows of weight k are k rows held out, all of them or none: what is said of probabilities is
        said of rows of weight one.

        With "cross" every row has a say, compared by a model that has not seen it. With K = 5
        folds, and n rows in all, the probability is then at most
        ``2 alpha + 2 (1 - alpha) (K - 1) / (n + K)``; in practice it is close to alpha and rather
        below, since models that disagree about a row outvote each other.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        p_values : array of shape (n_rows,)

        Raises
        ------
        ValueError
            If the detector was fitted with ``calibration=None``.

        References
        ----------
        Bates et al. (2023), see `skgauss.conformal.conformal_p_values`; for "cross", Vovk (2015),
        Cross-conformal predictors, Annals of Mathematics and Artificial Intelligence 74,
        doi:10.1007/s10472-013-9368-4, and Gasparin & Ramdas (2025), Improving the statistical
        efficiency of cross-conformal prediction, arXiv:2503.01495, for the bound.
        """
        check_is_fitted(self)
        if self.calibration_scores_ is None:
            raise ValueError(
                "p_values needs rows held out of the fit: set calibration, for example to 0.3, or "
                "to 'cross', and fit again."
            )
        X, _ = validate_rows(self, X, reset=False)
        return pooled_p_values(self.calibration_, X, self.n_jobs)

    def predict_fdr(self, X: Any, alpha: float = 0.1) -> np.ndarray:
        """Tell outliers from normal rows so that few of those flagged are normal.

        The Benjamini-Hochberg procedure on the p-values of the rows given. Split-conformal p-values
        of independent normal rows are positively dependent (PRDS), so that the expected share of
        normal rows among those flagged is at most alpha; for ``calibration="cross"`` nothing is
        proven.

        No p-value is less than ``1 / (n_calibration + 1)``. Of n rows any are therefore flagged
        only if at least ``n / (alpha (n_calibration + 1))`` are flagged together: give fewer rows
        at a time, or hold out more. The level is that of one call. Over many calls of few rows
        each, most of what is flagged is normal: of one row, a normal one is with probability alpha.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
        alpha : float in (0, 1), default=0.1
            False discovery rate.

        Returns
        -------
        labels : array of int of shape (n_rows,)
            -1 for outliers, 1 for the others.

        References
        ----------
        Benjamini & Hochberg (1995); Bates et al. (2023), theorem 2; see `skgauss.conformal`.
        """
        if not (isinstance(alpha, Real) and 0 < alpha < 1):
            raise ValueError(f"alpha={alpha!r}: a number between 0 and 1 is needed.")
        return np.where(benjamini_hochberg(self.p_values(X), float(alpha)), -1, 1)

    def explain(self, X: Any) -> Explanation:
        """Say what every column adds to the score of every row.

        Contributions are Shapley values over ten orders of the columns, drawn from what these hold.
        For the default density and ``criterion="log_density"``, what is known of a row is the
        density of the columns known, the others integrated out; a contribution is then its column's
        log-density given others, less the mean of that over 100 training rows. For any other
        estimator or score, columns that are not known take their values from 20 training rows.

        The cost is linear in columns, members and the rows of a subsample, whatever the number of
        training rows. By default, on one core, every column takes about 0.5 ms per row of many, and
        2 ms where a single row is explained. The first call takes another 10 ms per column for the
        100 training rows, each under an order and its reverse: 2 s for 200 columns. That is kept,
        and pickled if it is there. For any other score, 200 rows are scored per row and column.
        `n_jobs` threads share the orders, except where an estimator was given.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)

        Returns
        -------
        explanation : Explanation
            ``baseline + contributions.sum(axis=1)`` is ``score_samples``.

        References
        ----------
        See `skgauss.shapley`.
        """
        check_is_fitted(self)
        X, _ = validate_rows(self, X, reset=False)
        names = getattr(self, "feature_names_in_", [f"column {j}" for j in range(X.shape[1])])
        X, reference = np.asarray(X, np.float64), self.reference_
        if self._typical is None:  # what all explanations share is found once
            self._typical = typical_shares(self.scorer_, reference, self.n_jobs)
        return explained(self.scorer_, X, reference, self._typical, list(names), self.n_jobs)
