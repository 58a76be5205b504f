"""How much columns, or blocks of columns, depend on each other."""

from __future__ import annotations

from typing import Any

from skgauss._validation import validate_table
from skgauss.information._crossfit import Options, as_asked
from skgauss.information._scores import dependence, normal_scores
from skgauss.weighted import mean_and_error

__all__ = ["conditional_mutual_information", "mutual_information", "total_correlation"]


def total_correlation(
    X: Any,
    *,
    estimator: Any = None,
    sample_weight: Any = None,
    cv: int = 5,
    n_jobs: int | None = None,
    random_state: Any = None,
    return_std: bool = False,
):
    """How much the columns of a table depend on each other, in nats.

    The Kullback-Leibler divergence from the table's distribution to the product of its columns':
    the sum of their entropies, less that of the table. Zero for independent columns only, it is
    also called multi-information.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features)
        Numbers, finite; columns may be discrete.
    estimator : estimator, default=None
        As in `entropy`.
    sample_weight : array-like of shape (n_rows,), default=None
        Frequencies.
    cv : int, default=5
        Folds.
    n_jobs : int or None, default=None
        Folds fitted at a time.
    random_state : int, RandomState instance or None, default=None
    return_std : bool, default=False

    Returns
    -------
    total_correlation : float
        In nats. Of independent columns it scatters about zero, on both sides. Constant columns
        are left out. Infinite in truth where continuous columns determine each other; the estimate
        is finite.
    std : float
        Its standard error, if `return_std`: that of a mean over rows, which near independence is
        less than the error of the fits.

    Raises
    ------
    ValueError
        If a table, the weights or a parameter are not as described; the message names it.

    Notes
    -----
    Every column is replaced by its normal scores, ``z = Phi^-1((rank - 1/2) / n)``, which changes
    no dependence and makes the columns' own densities known: only the joint density of the
    scores is estimated, and an increasing map of any column changes nothing at all. Values
    that repeat are ranked in random order, which is exact too: it spreads a value over an
    interval by noise that is independent of everything. Where no `estimator` is given, discrete
    columns, of ten rows or more to a value, can be counted instead, and what goes with them be
    fitted in every cell by itself: if that finds more in the first fold, held out. For a Gaussian
    dependence no estimator is better than the normal scores' [2]_.

    What the estimator does not represent makes the result too small.

    References
    ----------
    .. [1] Laparra, Camps-Valls & Malo (2011), Iterative Gaussianization: from ICA to random
       rotations, IEEE Transactions on Neural Networks 22(4), arXiv:1602.00229.
    .. [2] Klaassen & Wellner (1997), Efficient estimation in the bivariate normal copula model:
       normal margins are least favourable, Bernoulli 3(1).

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information import total_correlation
    >>> rng = np.random.default_rng(0)
    >>> X = rng.multivariate_normal([0, 0, 0], 0.5 + 0.5 * np.eye(3), size=2000)
    >>> value, std = total_correlation(np.exp(X), random_state=0, return_std=True)
    >>> truth = -0.5 * np.log(np.linalg.det(0.5 + 0.5 * np.eye(3)))
    >>> round(float(truth), 2), bool(abs(value - truth) < 3 * std)
    (0.35, True)
    """
    options = Options(estimator, cv, n_jobs, random_state)
    X, weight = validate_table(X, "X", sample_weight)
    columns = [X[:, [j]] for j in range(X.shape[1])]
    scores = normal_scores(columns, weight, options)
    gain = dependence(scores, [tuple(range(len(columns)))], options)[0]
    return as_asked(*mean_and_error(gain, scores.weight), return_std)


