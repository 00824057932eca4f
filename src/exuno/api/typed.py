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


class ImageOptionsKeywords(TypedDict, total=False):
    """Options of several verbs."""

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


class SynthKeywords(ImageOptionsKeywords, total=False):
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


class ClipFileOptionsKeywords(TypedDict, total=False):
    """Options of several verbs."""

    size: int
    first_crop: float | None
    area: Sequence[float]
    aspect: Sequence[float]
    jitter: Sequence[float]
    jitter_p: float
    frames: int
    fps: int


class SynthVideoKeywords(ClipFileOptionsKeywords, total=False):
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


class AudioOptionsKeywords(TypedDict, total=False):
    """Options of several verbs."""

    rate: int
    seconds: float
    stretch: Sequence[float]
    pitch: Sequence[float]
    gain: Sequence[float]
    filter: float
    mix: float
    noise: float
    snr: Sequence[float]


class SynthAudioKeywords(AudioOptionsKeywords, total=False):
    """``exuno synth audio``."""

    count: int
    seed: int
    container: Literal["folder", "wds"]
    group: int
    shard: str | Path | Outcome
    workers: int
    smoke: bool
    format: Literal["wav", "flac"]


class HoldoutKeywords(TypedDict, total=False):
    """Options of several verbs."""

    holdout: float | None
    holdout_seed: int


class RunOptionsKeywords(TypedDict, total=False):
    """Options of several verbs."""

    run_dir: str | Path | None
    devices: str | Path | Outcome
    smoke: bool
    no_images: bool
    seed: int
    precision: Literal["auto", "no", "bf16", "fp16"]
    deterministic: bool
    sync_batchnorm: bool
    graphs: bool
    compile: Literal["auto", "on", "off"]
    resume: str | Path | Outcome
    workers: int
    loader: Literal["torch", "dali"]
    track: str | Path | Outcome | Sequence[str | Path | Outcome]


class TeachKeywords(HoldoutKeywords, RunOptionsKeywords, total=False):
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


class DistillKeywords(HoldoutKeywords, RunOptionsKeywords, total=False):
    """``exuno distill``."""

    teacher: str | Path | Outcome
    student: str | Path | Outcome
    data: str | Path | Outcome | None
    source: str | Path | Outcome | Sequence[str | Path | Outcome]
    split: str | Path | Outcome
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
    ema: float
    adversarial: float
    evaluations: int
    loss: Loss | Mapping[str, Any]
    mix: Mix | Mapping[str, Any]
    mel: MelSpec | Mapping[str, Any]
    augment: Augment | Mapping[str, Any]
    synth: ImageOptions | Mapping[str, Any]
    video: VideoOptions | Mapping[str, Any]
    audio: AudioOptions | Mapping[str, Any]
    optim: Optim | Mapping[str, Any]


class SelfsupKeywords(HoldoutKeywords, RunOptionsKeywords, total=False):
    """``exuno selfsup``."""

    source: str | Path | Outcome | Sequence[str | Path | Outcome]
    method: str | Path | Outcome
    settings: str | Path | Outcome | Sequence[str | Path | Outcome]
    model: str | Path | Outcome
    data: str | Path | Outcome | None
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


class PosterKeywords(HoldoutKeywords, RunOptionsKeywords, total=False):
    """``exuno poster``."""

    data: str | Path | Outcome
    data_root: str | Path | None
    classes: Literal["auto", "by-name", "by-number"]
    ipc: float | None
    canvas: str | Path | Outcome | None
    bytes: int | None
    bits: Literal[2, 4, 8]
    channels: Literal[1, 3] | None
    palette: bool
    chroma: Literal["full", "half"]
    grid: str | Path | Outcome | None
    patch: int | None
    patches: str | Path | Outcome | None
    area: str | Path | Outcome | None
    size: int | None
    model: str | Path | Outcome
    algorithm: str | Path | Outcome
    algorithm_options: str | Path | Outcome | Sequence[str | Path | Outcome]
    order: str | Path | Outcome
    labels: Literal["fixed", "learned", "shared"]
    label_formula: Literal["paper", "reference"]
    label_cells: float
    label_bits: Literal[2, 4, 8, 16]
    label_lr_scale: float
    init: Literal["noise", "real"]
    zca: bool
    zca_from: Literal["data", "spectrum"]
    real_augment: str | Path | Outcome
    steps: int
    batch_size: int
    budget: float
    evaluations: int
    inner: Inner | Mapping[str, Any]
    unroll: Unroll | Mapping[str, Any]
    eval: Evaluation | Mapping[str, Any]
    optim: Optim | Mapping[str, Any]


