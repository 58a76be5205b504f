"""Pictures of what an estimator has learned, in the style of scikit-learn's Display classes.

They need matplotlib, which ``pip install "skgauss[plot]"`` brings; it is imported when a display
is drawn. The colours can be told apart by the colour-blind (Okabe & Ito).
"""

from skgauss.display.anomaly import AnomalyDisplay
from skgauss.display.convergence import ConvergenceDisplay
from skgauss.display.density import DensityDisplay
from skgauss.display.gaussianization import GaussianizationDisplay
from skgauss.display.lu import LUDisplay

__all__ = [
    "AnomalyDisplay",
    "ConvergenceDisplay",
    "DensityDisplay",
    "GaussianizationDisplay",
    "LUDisplay",
]
