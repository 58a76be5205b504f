"""One update of a flow: what it starts from."""

from __future__ import annotations

import numpy as np
import pytest

from skgauss.bijections import ActNorm, Permutation
from skgauss.training_step import Layout, start_state


def test_a_flow_with_nothing_to_train_is_refused():
    with pytest.raises(ValueError, match="trainable parameters, got a Permutation"):
        start_state(Permutation(np.arange(3)))


def test_a_state_of_another_flow_is_refused():
    state = start_state(ActNorm.init(2))
    with pytest.raises(ValueError, match=r"has 6 trainable parameters, .* is for 4"):
        Layout.of(ActNorm.init(3)).unflatten(state.params)
