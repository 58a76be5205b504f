"""Write the inventories that intersphinx reads: ``python docs/_inventories/write_inventories.py``.

They hold the names that our pages and examples link to, and nothing else, so that the site can
be built without a network. Each line says where a project's documentation has a name's page; `{}`
stands for the name. To link to another name, add it here, run the script, and commit what it
writes.
"""

import zlib
from pathlib import Path

SKLEARN = "modules/generated/{}.html#{}"
NUMPY = "reference/generated/{}.html#{}"
JAX = "_autosummary/{}.html#{}"
MATPLOTLIB = "api/_as_gen/{}.html#{}"

PROJECTS = {
    "python": {
        ("py:module", "library/{}.html#module-{}"): "dataclasses pickle warnings",
        ("py:class", "library/functions.html#{}"): "float int list tuple",
        ("py:exception", "library/exceptions.html#{}"): (
            "ImportError KeyboardInterrupt TypeError UserWarning ValueError Warning"
        ),
        ("py:function", "library/dataclasses.html#{}"): "dataclasses.replace",
    },
    "numpy": {
        ("py:class", NUMPY): "numpy.ndarray",
        ("py:class", "reference/arrays.scalars.html#{}"): "numpy.float32",
        ("py:class", "reference/random/generator.html#{}"): "numpy.random.Generator",
        ("py:function", "reference/random/generator.html#{}"): "numpy.random.default_rng",
        ("py:function", NUMPY): (
            "numpy.argsort numpy.array numpy.asarray numpy.column_stack numpy.exp numpy.linspace "
            "numpy.log numpy.mean numpy.median numpy.quantile numpy.sort numpy.sqrt numpy.sum"
        ),
    },
    "scipy": {
        ("py:function", NUMPY): "scipy.stats.kstest scipy.stats.spearmanr scipy.stats.zscore",
    },
    "sklearn": {
        ("py:class", SKLEARN): (
            "sklearn.base.BaseEstimator sklearn.compose.ColumnTransformer "
            "sklearn.covariance.EllipticEnvelope sklearn.ensemble.IsolationForest "
            "sklearn.impute.SimpleImputer sklearn.linear_model.LogisticRegression "
            "sklearn.mixture.GaussianMixture sklearn.model_selection.GridSearchCV "
            "sklearn.neighbors.KernelDensity sklearn.neighbors.LocalOutlierFactor "
            "sklearn.pipeline.Pipeline sklearn.preprocessing.OneHotEncoder "
            "sklearn.preprocessing.OrdinalEncoder sklearn.preprocessing.PowerTransformer "
            "sklearn.preprocessing.QuantileTransformer sklearn.preprocessing.StandardScaler "
            "sklearn.utils.metadata_routing.MetadataRequest"
        ),
        ("py:function", SKLEARN): (
            "sklearn.base.clone sklearn.compose.make_column_selector "
            "sklearn.compose.make_column_transformer sklearn.datasets.fetch_california_housing "
            "sklearn.datasets.load_breast_cancer sklearn.datasets.load_iris "
            "sklearn.datasets.load_wine sklearn.datasets.make_moons "
            "sklearn.feature_selection.mutual_info_regression "
            "sklearn.model_selection.cross_val_score sklearn.model_selection.cross_validate "
            "sklearn.model_selection.train_test_split sklearn.pipeline.make_pipeline "
            "sklearn.set_config"
        ),
        ("py:exception", SKLEARN): "sklearn.exceptions.ConvergenceWarning",
    },
    "jax": {
        ("py:function", JAX): (
            "jax.enable_x64 jax.grad jax.jit jax.lax.scan jax.numpy.asarray jax.random.key "
            "jax.random.normal jax.value_and_grad jax.vmap"
        ),
    },
    "pandas": {
        ("py:class", "reference/api/{}.html#{}"): "pandas.DataFrame",
        ("py:function", "reference/api/{}.html#{}"): "pandas.read_csv",
    },
    "matplotlib": {
        ("py:function", MATPLOTLIB): "matplotlib.pyplot.show matplotlib.pyplot.subplots",
    },
}


def inventory(project, contents):
    """Return the bytes of an inventory of version 2."""
    head = (
        f"# Sphinx inventory version 2\n# Project: {project}\n# Version: \n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    lines = [
        f"{name} {kind} 1 {place.replace('{}', name)} -\n"
        for (kind, place), names in contents.items()
        for name in names.split()
    ]
    return head.encode() + zlib.compress("".join(sorted(lines)).encode(), 9)


if __name__ == "__main__":
    for project, contents in PROJECTS.items():
        Path(__file__).with_name(f"{project}.inv").write_bytes(inventory(project, contents))