def mutual_information(
    X: Any,
    Y: Any,
    *,
    estimator: Any = None,
    sample_weight: Any = None,
    cv: int = 5,
    n_jobs: int | None = None,
    random_state: Any = None,
    return_std: bool = False,
):
    """How much two blocks of columns tell about each other, in nats.

    The Kullback-Leibler divergence from the joint distribution to the product of the blocks',
    ``H(X) + H(Y) - H(X, Y)``. It is zero for independent blocks only, and no invertible map of
    a block changes it.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features_x) or (n_rows,)
        Numbers, finite; columns may be discrete.
    Y : array-like of shape (n_rows, n_features_y) or (n_rows,)
        The same rows.
    estimator : estimator, default=None
        As in `entropy`.
    sample_weight : array-like of shape (n_rows,), default=None
        Frequencies.
    cv : int, default=5
        Folds.
    n_jobs : int or None, default=None
        Folds fitted at a time.
    random_state : int, RandomState instance or None, default=None
    return_std : bool, default=False

    Returns
    -------
    mutual_information : float
        In nats. Of independent blocks it scatters about zero, on both sides. X and Y may change
        places. Columns that are constant, a linear function of others of their block or a monotone
        one of another tell nothing, and are left out.
    std : float
        Its standard error, if `return_std`: that of a mean over rows, which near independence is
        less than the error of the fits.

    Raises
    ------
    ValueError
        If a table, the weights or a parameter are not as described; the message names it.

    See Also
    --------
    sklearn.feature_selection.mutual_info_regression : One column against one target, by nearest
        neighbours [1]_. It is nearer to the truth at sharp edges, and where structure is fine and
        rows are few.

    Notes
    -----
    Columns are replaced by their normal scores, see `total_correlation`. The density of both
    blocks together is compared with those of the blocks, each estimated; or both blocks are first
    mapped to normals, each by itself, which changes no dependence and leaves only the joint
    density of the latents to be estimated. The way that finds more in the first fold, held out,
    is taken in all. An estimator without a map to normals works in the scores only.

    What the estimator does not represent of the joint density makes the result too small, what
    it does not represent of the blocks' too large.

    References
    ----------
    .. [1] Kraskov, Stogbauer & Grassberger (2004), Estimating mutual information, Physical
       Review E 69, 066138, doi:10.1103/PhysRevE.69.066138.
    .. [2] Laparra, Johnson, Camps-Valls, Santos-Rodriguez & Malo (2025), Estimating information
       theoretic measures via multidimensional Gaussianization, IEEE Transactions on Pattern
       Analysis and Machine Intelligence 47(2), arXiv:2010.03807.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information import mutual_information
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(1000, 2))
    >>> Y = 0.8 * X + 0.6 * rng.normal(size=(1000, 2))
    >>> value, std = mutual_information(X, np.exp(Y), cv=2, random_state=0, return_std=True)
    >>> truth = -np.log(1 - 0.8**2)
    >>> round(float(truth), 2), bool(abs(value - truth) < 3 * std)
    (1.02, True)
    """
    options = Options(estimator, cv, n_jobs, random_state)
    blocks, weight = _validated_blocks({"X": X, "Y": Y}, sample_weight)
    scores = normal_scores(blocks, weight, options)
    gain = dependence(scores, [(0, 1)], options)[0]
    return as_asked(*mean_and_error(gain, scores.weight), return_std)


def conditional_mutual_information(
    X: Any,
    Y: Any,
    Z: Any,
    *,
    estimator: Any = None,
    sample_weight: Any = None,
    cv: int = 5,
    n_jobs: int | None = None,
    random_state: Any = None,
    return_std: bool = False,
):
    """How much two blocks of columns tell about each other once a third is known, in nats.

    ``I(X; Y | Z) = I(X; (Y, Z)) - I(X; Z)``: zero where X and Y are independent given Z.

    Parameters
    ----------
    X : array-like of shape (n_rows, n_features_x) or (n_rows,)
        Numbers, finite; columns may be discrete.
    Y : array-like of shape (n_rows, n_features_y) or (n_rows,)
        The same rows.
    Z : array-like of shape (n_rows, n_features_z) or (n_rows,)
        The same rows.
    estimator : estimator, default=None
        As in `entropy`.
    sample_weight : array-like of shape (n_rows,), default=None
        Frequencies.
    cv : int, default=5
        Folds.
    n_jobs : int or None, default=None
        Folds fitted at a time.
    random_state : int, RandomState instance or None, default=None
    return_std : bool, default=False

    Returns
    -------
    conditional_mutual_information : float
        In nats; may be negative, within its error. X and Y may change places. Columns that are
        constant, a linear function of others of their block and of Z or a monotone one of another
        tell nothing beyond these, and are left out; where none is left of X or Y, it is 0.
    std : float
        Its standard error, if `return_std`: that of a mean over rows, which near independence is
        less than the error of the fits.

    Raises
    ------
    ValueError
        If a table, the weights or a parameter are not as described; the message names it.

    Notes
    -----
    ``log p(x, y, z) + log p(z) - log p(x, z) - log p(y, z)``, row by row, each as in
    `mutual_information`. If Z has too many values to be counted, and they repeat, ties broken
    at random hide which it was as far as the estimator fails to see the steps.

    References
    ----------
    Cover & Thomas (2006), Elements of Information Theory, 2nd edition, Wiley, section 2.5.

    Examples
    --------
    >>> import numpy as np
    >>> from skgauss.information import conditional_mutual_information
    >>> rng = np.random.default_rng(0)
    >>> Z = rng.normal(size=1000)  # what X and Y have in common
    >>> X, Y = Z + rng.normal(size=(2, 1000))
    >>> value, std = conditional_mutual_information(X, Y, Z, cv=2, random_state=0, return_std=True)
    >>> bool(abs(value) < 3 * std)
    True
    """
    options = Options(estimator, cv, n_jobs, random_state)
    blocks, weight = _validated_blocks({"X": X, "Y": Y, "Z": Z}, sample_weight)
    scores = normal_scores(blocks, weight, options, known=2)
    all_three, with_x, with_y = dependence(scores, [(0, 1, 2), (0, 2), (1, 2)], options)
    return as_asked(*mean_and_error(all_three - with_x - with_y, scores.weight), return_std)


def _validated_blocks(tables, sample_weight):
    """Blocks of columns of the same rows, by name, and the rows' weights."""
    blocks = {name: validate_table(table, name)[0] for name, table in tables.items()}
    for name, block in blocks.items():
        if len(block) != len(blocks["X"]):
            raise ValueError(
                f"X has {len(blocks['X'])} rows and {name} {len(block)}: blocks are columns of "
                "the same rows."
            )
    return list(blocks.values()), validate_table(tables["X"], "X", sample_weight)[1]