class ClassesKeywords(TypedDict, total=False):
    """Options of several verbs."""

    split: str | Path | Outcome
    turns: bool
    mirrored: bool
    hold_turns: bool


class PretrainKeywords(ClassesKeywords, RunOptionsKeywords, total=False):
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
    views: Views | Mapping[str, Any]
    mask: Mask | Mapping[str, Any]
    head: Head | Mapping[str, Any]
    teacher: Teacher | Mapping[str, Any]
    weights: LossWeights | Mapping[str, Any]
    validation: Validation | Mapping[str, Any]
    optim: Optim | Mapping[str, Any]


class FewshotDistillKeywords(PretrainKeywords, total=False):
    """``exuno fewshot distill``."""


class FewshotEvalKeywords(ClassesKeywords, total=False):
    """``exuno fewshot eval``."""

    run_dir: str | Path | None
    devices: Literal["auto", "cpu"]
    smoke: bool
    no_images: bool
    workers: int
    data: str | Path | Outcome | None
    data_root: str | Path | None
    part: Literal["train", "val", "test"]
    way: int
    shot: int | Sequence[int]
    queries: int | None
    episodes: int
    protocol: Literal["standard", "smkd", "reference"]
    head: str | Path | Outcome | Sequence[str | Path | Outcome]
    neighbours: int
    features: Literal["auto", "cls+patch", "cls", "patch", "last"]
    blocks: int
    views: Literal[1, 2, 5, 10]
    size: int | None
    resize: int | None
    baselines: bool
    cache: str | Path | None
    seed: int


class StudyRunKeywords(TypedDict, total=False):
    """Options of several verbs."""

    run_dir: str | Path | None
    resume: Literal["auto", "never"]
    data_root: str | Path | None
    seed: int | None
    devices: str | Path | Outcome | None
    precision: Literal["auto", "no", "bf16", "fp16"] | None
    loader: Literal["torch", "dali"] | None
    workers: int | None
    track: str | Path | Outcome | Sequence[str | Path | Outcome]
    smoke: bool
    no_images: bool


class StudyKeywords(StudyRunKeywords, total=False):
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
    slurm: str | Path | Outcome | None
    slurm_minutes: int


class DoctorKeywords(HoldoutKeywords, total=False):
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
    size: int | None
    claimed: float | None
    source: str | Path | Outcome | None
    sources: str | Path | Outcome | Sequence[str | Path | Outcome]
    patches: int
    synth: ImageOptions | Mapping[str, Any]
    seed: int


class ExecutionKeywords(TypedDict, total=False):
    """Options of several verbs."""

    run_dir: str | Path | None
    devices: Literal["auto", "cpu"]
    smoke: bool
    no_images: bool


class PenultimateKeywords(HoldoutKeywords, ExecutionKeywords, total=False):
    """``exuno explain penultimate``."""

    data: str | Path | Outcome | None
    data_root: str | Path | None
    split: str | Path | Outcome | Sequence[str | Path | Outcome]
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


class NeuronsKeywords(ExecutionKeywords, total=False):
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


class AttentionKeywords(ExecutionKeywords, total=False):
    """``exuno explain attention``."""

    block: int
    size: int | None


class EvalKeywords(ExecutionKeywords, total=False):
    """``exuno eval``."""

    workers: int
    data: str | Path | Outcome | None
    data_root: str | Path | None
    split: str | Path | Outcome
    classes: Literal["auto", "by-name", "by-number"]
    holdout: float | None
    holdout_seed: int
    size: int | None
    teacher: str | Path | Outcome | None
    tta: Literal["flip"] | None
    networks: int | None
    steps: int | Sequence[int] | None
    arch: str | Path | Outcome | Sequence[str | Path | Outcome]
    baselines: int | None
    ranking: str | Path | Outcome | None
    seed: int


class ProbeKeywords(HoldoutKeywords, ExecutionKeywords, total=False):
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


class ExportKeywords(TypedDict, total=False):
    """``exuno export``."""

    format: str | Path | Outcome | Sequence[str | Path | Outcome]
    onnx: bool
    int8: bool
    calibrate: str | Path | Outcome | Sequence[str | Path | Outcome]
    calibration_images: int
    qat: int
    data: str | Path | Outcome | None
    data_root: str | Path | None
    license: str | Path | Outcome | None
    push: str | Path | Outcome | None
