"""madmom's ensemble of 8 bidirectional LSTMs, evaluated without madmom.

Each network: three bidirectional layers of 25 units each way with peephole connections, then a softmax over "no beat",
"beat" and "downbeat"; the activations are the mean over the networks. The projections of a layer's inputs are one
matrix product; what is left for each step in time is a 25 x 100 product that stays in the processor's first-level
cache, one file, network and direction at a time, so that nothing is padded or masked.

Source: S. Böck, F. Krebs, G. Widmer, "Joint beat and downbeat tracking with recurrent neural networks", ISMIR 2016;
F. Gers, N. Schraudolph, J. Schmidhuber, "Learning precise timing with LSTM recurrent networks", JMLR 2002 (peepholes).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from synctrack.jit import njit
from synctrack.metrics.beats.madmom.models import load_networks

GATES = ("input_gate", "forget_gate", "cell", "output_gate")
PEEPHOLE_GATES = ("input_gate", "forget_gate", "output_gate")
HIDDEN = 25


@dataclass(frozen=True)
class RecurrentLayer:
    """One layer of all networks: 2 directions of each, forward first. Gates in the order of GATES.

    Attributes:
        weights: (networks, inputs, 2 * 4 * HIDDEN).
        bias: (networks, 2, 4 * HIDDEN).
        recurrent: (networks, 2, HIDDEN, 4 * HIDDEN).
        peepholes: (networks, 2, 3, HIDDEN), gates in the order of PEEPHOLE_GATES.
    """

    weights: np.ndarray
    bias: np.ndarray
    recurrent: np.ndarray
    peepholes: np.ndarray


@dataclass(frozen=True)
class Ensemble:
    """All networks.

    Attributes:
        layers: the recurrent layers in order.
        output_weights: (networks, 2 * HIDDEN, 3).
        output_bias: (networks, 3).
    """

    layers: Sequence[RecurrentLayer]
    output_weights: np.ndarray
    output_bias: np.ndarray


def _stack_layer(layers: Sequence[Any]) -> RecurrentLayer:
    """The same bidirectional layer of every network, as one."""
    ways = [[layer.fwd_layer, layer.bwd_layer] for layer in layers]

    def gather(name: str, gates: Sequence[str]) -> np.ndarray:
        return np.array([[[getattr(getattr(way, gate), name) for gate in gates] for way in pair] for pair in ways])

    weights = gather("weights", GATES)
    networks, _, _, inputs, _ = weights.shape
    recurrent = gather("recurrent_weights", GATES).transpose(0, 1, 3, 2, 4)
    return RecurrentLayer(
        weights.transpose(0, 3, 1, 2, 4).reshape(networks, inputs, -1).astype(np.float32),
        gather("bias", GATES).reshape(networks, 2, -1).astype(np.float32),
        np.ascontiguousarray(recurrent.reshape(networks, 2, HIDDEN, -1), np.float32),
        gather("peephole_weights", PEEPHOLE_GATES).reshape(networks, 2, 3, HIDDEN).astype(np.float32),
    )


@cache
def load_ensemble() -> Ensemble:
    """madmom's trained networks, rearranged. Raises InputError where they are not installed."""
    networks = load_networks()
    recurrent = zip(*(network.layers[:-1] for network in networks), strict=True)
    outputs = [network.layers[-1] for network in networks]
    return Ensemble(
        [_stack_layer(layers) for layers in recurrent],
        np.array([output.weights for output in outputs], np.float32),
        np.array([output.bias.ravel() for output in outputs], np.float32),
    )


# In double precision, since the networks can magnify an error of single precision a thousand times.
@njit(fastmath=True, error_model="numpy", inline="always")
def _tanh(x):
    """Hyperbolic tangent, in multiplications and one division, so that it runs in vector lanes.

    Lambert's continued fraction to its fifth level at x/16, then four times tanh 2y = 2 tanh y / (1 + tanh² y), held as
    a fraction p/q.
    """
    y = min(max(np.float64(x), -18.0), 18.0) / 16.0
    s = y * y
    p = y * (1.0 + s * (1.0 / 9.0 + s / 945.0))
    q = 1.0 + s * (4.0 / 9.0 + s / 63.0)
    for _ in range(4):
        p, q = 2.0 * p * q, p * p + q * q
    return np.float32(p / q)


@njit(fastmath=True, error_model="numpy", inline="always")
def _sigmoid(x):
    return np.float32(0.5) + np.float32(0.5) * _tanh(np.float32(0.5) * x)


@njit(fastmath=True, error_model="numpy")
def _recur(projected, bias, recurrent, peepholes, backwards, out):
    """Run one direction of one network over projected inputs (frames, 4 * HIDDEN); writes out (frames, HIDDEN)."""
    frames = len(projected)
    hidden = np.zeros(HIDDEN, np.float32)
    state = np.zeros(HIDDEN, np.float32)
    z = np.empty(4 * HIDDEN, np.float32)
    for step in range(frames):
        frame = frames - 1 - step if backwards else step
        for j in range(4 * HIDDEN):
            z[j] = projected[frame, j] + bias[j]
        for k in range(HIDDEN):
            for j in range(4 * HIDDEN):
                z[j] += hidden[k] * recurrent[k, j]
        for u in range(HIDDEN):
            entering = _sigmoid(z[u] + peepholes[0, u] * state[u])
            kept = _sigmoid(z[HIDDEN + u] + peepholes[1, u] * state[u])
            state[u] = _tanh(z[2 * HIDDEN + u]) * entering + state[u] * kept
            leaving = _sigmoid(z[3 * HIDDEN + u] + peepholes[2, u] * state[u])
            hidden[u] = _tanh(state[u]) * leaving
        # Not within the loop above, which then runs in vector lanes, nor by a slice, which compiles for seconds.
        for u in range(HIDDEN):
            out[frame, u] = hidden[u]


@njit()
def _recur_both(projected, bias, recurrent, peepholes, out):
    """Both directions of one network: projected (frames, 2, 4 * HIDDEN), out (frames, 2, HIDDEN)."""
    for way in range(2):
        _recur(projected[:, way], bias[way], recurrent[way], peepholes[way], way == 1, out[:, way])


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def activations(inputs: np.ndarray) -> np.ndarray:
    """Activations of one file.

    Args:
        inputs: (frames, 314) float32 features.

    Returns:
        (frames, 2) float32: probabilities of beat and of downbeat, 100 frames per second.
    """
    ensemble = load_ensemble()
    total = np.zeros((len(inputs), 3), np.float32)
    for network in range(len(ensemble.output_bias)):
        x = inputs
        for layer in ensemble.layers:
            projected = (x @ layer.weights[network]).reshape(len(x), 2, -1)
            outputs = np.empty((len(x), 2, HIDDEN), np.float32)
            _recur_both(projected, layer.bias[network], layer.recurrent[network], layer.peepholes[network], outputs)
            x = outputs.reshape(len(x), -1)
        total += _softmax(x @ ensemble.output_weights[network] + ensemble.output_bias[network])
    return total[:, 1:] / len(ensemble.output_bias)
