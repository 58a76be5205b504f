"""
The layers of a Glow step
=========================

Between its couplings, a Glow step has two linear layers: an invertible 1x1 convolution, which
mixes the channels, and ActNorm, which normalises them. Neither is a rotation, so both have a
log-determinant; both are built so that it costs next to nothing. This example checks what they
promise, number by number, and then stacks 32 steps to see what the data-dependent start of
ActNorm is good for.
"""

# %%
import math
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

from skgauss.bijections import ActNorm, GlowStack, Invertible1x1Conv
from skgauss.display import LUDisplay

N_CHANNELS = 4
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
plt.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})

# %%
# 1. The invertible 1x1 convolution
# ---------------------------------
#
# A 1x1 convolution multiplies the channels by one matrix W, the same at every position. Where
# RealNVP permuted the channels, this mixes them, and it can be trained. W is kept as P L U: a
# fixed permutation, a unit lower triangular and an upper triangular factor. Then
# ``log|det W| = sum(log_diag_u)``, a sum of C numbers instead of a determinant.
#
# The layer is a frozen dataclass, so ``dataclasses.replace`` edits its parameters. Here it
# starts near the identity (P is the identity), and the diagonal of U is set by hand.
#
# Everything that is compared to machine precision runs in float64, through JAX's local context:
# the global flag stays as it is.


def largest_difference(a, b):
    """Compare in NumPy, which is in float64 wherever it stands."""
    return np.abs(np.asarray(a) - np.asarray(b)).max()


log_diag_u = [0.5, -0.3, 0.2, 0.1]
with jax.enable_x64(True):
    conv = Invertible1x1Conv.init(jax.random.key(0), N_CHANNELS, start="identity")
    conv = replace(conv, log_diag_u=jnp.array(log_diag_u))
    x = jax.random.normal(jax.random.key(1), (N_CHANNELS,))
    z, log_det = conv.transform_and_log_det(x)
    x_back, log_det_back = conv.inverse_and_log_det(z)
    dense = jnp.linalg.slogdet(conv.weight)[1]

print(f"log-det, as the layer gives it     {float(log_det):+.4f}")
print(f"sum of log_diag_u                  {sum(log_diag_u):+.4f}")
print(f"log|det W|, dense                  {float(dense):+.4f}")
print(f"log-det of the inverse             {float(log_det_back):+.4f}")
print(f"largest error of the round trip    {largest_difference(x_back, x):.1e}")

# %%
# A feature map of shape (C, H, W) goes in as it is. The layer applies W at every position and
# adds up the log-determinant itself.

with jax.enable_x64(True):
    feature_map = jax.random.normal(jax.random.key(2), (N_CHANNELS, 8, 8))
    mapped, total = conv.transform_and_log_det(feature_map)
    by_position = jnp.einsum("ij,jhw->ihw", conv.weight, feature_map)

print(f"8 x 8 map: total log-det           {float(total):.3f} = {float(log_det):.3f} x {8 * 8}")
print(f"largest difference from W x        {largest_difference(mapped, by_position):.1e}")


# %%
# These are the factors, as the layer holds them: first, the near-identity start; then Glow's own,
# which factorises a random rotation. There the pivoting needs a permutation, and P is shown too.

LUDisplay.from_layer(conv)
plt.show()

# %%
with jax.enable_x64(True):
    rotated = Invertible1x1Conv.init(jax.random.key(0), N_CHANNELS, start="rotation")
LUDisplay.from_layer(rotated)
plt.show()

# %%
# 2. Why factors: no step of training can make W singular
# -------------------------------------------------------
#
# Nothing keeps a matrix invertible that is trained entry by entry. In the factored form the
# diagonal of U is ``signs * exp(log_diag_u)``, and no finite value of a parameter makes it zero.
# Both are trained by 300 steps of Adam on the same objective, an arbitrary one, from the same W.


with jax.enable_x64(True):
    batch = jax.random.normal(jax.random.key(3), (2000, N_CHANNELS))
    batch = batch * jnp.array([3.0, 0.5, 2.0, 1.0])


def objective(weight):
    """Squared distance of the squared norms from the number of channels."""
    return jnp.mean((jnp.sum((batch @ weight.T) ** 2, axis=1) - N_CHANNELS) ** 2)


def train(start, weight_of, learning_rate, n_updates=300):
    """Return the trained parameters, and W after every update."""
    optimizer = optax.adam(learning_rate)

    def update(carry, _):
        params, state = carry
        gradient = jax.grad(lambda params: objective(weight_of(params)))(params)
        step, state = optimizer.update(gradient, state)
        params = optax.apply_updates(params, step)
        return (params, state), weight_of(params)

    run = jax.jit(lambda carry: jax.lax.scan(update, carry, None, length=n_updates))
    (params, _), weights = run((start, optimizer.init(start)))
    return params, np.asarray(weights)


