"""Keywords of the functions of exuno, for editors and type checkers. Written by tests/typed_keywords.py."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from exuno.api.outcome import Outcome
from exuno.distill.options import Loss, Mix
from exuno.engine.options import Augment, MelSpec, Optim, Views
from exuno.fewshot.options import Head, LossWeights, Mask, Teacher, Validation
from exuno.poster.options import Evaluation, Inner, Unroll
from exuno.synth.options import AudioOptions, ImageOptions, VideoOptions


class SynthKeywords(TypedDict, total=False):
    """``exuno synth``."""

    count: int
    seed: int
    container: Literal["folder", "wds"]
    group: int
    shard: str | Path | Outcome
    workers: int
    smoke: bool
    contact_sheet: int
    format: Literal["jpeg", "png", "webp"]
    quality: int
    size: int
    first_crop: float | None
    area: Sequence[float]
    aspect: Sequence[float]
    jitter: Sequence[float]
    jitter_p: float
    interpolation: Literal["lanczos", "bilinear", "bicubic", "random"]
    rotate: float
    shear: float
    hflip: float
    vflip: float


class SynthVideoKeywords(TypedDict, total=False):
    """``exuno synth video``."""

    count: int
    seed: int
    container: Literal["folder", "wds"]
    group: int
    shard: str | Path | Outcome
    workers: int
    smoke: bool
    contact_sheet: int
    crf: int
    size: int
    first_crop: float | None
    area: Sequence[float]
    aspect: Sequence[float]
    jitter: Sequence[float]
    jitter_p: float
    frames: int
    fps: int


class SynthAudioKeywords(TypedDict, total=False):
    """``exuno synth audio``."""

    count: int
    seed: int
    container: Literal["folder", "wds"]
    group: int
    shard: str | Path | Outcome
    workers: int
    smoke: bool
    format: Literal["wav", "flac"]
    rate: int
    seconds: float
    stretch: Sequence[float]
    pitch: Sequence[float]
    gain: Sequence[float]
    filter: float
    mix: float
    noise: float
    snr: Sequence[float]


class TeachKeywords(TypedDict, total=False):
    """``exuno teach``."""

    model: str | Path | Outcome
    data: str | Path | Outcome
    data_root: str | Path | None
    classes: Literal["auto", "by-name", "by-number"]
    pretrained: bool
    size: int | None
    epochs: int
    batch_size: int
    budget: float
    label_smoothing: float
    evaluations: int
    mel: MelSpec | Mapping[str, Any]
    augment: Augment | Mapping[str, Any]
    optim: Optim | Mapping[str, Any]
    holdout: float | None
    holdout_seed: int
    run_dir: str | Path | None
    devices: str | Path | Outcome
    smoke: bool
    no_images: bool
    seed: int
    precision: Literal["auto", "no", "bf16", "fp16"]
    deterministic: bool
    graphs: bool
    resume: str | Path | Outcome
    workers: int
    loader: Literal["torch", "dali"]
    track: Literal["tensorboard", "wandb"] | Sequence[Literal["tensorboard", "wandb"]]


class DistillKeywords(TypedDict, total=False):
    """``exuno distill``."""

    teacher: str | Path | Outcome
    student: str | Path | Outcome
    data: str | Path | Outcome | None
    source: str | Path | Outcome | Sequence[str | Path | Outcome]
    data_root: str | Path | None
    classes: Literal["auto", "by-name", "by-number"]
    pretrained: bool
    patches: int
    fresh: bool
    select: str | Path | Outcome
    candidates: int
    size: int | None
    epochs: int
    batch_size: int
    budget: float
    teacher_precision: Literal["same", "no", "bf16", "fp16"]
    cache_logits: bool
    cache_dir: str | Path | None
    evaluations: int
    loss: Loss | Mapping[str, Any]
    mix: Mix | Mapping[str, Any]
    mel: MelSpec | Mapping[str, Any]
    augment: Augment | Mapping[str, Any]
    synth: ImageOptions | Mapping[str, Any]
    video: VideoOptions | Mapping[str, Any]
    audio: AudioOptions | Mapping[str, Any]
    optim: Optim | Mapping[str, Any]
    holdout: float | None
    holdout_seed: int
    run_dir: str | Path | None
    devices: str | Path | Outcome
    smoke: bool
    no_images: bool
    seed: int
    precision: Literal["auto", "no", "bf16", "fp16"]
    deterministic: bool
    graphs: bool
    resume: str | Path | Outcome
    workers: int
    loader: Literal["torch", "dali"]
    track: Literal["tensorboard", "wandb"] | Sequence[Literal["tensorboard", "wandb"]]


class SelfsupKeywords(TypedDict, total=False):
    """``exuno selfsup``."""

    method: str | Path | Outcome
    settings: str | Path | Outcome | Sequence[str | Path | Outcome]
    model: str | Path | Outcome
    data: str | Path | Outcome | None
    source: str | Path | Outcome | Sequence[str | Path | Outcome]
    data_root: str | Path | None
    patches: int
    fresh: bool
    size: int | None
    epochs: int
    batch_size: int
    budget: float
    evaluations: int
    augment: Augment | Mapping[str, Any]
    synth: ImageOptions | Mapping[str, Any]
    optim: Optim | Mapping[str, Any]
    holdout: float | None
    holdout_seed: int
    run_dir: str | Path | None
    devices: str | Path | Outcome
    smoke: bool
    no_images: bool
    seed: int
    precision: Literal["auto", "no", "bf16", "fp16"]
    deterministic: bool
    graphs: bool
    resume: str | Path | Outcome
    workers: int
    loader: Literal["torch", "dali"]
    track: Literal["tensorboard", "wandb"] | Sequence[Literal["tensorboard", "wandb"]]


class PosterKeywords(TypedDict, total=False):
    """``exuno poster``."""

    data: str | Path | Outcome
    data_root: str | Path | None
    classes: Literal["auto", "by-name", "by-number"]
    ipc: float | None
    canvas: str | Path | Outcome | None
    bytes: int | None
    grid: str | Path | Outcome | None
    patch: int | None
    patches: str | Path | Outcome | None
    area: str | Path | Outcome | None
    size: int | None
    model: str | Path | Outcome
    algorithm: str | Path | Outcome
    algorithm_options: str | Path | Outcome | Sequence[str | Path | Outcome]
    order: str | Path | Outcome
    labels: Literal["fixed", "learned"]
    label_formula: Literal["paper", "reference"]
    label_cells: float
    label_lr_scale: float
    init: Literal["noise", "real"]
    zca: bool
    real_augment: str | Path | Outcome
    steps: int
    batch_size: int
    budget: float
    evaluations: int
    inner: Inner | Mapping[str, Any]
    unroll: Unroll | Mapping[str, Any]
    eval: Evaluation | Mapping[str, Any]
    optim: Optim | Mapping[str, Any]
    holdout: float | None
    holdout_seed: int
    run_dir: str | Path | None
    devices: str | Path | Outcome
    smoke: bool
    no_images: bool
    seed: int
    precision: Literal["auto", "no", "bf16", "fp16"]
    deterministic: bool
    graphs: bool
    resume: str | Path | Outcome
    workers: int
    loader: Literal["torch", "dali"]
    track: Literal["tensorboard", "wandb"] | Sequence[Literal["tensorboard", "wandb"]]


class PretrainKeywords(TypedDict, total=False):
    """``exuno fewshot pretrain``."""

    data: str | Path | Outcome
    model: str | Path | Outcome
    data_root: str | Path | None
    size: int | None
    store: int | None
    epochs: int
    batch_size: int
    budget: float
    evaluations: int
    drop_path: float
    freeze_last: float
    mode: Literal["paper", "reference"]
    gather: bool
    split: str | Path | Outcome
    turns: bool
    mirrored: bool
    views: Views | Mapping[str, Any]
    mask: Mask | Mapping[str, Any]
    head: Head | Mapping[str, Any]
    teacher: Teacher | Mapping[str, Any]
    weights: LossWeights | Mapping[str, Any]
    validation: Validation | Mapping[str, Any]
    optim: Optim | Mapping[str, Any]
    run_dir: str | Path | None
    devices: str | Path | Outcome
    smoke: bool
    no_images: bool
    seed: int
    precision: Literal["auto", "no", "bf16", "fp16"]
    deterministic: bool
    graphs: bool
    resume: str | Path | Outcome
    workers: int
    loader: Literal["torch", "dali"]
    track: Literal["tensorboard", "wandb"] | Sequence[Literal["tensorboard", "wandb"]]


class FewshotDistillKeywords(TypedDict, total=False):
    """``exuno fewshot distill``."""

    data: str | Path | Outcome
    model: str | Path | Outcome
    data_root: str | Path | None
    size: int | None
    store: int | None
    epochs: int
    batch_size: int
    budget: float
    evaluations: int
    drop_path: float
    freeze_last: float
    mode: Literal["paper", "reference"]
    gather: bool
    split: str | Path | Outcome
    turns: bool
    mirrored: bool
    views: Views | Mapping[str, Any]
    mask: Mask | Mapping[str, Any]
    head: Head | Mapping[str, Any]
    teacher: Teacher | Mapping[str, Any]
    weights: LossWeights | Mapping[str, Any]
    validation: Validation | Mapping[str, Any]
    optim: Optim | Mapping[str, Any]
    run_dir: str | Path | None
    devices: str | Path | Outcome
    smoke: bool
    no_images: bool
    seed: int
    precision: Literal["auto", "no", "bf16", "fp16"]
    deterministic: bool
    graphs: bool
    resume: str | Path | Outcome
    workers: int
    loader: Literal["torch", "dali"]
    track: Literal["tensorboard", "wandb"] | Sequence[Literal["tensorboard", "wandb"]]


class FewshotEvalKeywords(TypedDict, total=False):
    """``exuno fewshot eval``."""

    run_dir: str | Path | None
    devices: Literal["auto", "cpu"]
    smoke: bool
    no_images: bool
    workers: int
    data: str | Path | Outcome | None
    data_root: str | Path | None
    part: Literal["train", "val", "test"]
    split: str | Path | Outcome
    turns: bool
    mirrored: bool
    way: int
    shot: int | Sequence[int]
    queries: int | None
    episodes: int
    protocol: Literal["standard", "smkd", "reference"]
    head: str | Path | Outcome | Sequence[str | Path | Outcome]
    neighbours: int
    features: Literal["auto", "cls+patch", "cls", "patch", "last"]
    size: int | None
    resize: int | None
    baselines: bool
    cache: str | Path | None
    seed: int


class StudyKeywords(TypedDict, total=False):
    """``exuno study``."""

    stages: str | Path | Outcome | Sequence[str | Path | Outcome]
    axes: str | Path | Outcome | Sequence[str | Path | Outcome]
    set: str | Path | Outcome | Sequence[str | Path | Outcome]
    tables: str | Path | Outcome | None
    rows: str | Path | Outcome | None
    columns: str | Path | Outcome | None
    metrics: str | Path | Outcome | Sequence[str | Path | Outcome]
    threads: int
    processes: int
    ray: str | Path | Outcome | None
    run_dir: str | Path | None
    resume: Literal["auto", "never"]
    data_root: str | Path | None
    seed: int | None
    devices: str | Path | Outcome | None
    precision: Literal["auto", "no", "bf16", "fp16"] | None
    loader: Literal["torch", "dali"] | None
    workers: int | None
    track: Literal["tensorboard", "wandb"] | Sequence[Literal["tensorboard", "wandb"]]
    smoke: bool
    no_images: bool


class DoctorKeywords(TypedDict, total=False):
    """``exuno doctor``."""

    run_dir: str | Path | None
    devices: Literal["auto", "cpu"]
    smoke: bool
    no_images: bool
    workers: int
    data: str | Path | Outcome | None
    data_root: str | Path | None
    split: str | Path | Outcome
    classes: Literal["auto", "by-name", "by-number"]
    holdout: float | None
    holdout_seed: int
    size: int | None
    claimed: float | None
    source: str | Path | Outcome | None
    sources: str | Path | Outcome | Sequence[str | Path | Outcome]
    patches: int
    synth: ImageOptions | Mapping[str, Any]
    seed: int


class PenultimateKeywords(TypedDict, total=False):
    """``exuno explain penultimate``."""

    data: str | Path | Outcome | None
    data_root: str | Path | None
    split: str | Path | Outcome | Sequence[str | Path | Outcome]
    holdout: float | None
    holdout_seed: int
    images: int | None
    size: int | None
    classes: str | Path | Outcome | Sequence[str | Path | Outcome]
    projection: Literal["templates", "pca"]
    space: Literal["head", "all"]
    neighbours: int | None
    similar: str | Path | Outcome | None
    reference: str | Path | Outcome | None
    resamples: int
    cache: str | Path | None
    seed: int
    workers: int
    run_dir: str | Path | None
    devices: Literal["auto", "cpu"]
    smoke: bool
    no_images: bool


class NeuronsKeywords(TypedDict, total=False):
    """``exuno explain neurons``."""

    units: str | Path | Outcome | Sequence[str | Path | Outcome]
    layer: str | Path | Outcome | None
    classes: Literal["auto", "by-name", "by-number"]
    objective: Literal["channel", "neuron"]
    pictures: int
    diversity: float
    size: int | None
    steps: int | None
    seed: int
    run_dir: str | Path | None
    devices: Literal["auto", "cpu"]
    smoke: bool
    no_images: bool


class AttentionKeywords(TypedDict, total=False):
    """``exuno explain attention``."""

    block: int
    size: int | None
    run_dir: str | Path | None
    devices: Literal["auto", "cpu"]
    smoke: bool
    no_images: bool


class EvalKeywords(TypedDict, total=False):
    """``exuno eval``."""

    run_dir: str | Path | None
    devices: Literal["auto", "cpu"]
    smoke: bool
    no_images: bool
    workers: int
    data: str | Path | Outcome | None
    data_root: str | Path | None
    split: str | Path | Outcome
    classes: Literal["auto", "by-name", "by-number"]
    holdout: float | None
    holdout_seed: int
    size: int | None
    teacher: str | Path | Outcome | None
    networks: int | None
    steps: int | Sequence[int] | None
    arch: str | Path | Outcome | Sequence[str | Path | Outcome]
    baselines: int | None
    seed: int


class ProbeKeywords(TypedDict, total=False):
    """``exuno probe``."""

    data: str | Path | Outcome | None
    data_root: str | Path | None
    against: str | Path | Outcome | Sequence[str | Path | Outcome]
    protocol: Literal["fast", "published"]
    layers: str | Path | Outcome | Sequence[str | Path | Outcome]
    numbers: int | None
    neighbours: int
    images: int | None
    seeds: int
    size: int | None
    epochs: int | None
    batch_size: int
    seed: int
    workers: int
    holdout: float | None
    holdout_seed: int
    run_dir: str | Path | None
    devices: Literal["auto", "cpu"]
    smoke: bool
    no_images: bool


class ExportKeywords(TypedDict, total=False):
    """``exuno export``."""

    onnx: bool
    license: str | Path | Outcome | None
    push: str | Path | Outcome | None
