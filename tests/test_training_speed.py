"""What makes training fast on a GPU, tested on the CPU: no hidden waits, EMA weights elsewhere, a compiled U-Net."""

import shutil
import traceback
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch.distributed.utils import _to_kwargs

from helpers.commands import ROOT, run_here
from helpers.latent_store import FROM_STORE, KEYS, TRAIN_CONFIG, config_with
from helpers.runs import logged
from helpers.small_model import STEMS, awaken, small_config
from synctrack.data.datamodule import StemDataModule
from synctrack.devices import use_tf32
from synctrack.errors import InputError
from synctrack.models.unet import UNet
from synctrack.training import acceleration
from synctrack.training.acceleration import adamw, fit_to_machine, require_compiler
from synctrack.training.ema import EMA

READS = ("item", "tolist", "cpu", "numpy", "__float__", "__int__", "__bool__", "__index__", "__array__")
"""Methods of a tensor that would wait for a GPU."""
ON_CPU = {
    ("synctrack/data/datamodule.py", "numpy"),
    ("synctrack/training/ema.py", "item"),
}
"""Reads of tensors that are on the CPU whatever the device: of a batch's `index` and `epoch`, as the loader gives them,
and of the number of EMA updates; see the tests of both below."""


class Reads(pl.Callback):
    """Counts, by optimiser step, the reads of tensors: (module, method) -> number."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.by_step: dict[int, Counter] = {}
        self.now: Counter | None = None
        for name in READS:
            patch.setattr(torch.Tensor, name, self.counted(name, getattr(torch.Tensor, name)))

    def counted(self, name, method):
        def read(tensor, *arguments, **options):
            if self.now is not None:
                frames = [frame.filename for frame in traceback.extract_stack()[:-1]]
                *_, caller = [frame for frame in frames if "test_training_speed" not in frame]
                # AdamW reads its own step, which is on the CPU, or on a GPU is not read by its fused kernels.
                if "torch/optim" not in caller:
                    self.now[caller.partition("site-packages/")[2] or caller.partition("src/")[2], name] += 1
            return method(tensor, *arguments, **options)

        return read

    def on_train_batch_start(self, trainer: pl.Trainer, *_: object) -> None:
        self.now = self.by_step.setdefault(trainer.global_step, Counter())

    def on_train_end(self, *_: object) -> None:
        self.now = None


@pytest.fixture
def train(store_copy):
    """Run train_synctrack.py on the small model with more keys; gives the run folder."""

    def train_with(name: str, *keys: str) -> Path:
        run_here(store_copy, "train_synctrack.py", "--config", TRAIN_CONFIG, *KEYS, f"run_dir={name}", *keys)
        return store_copy / name

    return train_with


def last(run: Path) -> dict:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)


@pytest.mark.medium
def test_a_training_step_reads_no_tensor_before_the_interval_of_logging(train, monkeypatch):
    reads = Reads(monkeypatch)
    build = pl.Trainer.__init__
    monkeypatch.setattr(
        pl.Trainer, "__init__", lambda self, **how: build(self, **how | {"callbacks": [*how["callbacks"], reads]})
    )
    keys = ["trainer.max_steps=10", "trainer.log_every_n_steps=5", "trainer.gradient_clip_val=1.0"]
    conditions = "model.params.conditioning={context: true, signals: [mix]}"
    # An epoch of twelve batches, at whose end the progress bar is drawn.
    train("read", conditions, "data.params.path.valid_data=null", "data.params.batch_size=1", *keys)
    assert set(reads.by_step) == set(range(10))
    quiet = [step for step in range(10) if (step + 1) % 5]
    for step in quiet:
        assert {read for read in reads.by_step[step] if read not in ON_CPU} == set(), f"step {step}"
    # The counter counts: the loss is read where it is logged and shown.
    assert {read for step in (4, 9) for read in reads.by_step[step] if read not in ON_CPU}


def test_a_batchs_index_and_epoch_are_arrays_which_ddp_moves_nowhere():
    batch = {"index": torch.arange(2), "epoch": torch.zeros(2), "waveform": torch.zeros(2, 4, 8), "name": ["a", "b"]}
    moved = StemDataModule(config_with()).transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert moved["waveform"].device.type == "meta"
    assert {name for name, value in moved.items() if isinstance(value, np.ndarray)} == {"index", "epoch"}
    (passed,), _ = _to_kwargs((moved,), {}, torch.device("meta"), False)
    assert all(passed[0][name] is moved[name] for name in ("index", "epoch"))


def test_ema_weights_follow_a_device_but_neither_a_type_nor_does_the_count_of_updates():
    holder = torch.nn.ModuleList([EMA(torch.nn.Linear(3, 3), 0.9)])
    holder.to(torch.bfloat16)
    assert {p.dtype for p in holder[0].module.parameters()} == {torch.float32}
    holder.to("meta")
    assert {p.device.type for p in holder[0].module.parameters()} == {"meta"}
    assert holder[0].num_updates.device.type == "cpu"


def test_ema_weights_on_the_cpu_stay_there():
    ema = EMA(torch.nn.Linear(3, 3), 0.9, on_cpu=True).to("meta")
    assert {p.device.type for p in ema.module.parameters()} == {"cpu"}
    assert ema.module_on(torch.device("cpu")) is ema.module
    copy = ema.module_on(torch.device("meta"))
    assert {p.device.type for p in copy.parameters()} == {"meta"}
    assert {p.device.type for p in ema.module.parameters()} == {"cpu"}


def test_ema_of_bfloat16_weights_is_computed_in_float32():
    ours, by_hand = torch.nn.Linear(3, 3), torch.nn.Linear(3, 3)
    by_hand.load_state_dict(ours.state_dict())
    ema, reference = EMA(ours, 0.9), EMA(by_hand, 0.9)
    with torch.no_grad():
        for module in (ours, by_hand):
            module.weight.fill_(1 / 3)
    ours.to(torch.bfloat16)
    by_hand.to(torch.bfloat16).to(torch.float32)
    for _ in range(3):
        ema.update(ours)
        reference.update(by_hand)
    assert torch.equal(ema.module.weight, reference.module.weight)


@pytest.mark.medium
def test_ema_on_the_cpu_trains_the_same_weights(train):
    keys = ["validation={clips: 1, steps: 1}"]
    one, other = train("beside", *keys, FROM_STORE), train("cpu", *keys, FROM_STORE, "trainer.ema_device=cpu")
    first, second = last(one)["state_dict"], last(other)["state_dict"]
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.slow
def test_memory_formats_give_the_same_losses_and_each_resumes_the_other(train):
    nhwc = train("nhwc", FROM_STORE, "trainer.max_steps=4")
    nchw = train("mixed", FROM_STORE, "trainer.max_steps=2", "trainer.channels_last=false")
    weights = last(nchw)["state_dict"]
    assert all(weight.is_contiguous() for name, weight in weights.items() if weight.dim() == 4)
    train("mixed", FROM_STORE, "trainer.max_steps=4", "trainer.resume=last")
    losses = [logged(run, "train/loss") for run in (nhwc, nchw)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    state = last(nchw)["optimizer_states"][0]["state"]
    assert any(not s["exp_avg"].is_contiguous() for s in state.values() if s["exp_avg"].dim() == 4)


def test_states_of_a_resumed_optimiser_fit_the_weights_and_the_fused_kernels():
    weight = torch.nn.Parameter(torch.randn(4, 4, 3, 3))
    optimizer = adamw([weight], torch.device("cpu"), "bf16-mixed", lr=0.1)
    weight.square().sum().backward()
    optimizer.step()
    before = optimizer.state[weight]["exp_avg"].clone()
    weight.data = weight.data.to(memory_format=torch.channels_last)
    fit_to_machine(optimizer, fused=True)
    state = optimizer.state[weight]
    assert torch.equal(state["exp_avg"], before)
    assert state["exp_avg"].stride() == state["exp_avg_sq"].stride() == weight.stride()
    assert optimizer.param_groups[0]["fused"] is True
    optimizer.step()
    assert state["step"] == 2


@pytest.mark.parametrize(
    ("device", "precision", "fused"),
    [("cpu", "32-true", None), ("cuda", "32-true", True), ("cuda", "bf16-mixed", True), ("cuda", "16-mixed", None)],
)
def test_adamw_is_fused_on_a_gpu_unless_gradients_are_scaled(monkeypatch, device, precision, fused):
    given = {}
    monkeypatch.setattr(torch.optim, "AdamW", lambda weights, **how: given.update(how))
    adamw([], torch.device(device), precision, lr=1.0)
    assert given == {"fused": fused, "lr": 1.0}


def test_fused_adamw_steps_as_the_plain_one():
    weights = [torch.nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4)) for _ in range(2)]
    for weight, fused in zip(weights, (None, True), strict=True):
        optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.01, fused=fused)
        for _ in range(5):
            optimizer.zero_grad()
            weight.sin().sum().backward()
            optimizer.step()
    torch.testing.assert_close(*weights, rtol=1e-6, atol=1e-6)


def test_tf32_is_a_switch_for_products_and_convolutions():
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        for on in (True, False):
            use_tf32(on)
            assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (on, on)
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def test_a_missing_compiler_or_triton_is_one_line(monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match=r"^trainer\.compile: needs a C\+\+ compiler; .* trainer\.compile=false$"):
        require_compiler(torch.device("cpu"))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(acceleration.importlib.util, "find_spec", lambda name: None)
    require_compiler(torch.device("cpu"))
    with pytest.raises(InputError, match=r"^trainer\.compile: needs triton on a GPU"):
        require_compiler(torch.device("cuda"))


@pytest.mark.parametrize("key", ["compile=true", "channels_last=false", "ema_device=cpu"])
def test_switches_of_the_unet_are_refused_for_a_first_stage(fail, key):
    line = fail("train_first_stage.py", "--config", ROOT / "config" / "vae_train.yaml", f"trainer.{key}")
    assert "compile, channels_last and ema_device are of the U-Net" in line


def compiler_or_skip() -> None:
    try:
        require_compiler(torch.device("cpu"))
    except InputError as error:
        pytest.skip(f"THE COMPILED U-NET IS NOT TESTED: {error}")


@pytest.mark.slow
@pytest.mark.parametrize("recomputed", [False, True])
def test_compiled_unet_is_one_graph_with_the_outputs_and_gradients_of_the_plain_one(recomputed):
    compiler_or_skip()
    torch.manual_seed(0)
    unet = awaken(UNet(small_config(gradient_checkpointing=recomputed).unet, len(STEMS), 4))
    latent, t = torch.randn(2, len(STEMS), 4, 32, 16), torch.tensor([5, 900])
    outcomes = []
    for forward in (unet.forward, torch.compile(unet.forward, dynamic=False, fullgraph=True)):
        unet.zero_grad()
        out = forward(latent, t)
        out.square().mean().backward()
        outcomes.append([out.detach(), *(p.grad for p in unet.parameters() if p.requires_grad)])
    for plain, fast in zip(*outcomes, strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_training_with_a_compiled_unet_gives_the_losses_and_weight_names_of_the_plain_one(train):
    compiler_or_skip()
    plain, fast = train("plain", FROM_STORE), train("fast", FROM_STORE, "trainer.compile=true")
    assert logged(fast, "train/loss") == pytest.approx(logged(plain, "train/loss"), rel=1e-4)
    assert last(fast)["state_dict"].keys() == last(plain)["state_dict"].keys()