RATES = (0.01, 0.03, 0.3)
with jax.enable_x64(True):
    start = Invertible1x1Conv.init(jax.random.key(0), N_CHANNELS, start="identity")
    factored = {rate: train(start, lambda layer: layer.weight, rate) for rate in RATES}
    raw_matrix = {rate: train(start.weight, lambda weight: weight, rate) for rate in RATES}
    trained, weights = factored[RATES[0]]
    first_row = batch[0]
    z, log_det = trained.transform_and_log_det(first_row)
    x_back = trained.inverse(z)
    dense = jnp.linalg.slogdet(trained.weight)[1]
determinants = np.linalg.det(weights)

print(f"after 300 updates at learning rate {RATES[0]}")
print(f"  log-det, as the layer gives it   {float(log_det):+.4f}")
print(f"  log|det W|, dense                {float(dense):+.4f}")
print(f"  largest error of the round trip  {largest_difference(x_back, first_row):.1e}")
print(f"  det W                            {determinants[-1]:+.4f}")
print(f"  smallest |det W| on the way      {np.abs(determinants).min():+.4f}")

# %%
# Next to the raw matrix, the determinant and the condition number of W after every update:

print("rate   weight     det W at end   smallest |det|   sign changes   condition: end, worst")
for rate in RATES:
    for name, runs in (("P L U", factored), ("raw", raw_matrix)):
        det, condition = np.linalg.det(runs[rate][1]), np.linalg.cond(runs[rate][1])
        n_crossings = np.count_nonzero(np.diff(np.sign(det)))
        print(
            f"{rate:<6} {name:<8} {det[-1]:+14.2e} {np.abs(det).min():16.1e} {n_crossings:14d}"
            f" {condition[-1]:16.1f} {condition.max():7.0f}"
        )

# %%
# Two things are worth seeing. A raw matrix need not go wrong: with small steps it may well stay
# on its side of zero, and it has more ways to the optimum. But nothing forbids it to cross, and
# a sign change in the table is a moment at which the map had no inverse. The factored matrix
# has no sign change at any learning rate, by construction. What the construction does *not*
# promise is a good condition number: with steps that are far too large it stays invertible in
# name while its determinant shrinks by orders of magnitude.

fig, axes = plt.subplots(2, 3, figsize=(11, 5.6), sharex=True, sharey="row", layout="constrained")
for rate, column in zip(RATES, axes.T, strict=True):
    for name, runs, style in (
        ("P L U", factored, {"color": BLUE}),
        ("raw matrix", raw_matrix, {"color": ORANGE, "linestyle": "--"}),
    ):
        updates = np.arange(1, 301)
        column[0].plot(updates, np.linalg.det(runs[rate][1]), label=name, **style)
        column[1].semilogy(updates, np.linalg.cond(runs[rate][1]), label=name, **style)
    column[0].axhline(0, color="0.6", linewidth=0.8, zorder=0)
    column[0].set(title=f"learning rate {rate}")
    column[1].set(xlabel="update")
axes[0, 0].set(ylabel="det W")
axes[1, 0].set(ylabel="condition number of W")
axes[0, 0].legend(frameon=False)
plt.show()

# %%
# 3. ActNorm, started from the data
# ---------------------------------
#
# ``z = (x - loc) / scale`` per channel, with ``scale = softplus(log_scale) + 1e-5``. A fresh
# layer has ``log_scale = 0``: it divides by about 0.69, whatever the data. `from_data` starts
# from the mean and standard deviation of a batch instead.

with jax.enable_x64(True):
    spread, shift = jnp.array([3.0, 0.5, 2.0, 1.0]), jnp.array([5.0, -2.0, 0.0, 1.0])
    raw = jax.random.normal(jax.random.key(4), (2000, N_CHANNELS)) * spread + shift
    by_default = jax.vmap(ActNorm.init(N_CHANNELS).transform)(raw)
    from_data = jax.vmap(ActNorm.from_data(raw).transform)(raw)
raw, by_default, from_data = map(np.asarray, (raw, by_default, from_data))


def per_channel(values):
    """Format one number per channel; adding 0 turns a rounded -0 into 0."""
    return " ".join(f"{value:6.2f}" for value in np.round(values, 2) + 0.0)


print("                       mean per channel               std per channel")
for name, values in (("raw batch", raw), ("default", by_default), ("from_data", from_data)):
    print(f"{name:<18} {per_channel(values.mean(0))}   {per_channel(values.std(0))}")

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharey=True, layout="constrained")
for axis, values in zip(axes, (raw, from_data), strict=True):
    for channel, colour in enumerate((BLUE, ORANGE, GREEN, PINK)):
        axis.hist(
            values[:, channel],
            bins=np.linspace(values.min(), values.max(), 60),
            density=True,
            histtype="stepfilled",
            facecolor=(colour, 0.25),
            edgecolor=colour,
            label=f"channel {channel}",
        )
grid = np.linspace(-4, 4, 200)
axes[1].plot(grid, np.exp(-(grid**2) / 2) / math.sqrt(2 * math.pi), "k--", label="N(0, 1)")
axes[0].set(title="before", xlabel="value", ylabel="density")
axes[1].set(title="after ActNorm.from_data", xlabel="value")
for axis in axes:
    axis.legend(frameon=False)
plt.show()

