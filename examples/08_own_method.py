"""A method of your own in exuno's loop, which brings checkpoints, schedules, devices and a progress bar.

Here the student imitates the teacher's logits by their mean squared error. You see how many digits it reads; kill it
half way, and the same call goes on where it stopped.
"""

from pathlib import Path

import torch.nn.functional as F
from torch import nn

import exuno


class Regression(exuno.Supervised):
    """One training step is ``forward``; that there is one optimizer for all weights it has from ``Supervised``."""

    def __init__(self, teacher: nn.Module, student: exuno.Classifier) -> None:
        super().__init__(student)
        self.teacher = (teacher,)  # in a tuple, so that it is neither trained nor in the checkpoints

    def forward(self, batch, numbers) -> exuno.StepOutput:
        wanted, told = self.teacher[0](batch["images"]).detach(), self.model(batch["images"])
        return exuno.StepOutput(
            F.mse_loss(told, wanted), {"agreement": (told.argmax(1) == wanted.argmax(1)).float().mean()}
        )


def main(steps: int = 300, folder: str = "runs/own-method") -> dict[str, float]:
    teacher = exuno.teach("digits", budget=0.25)
    exuno.seed_everything(0)
    student = exuno.load_model("exuno:convnet_2_32", classes=10, in_chans=1, input_size=(8, 8))
    patches = exuno.PatchStream("photo:astronaut", 5000, exuno.ImageOptions(size=8))
    options = exuno.RunOptions(run_dir=Path(folder), devices="cpu")
    run = exuno.open_run("own", None, {"steps": steps}, {"summary": "Regression of logits"}, options)
    exuno.fit(
        Regression(teacher.model, student),
        exuno.Loader(patches, 128),
        optim=exuno.Optim(lr=3e-3),
        steps=steps,
        run=run,
        accelerator=exuno.make_accelerator(options),
        title="own method",
    )
    exuno.save_model(student, run.dir)
    run.close()
    return exuno.evaluate(run.dir, data="digits")


if __name__ == "__main__":
    main()
