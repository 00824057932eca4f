"""``exuno eval MODEL --data DATA``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from exuno.engine.errors import ExunoError
from exuno.engine.session import explain
from exuno.evaluate.options import EvalConfig
from exuno.presets import to_dict

MOST_ROWS = 20  # classes for which a terminal still shows the table of each class and the confusion matrix


def main(args: Sequence[str]) -> None:
    """Parses the command line, measures, prints; with --run-dir also writes a run directory with its page."""
    import tyro

    config = tyro.cli(EvalConfig, args=list(args), prog="exuno eval")
    if config.run.dry_run:
        explain(to_dict(config), None, [])
        return
    evaluate(config)


def spec_of(model: str) -> str:
    """A model spec; a bare path of a folder or file gets its prefix."""
    path = Path(model)
    if ":" not in model and path.is_dir():
        return f"run:{model}"
    return f"file:{model}" if ":" not in model and path.is_file() else model


def data_of(spec: str) -> str:
    """The data that a run was tested on.

    Raises:
        ExunoError: the model is no run.
    """
    import yaml

    config = Path(spec.removeprefix("run:")) / "config.yaml"
    if not spec.startswith("run:") or not config.is_file():
        raise ExunoError(f"what to test {spec} on is unknown", "Give --data, for instance --data digits.")
    return yaml.safe_load(config.read_text())["config"]["data"]


def evaluate(config: EvalConfig) -> dict[str, Any]:
    """Measures the model of ``config``; returns metrics with their summary.

    Raises:
        ExunoError: anything the user can put right.
    """
    from exuno.data.open import open_data
    from exuno.engine.loop import make_accelerator
    from exuno.engine.session import Head
    from exuno.evaluate.measure import check_classes, logits, record
    from exuno.metrics import agreement, summarise
    from exuno.models.load import load_model

    spec = spec_of(config.model)
    test: Any = open_data(config.data or data_of(spec), config.split, root=config.data_root)
    model = load_model(spec, pretrained=True)
    check_classes(model, test, "the model")
    if config.run.smoke:
        test = Head(test)
    size = (config.size, config.size) if config.size else test.image_size
    device = make_accelerator(config.run).device
    names = test.classes or model.card.class_names or [str(i) for i in range(model.card.classes)]
    folder = config.run.run_dir
    if folder:
        from exuno.engine.run import open_run

        run = open_run("eval", None, to_dict(config), {"summary": f"{spec} on {test.name}"}, config.run)
        summary, found = record(run.dir / "evaluation", "model", model, test, size, device)
    else:
        run = None
        found, labels = logits(model, test, size, device)
        summary = summarise(found, labels, names)
    metrics: dict[str, Any] = {f"model/{key}": summary[key] for key in ("top1", "top5", "ece")}
    if config.teacher:
        teacher = load_model(spec_of(config.teacher), pretrained=True)
        check_classes(teacher, test, "the teacher")
        told, labels = logits(teacher, test, size, device)
        both = agreement(told, found)
        metrics |= {"teacher/top1": summarise(told, labels, names)["top1"]}
        metrics |= {"agreement/top1": both.top1, "agreement/kl": both.kl}
    if run:
        from exuno.report.page import write_report

        run.finish(metrics=metrics, intervals={"model/top1": summary["interval"]}, n={"model/top1": summary["n"]})
        write_report(run.dir)
    show(spec, test.name, summary, metrics)
    return {**metrics, "summary": summary}


def show(spec: str, data: str, summary: Any, metrics: dict[str, Any]) -> None:
    """Prints what was measured."""
    low, high = summary["interval"]
    print(f"{spec} on {data}, n = {summary['n']:,}")
    print(f"top-1      {100 * summary['top1']:.2f} %   (95 % interval {100 * low:.2f} to {100 * high:.2f})")
    if summary["top5"] is not None:
        print(f"top-5      {100 * summary['top5']:.2f} %")
    if summary["ece"] is not None:
        print(f"ECE        {100 * summary['ece']:.2f} %   (expected calibration error, 15 bins)")
    if summary["invalid"]:
        print(f"invalid    {summary['invalid']}   (logits not finite: counted as wrong)")
    if "agreement/top1" in metrics:
        print(f"teacher    {100 * metrics['teacher/top1']:.2f} %")
        print(f"agreement  {100 * metrics['agreement/top1']:.2f} %   (KL {metrics['agreement/kl']:.4f} nats)")
    names, matrix = summary["class_names"], summary["confusion"]
    if len(names) > MOST_ROWS:
        ranked = sorted((x, name) for x, name in zip(summary["per_class"], names, strict=True) if x is not None)
        print("worst classes: " + ", ".join(f"{name} {100 * x:.0f} %" for x, name in ranked[:10]))
        return
    width = max(5, *(len(str(cell)) + 1 for row in matrix for cell in row))
    left = max(len(name) for name in names)
    print(f"\n{'class':{left}}  top-1  predicted as " + " ".join(f"{name[: width - 1]:>{width - 1}}" for name in names))
    for name, share, row in zip(names, summary["per_class"], matrix, strict=True):
        right = "    –" if share is None else f"{100 * share:5.1f}"
        print(f"{name:{left}}  {right}               " + " ".join(f"{cell:{width - 1}}" for cell in row))