# %%
# 4. A stack of 32 steps, with and without the data
# -------------------------------------------------
#
# A Glow step is ActNorm, then the convolution, then a coupling, which does the nonlinear work.
# Thirty-two of them are stacked twice over. The first stack is built by `GlowStack.from_data`,
# every ActNorm from the activations that reach it; the second knows nothing of the data, and
# each of its ActNorms divides by 0.69: together, by 0.69 to the power of 32.
#
# The batch is the one above with two channels bent, so that there is something to learn beyond
# scales. The bends leave volumes as they are, so the true log-density is known.

standard = (raw - np.asarray(shift)) / np.asarray(spread)
bent = raw.copy()
bent[:, 1] += 0.5 * (standard[:, 0] ** 2 - 1)
bent[:, 3] += np.sin(2 * standard[:, 2])
bent = bent.astype(np.float32)
log_density = -0.5 * np.sum(standard**2 + math.log(2 * math.pi), axis=1)
truth = np.mean(log_density - np.sum(np.log(np.asarray(spread))))


@partial(jax.jit, static_argnames=("optimizer", "n_updates"))
def climb(stack, optimizer, n_updates=200):
    """Maximise the likelihood, and return it before every update."""

    def loss(stack):
        return -jnp.mean(jax.vmap(stack.log_density)(bent))

    def update(carry, _):
        stack, state = carry
        value, gradient = jax.value_and_grad(loss)(stack)
        step, state = optimizer.update(gradient, state)
        return (optax.apply_updates(stack, step), state), -value

    return jax.lax.scan(update, (stack, optimizer.init(stack)), None, length=n_updates)[1]


steps = {"n_steps": 32, "coupling": "affine", "coupling_kwargs": {"hidden_layer_sizes": (32,)}}
stacks = {
    "from the data": GlowStack.from_data(jax.random.key(0), bent, **steps),
    "without data": GlowStack.init(jax.random.key(0), N_CHANNELS, **steps),
}
adam = optax.adam(1e-3)
clipped = "Adam, gradients clipped"
optimizers = {
    "Adam": adam,
    clipped: optax.chain(optax.clip_by_global_norm(10.0), adam),
}
curves = {
    (start, name): np.asarray(climb(stack, optimizer))
    for name, optimizer in optimizers.items()
    for start, stack in stacks.items()
}

shown = (0, 1, 5, 10, 20, 50, 100, 199)
print("mean log-likelihood in nats, before update")
print(" " * 40 + "".join(f"{i:>11d}" for i in shown))
for (start, name), curve in curves.items():
    print(f"{start + ', ' + name:<40}" + "".join(f"{curve[i]:>11.4g}" for i in shown))
print(f"{'the true density':<40}{truth:>11.4g}")
behind = curves["from the data", clipped][0] - curves["without data", clipped][-1]
print(f"\nwithout data, clipped, before the last update: {abs(behind):.2f} nats", end=" ")
print("below" if behind > 0 else "above", "where the other stack began")

# %%
# Does the start decide whether the stack trains at all? The table answers in degrees. Without
# the data the log-likelihood begins many orders of magnitude below. It does not become
# infinite: the couplings bound their log-scales, and the logarithm of a determinant is a sum.
# Plain Adam then hardly recovers, because its average of squared gradients remembers the first,
# gigantic ones, and every later step is small beside them. Clipping the gradients to a common
# norm removes that memory, and saves the stack; but it spends its updates on scales that the
# other one had before the first of them (the last line printed says how far it got).
#
# (The likelihood is that of the 2000 rows trained on, so that it may rise above that of the
# true density: 32 steps can memorise. The estimator holds rows out and stops in time.)

fig, axes = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
for axis, name in zip(axes, optimizers, strict=True):
    for start, style in (
        ("from the data", {"color": BLUE}),
        ("without data", {"color": ORANGE, "linestyle": "--"}),
    ):
        axis.plot(curves[start, name], label=start, **style)
    axis.axhline(truth, color="0.5", linewidth=1, linestyle=":", label="the true density")
    axis.set_yscale("symlog", linthresh=10)
    axis.set(title=name, xlabel="update")
axes[0].set(ylabel="mean log-likelihood (nats)")
axes[0].set_yticks([-(10.0**k) for k in (11, 9, 7, 5, 3, 1)])
axes[0].legend(frameon=False, loc="lower right")
fig.suptitle("32 Glow steps: the first updates, by how ActNorm starts")
plt.show()

# %%
# In short
# --------
#
# ===================  =======================  ===================  =========================
# layer                map                      log-determinant      kept valid by
# ===================  =======================  ===================  =========================
# `Invertible1x1Conv`  ``W x``, W = P L U       ``sum(log_diag_u)``  exponentiated diagonal of U
# `ActNorm`            ``(x - loc) / scale``    ``-sum(log scale)``  softplus and a floor
# rotations            ``Q x``, Q orthogonal    0                    orthogonal by construction
# ===================  =======================  ===================  =========================
#
# Log-determinants hold at one position; a feature map has H times W of them, added up by the
# layer. `GlowStep` and `GlowGaussianizer` take any of these mixers in the same place.
