"""A data set of 1,442 digits becomes one small picture, and another network learns from that picture alone.

You see the poster's size, what networks that learned from it read, and where its picture lies. ``budget=1`` takes some
minutes and gives a far better poster.
"""

import exuno


def main(budget: float = 0.04) -> tuple[exuno.Distilled, exuno.Trained]:
    proof = {"networks": 2, "trials": 1, "steps": (80,), "baselines": 1}
    made = exuno.poster("digits", ipc=1, budget=budget, evaluations=2, eval=proof)
    print("pixels:", made.poster.pixels.shape, " fresh networks on it, top-1:", round(made.metrics["poster/top1"], 3))

    other = exuno.teach(model="exuno:convnet_2_32", data=made, epochs=20, batch_size=32)  # the poster in a data's place
    print("another network, top-1 on real digits:", round(other.metrics["model/top1"], 3))
    print("look at:", made.report)
    return made, other


if __name__ == "__main__":
    main()
