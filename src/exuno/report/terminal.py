"""What a command says when it is done: the result in a small table, and where to look."""

import sys

from exuno.engine.run import Run, rank


def show(run: Run) -> None:
    """Prints accuracies of a finished run with n and 95 % interval, and the path of its page."""
    result = run.result
    if result is None or rank() != 0:
        return
    from rich.console import Console
    from rich.table import Table

    from exuno.report.headline import EPISODES, is_accuracy
    from exuno.report.html import pretty

    table = Table()
    few_shot = any(map(EPISODES.search, result["metrics"]))
    for name, side in (
        ("", "left"),
        ("accuracy" if few_shot else "top-1", "right"),
        ("95 % interval", "right"),
        ("episodes" if few_shot else "n", "right"),
        ("published", "right"),
    ):
        table.add_column(name, justify=side)  # pyright: ignore[reportArgumentType]
    published = result.get("published") or {}
    for key, value in {**result["metrics"], **result.get("baselines", {})}.items():
        if not is_accuracy(key) or value is None:
            continue
        low, high = result.get("intervals", {}).get(key, (None, None))
        interval = f"{100 * low:.2f} – {100 * high:.2f}" if low is not None else ""
        count = result.get("n", {}).get(key)
        paper = f"{100 * published[key]:.2f} %" if key in published else ""
        name = pretty(key) if EPISODES.search(key) else key.removesuffix("/top1")
        table.add_row(name, f"{100 * value:.2f} %", interval, f"{count:,}" if count else "", paper)
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 100)
    console.print(run.about.get("summary") or f"exuno {run.verb}", soft_wrap=True)
    if table.row_count:
        console.print(table)
    if budget := run.about.get("budget"):
        console.print(f"trained with {100 * budget:g} % of the preset's budget")
    console.print(
        f"{result['wall_seconds']:.0f} s on {result['device']}.  Look at: {run.dir / 'report.html'}", soft_wrap=True
    )
