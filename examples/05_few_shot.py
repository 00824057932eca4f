"""New classes from one or five images of each, by the features of any network.

A transformer learns from the digits 0 to 4, without their names. You see how well its features tell the digits 5 to 9
apart, beside raw pixels, an untrained network, and a network that was taught all ten digits (the table says so). Any
model does: the folder of a run, a file of weights, ``timm:resnet18``. A tenth of the training, as here, is too little
to beat raw pixels; ``budget=1`` takes two minutes.
"""

from typing import Any

import exuno


def main(budget: float = 0.1, episodes: int = 1000) -> dict[str, Any]:
    backbone = exuno.fewshot.pretrain("digits", budget=budget, evaluations=1)
    taught = exuno.teach("digits", budget=0.25)
    return exuno.fewshot.evaluate(backbone, taught, data="digits", shot=(1, 5), episodes=episodes)


if __name__ == "__main__":
    main()
