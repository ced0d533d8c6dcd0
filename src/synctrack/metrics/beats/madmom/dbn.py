"""Exact decoding of beat activations: madmom's dynamic Bayesian network, searched over beat boundaries alone.

States are (beat of the bar, tempo, position inside the beat). Inside a beat the position moves on by one frame with
probability 1; only at the beat's end is there a choice, of the next tempo. So nothing is compared inside a beat: the
running log probabilities of all the beats under way lie in ring buffers, one per beat of the bar and tempo, to which
each frame adds its log density, and only beat starts are maximised over and remembered. The additions follow the
order of the full Viterbi recursion, so that path and log probability equal madmom's to the last bit, ties included.

Source: F. Krebs, S. Böck, G. Widmer, "An efficient state space model for joint tempo and meter tracking", ISMIR 2015;
S. Böck, F. Krebs, G. Widmer, "Joint beat and downbeat tracking with recurrent neural networks", ISMIR 2016.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from synctrack.jit import njit

BEATS_PER_BAR = (3, 4)
MIN_BPM, MAX_BPM = 30.0, 300.0
NUM_TEMPI = 60
TRANSITION_LAMBDA = 100.0
OBSERVATION_LAMBDA = 16
THRESHOLD = 0.05
# No tempo has more successors than this; a constant, so that the loop over them is unrolled.
BAND = 24


@dataclass(frozen=True)
class BarModel:
    """State space and transitions of bars of `num_beats` beats.

    Attributes:
        num_beats: beats of the bar.
        inter_beat_intervals: (tempi,) int, lengths of a beat in frames, ascending.
        onset_widths: (tempi,) int, how many positions from the start of a beat count as "on the beat".
        first_successors: (tempi,) int, the first tempo that can follow each.
        log_transitions: (tempi, BAND), to the first successor and the tempi after it; -inf where there is none.
    """

    num_beats: int
    inter_beat_intervals: np.ndarray
    onset_widths: np.ndarray
    first_successors: np.ndarray
    log_transitions: np.ndarray

    @property
    def num_states(self) -> int:
        return self.num_beats * int(self.inter_beat_intervals.sum())


def tempo_intervals(fps: float) -> np.ndarray:
    """At least NUM_TEMPI beat lengths in whole frames, spaced logarithmically from MAX_BPM to MIN_BPM."""
    shortest, longest = 60.0 * fps / MAX_BPM, 60.0 * fps / MIN_BPM
    count = NUM_TEMPI
    while True:
        intervals = np.unique(np.round(np.logspace(np.log2(shortest), np.log2(longest), count, base=2)))
        if len(intervals) >= NUM_TEMPI:
            return intervals.astype(np.int64)
        count += 1


@cache
def bar_model(num_beats: int, fps: float) -> BarModel:
    """The model for bars of `num_beats` beats at `fps` activations per second."""
    intervals = tempo_intervals(fps)
    ratio = intervals[None, :] / intervals[:, None].astype(float)
    probability = np.exp(-TRANSITION_LAMBDA * abs(ratio - 1.0))
    probability[probability <= np.spacing(1)] = 0
    probability /= probability.sum(axis=1)[:, None]
    first = (probability > 0).argmax(axis=1)
    padded = np.pad(probability, [(0, 0), (0, BAND)])
    with np.errstate(divide="ignore"):
        banded = np.log(np.array([row[begin : begin + BAND] for row, begin in zip(padded, first, strict=True)]))
    # Counted from rounded positions, since madmom's are rounded as well.
    widths = [np.sum(np.linspace(0, 1, length, endpoint=False) < 1 / OBSERVATION_LAMBDA) for length in intervals]
    return BarModel(num_beats, intervals, np.array(widths), first, banded)


def log_densities(activations: np.ndarray) -> np.ndarray:
    """Log densities (frames, 3) of no beat, beat and downbeat for activations (frames, 2) of beat and downbeat."""
    densities = np.empty((len(activations), 3))
    with np.errstate(divide="ignore", invalid="ignore"):
        densities[:, 0] = np.log((1.0 - np.sum(activations, axis=1)) / (OBSERVATION_LAMBDA - 1))
        densities[:, 1] = np.log(activations[:, 0])
        densities[:, 2] = np.log(activations[:, 1])
    # Rounding can take the sum of the activations above 1; madmom's comparisons then never choose the state.
    return np.where(np.isnan(densities), -np.inf, densities)


@njit(inline="always")
def _add_everywhere(slots, addend):
    flat = slots.reshape(-1)
    for i in range(len(flat)):
        flat[i] += addend


@njit(inline="always")
def _add_by_beat(slots, addends):
    for slot in range(len(slots)):
        for beat in range(len(addends)):
            slots[slot, beat] += addends[beat]


@njit(inline="always")
def _advance(ring, head, onset_width, on_beat, off_beat):
    """Add their log densities to the beats under way in a ring, but for the slot `head`, where others start.

    The beats of the last `onset_width` - 1 frames lie in the slots before `head` and are still on the beat.
    """
    onset = head - onset_width + 1
    if onset >= 0:
        _add_everywhere(ring[:onset], off_beat)
        _add_by_beat(ring[onset:head], on_beat)
        _add_everywhere(ring[head + 1 :], off_beat)
    else:
        _add_by_beat(ring[:head], on_beat)
        _add_everywhere(ring[head + 1 : onset + len(ring)], off_beat)
        _add_by_beat(ring[onset + len(ring) :], on_beat)


@njit(inline="always")
def _follow(ended, log_transitions, density, before, best, origin):
    """Let the beat that ended at tempo `before` be followed by others, where that is the best so far."""
    for i in range(BAND):
        candidate = ended + log_transitions[i] + density
        better = candidate > best[i]
        best[i] = candidate if better else best[i]
        origin[i] = before if better else origin[i]


@njit()
def _search(densities, offsets, onset_widths, first_successors, log_transitions, rings, origins):
    """Fill `rings` with the log probabilities of the last frame and `origins` with the choices at each beat start.

    The slot of position k at frame t is (t - k) mod length: a beat keeps its slot from its first frame to its last,
    and the slot of a beat that has just ended is the one that the beat starting now takes.
    """
    num_tempi, num_beats = len(onset_widths), rings.shape[1]
    heads = np.zeros(num_tempi, np.int64)
    on_beat = np.empty(num_beats)
    best = np.empty((num_beats, num_tempi + BAND))
    for frame in range(len(densities)):
        for beat in range(num_beats):
            on_beat[beat] = densities[frame, 1 if beat > 0 else 2]
            for tempo in range(best.shape[1]):
                best[beat, tempo] = -np.inf
        for before in range(num_tempi):
            first = first_successors[before]
            for beat in range(num_beats):
                ended = rings[offsets[before] + heads[before], beat - 1 if beat > 0 else num_beats - 1]
                choices = origins[frame, beat, first : first + BAND]
                _follow(
                    ended, log_transitions[before], on_beat[beat], before, best[beat, first : first + BAND], choices
                )
        for tempo in range(num_tempi):
            ring = rings[offsets[tempo] : offsets[tempo + 1]]
            _advance(ring, heads[tempo], onset_widths[tempo], on_beat, densities[frame, 0])
            for beat in range(num_beats):
                ring[heads[tempo], beat] = best[beat, tempo]
            heads[tempo] = heads[tempo] + 1 if heads[tempo] + 1 < len(ring) else 0


@njit()
def _trace(offsets, rings, origins, path):
    """Write the best state of every frame to `path`; returns the log probability (-inf: there is no path)."""
    num_frames, num_tempi, num_beats = len(path), len(offsets) - 1, rings.shape[1]
    best = -np.inf
    beat = tempo = position = 0
    for b in range(num_beats):
        for i in range(num_tempi):
            length = offsets[i + 1] - offsets[i]
            for k in range(length):
                value = rings[offsets[i] + (num_frames - 1 - k) % length, b]
                if value > best:
                    best, beat, tempo, position = value, b, i, k
    for frame in range(num_frames - 1, -1, -1):
        path[frame] = beat * offsets[num_tempi] + offsets[tempo] + position
        if position > 0:
            position -= 1
        else:
            tempo = origins[frame, beat, tempo]
            beat = (beat - 1) % num_beats
            position = offsets[tempo + 1] - offsets[tempo] - 1
    return best


def best_path(activations: np.ndarray, model: BarModel) -> tuple[np.ndarray, float]:
    """The most probable state path.

    Args:
        activations: (frames, 2) probabilities of beat and downbeat, at least one frame.
        model: bars to decode into.

    Returns:
        State of every frame, numbered as madmom's BarStateSpace does (by beat, then tempo, then position), and the
        log probability of the path; an empty path and -inf where no path is possible.
    """
    intervals = model.inter_beat_intervals
    rings = np.full((intervals.sum(), model.num_beats), np.log(np.float64(1.0) / model.num_states))
    origins = np.zeros((len(activations), model.num_beats, len(intervals) + BAND), np.uint8)
    path = np.empty(len(activations), np.int64)
    densities = log_densities(activations)
    offsets = np.concatenate([[0], np.cumsum(intervals)])
    _search(densities, offsets, model.onset_widths, model.first_successors, model.log_transitions, rings, origins)
    log_probability = _trace(offsets, rings, origins, path)
    return (path, log_probability) if np.isfinite(log_probability) else (path[:0], log_probability)


def _on_beat(path: np.ndarray, model: BarModel) -> np.ndarray:
    """Whether each state of the path lies within the first sixteenth of its beat."""
    lengths = model.inter_beat_intervals
    offsets = np.cumsum(lengths) - lengths
    within = path % lengths.sum()
    tempo = np.searchsorted(offsets, within, side="right") - 1
    return within - offsets[tempo] < model.onset_widths[tempo]


def decode_bars(activations: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Beat times and places in the bar from activations, as madmom's DBNDownBeatTrackingProcessor gives them.

    Args:
        activations: (frames, 2) probabilities of beat and downbeat.
        fps: frames per second that the decoder is told; times and tempo limits follow from it.

    Returns:
        (beats,) ascending times in seconds, of every beat of the best path the frame of its highest activation; and
        (beats,) int, the number of each beat in its bar, 1 for a downbeat.
    """
    above = np.nonzero(activations >= THRESHOLD)[0]
    # madmom takes frame 0 alone for no activation at all.
    if not above.any():
        return np.empty(0), np.empty(0, np.int64)
    first, last = above.min(), above.max() + 1
    activations = activations[first:last]
    models = [bar_model(num_beats, fps) for num_beats in BEATS_PER_BAR]
    paths = [best_path(activations, model) for model in models]
    best = int(np.argmax([log_probability for _, log_probability in paths]))
    path, model = paths[best][0], models[best]
    edges = np.flatnonzero(np.diff(_on_beat(path, model), prepend=False, append=False))
    frames = np.array([np.argmax(activations[a:b]) // 2 + a for a, b in edges.reshape(-1, 2)], np.int64)
    return (frames + first) / fps, path[frames] // model.inter_beat_intervals.sum() + 1


def decode_beats(activations: np.ndarray, fps: float) -> np.ndarray:
    """The beat times of `decode_bars`: (beats,) seconds."""
    return decode_bars(activations, fps)[0]
