"""Which teacher teaches best: a grid of commands, each cell a run, that ends in a table.

Teachers with and without label smoothing, and students at two temperatures. You see the table with the students'
accuracy; ``seed=0,1,2`` as a further axis would add intervals. The cells run in processes of their own.
"""

import exuno


def main(budget: float = 0.2) -> exuno.Outcome:
    study = exuno.study(
        stages=(
            "teach digits --budget 0.25",
            f"distill digits --teacher {{teach}} --budget {budget}",
        ),
        axes=("teach.label-smoothing=0,0.1", "distill.loss.temperature=1,8"),
        rows="temperature",
        columns="label-smoothing",
        metrics=("student/top1",),
        devices="cpu",
    )
    print((study.dir / "table.md").read_text())
    return study


if __name__ == "__main__":
    main()
