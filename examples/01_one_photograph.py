"""A network that sees nothing but patches of one photograph learns to read digits, by imitating a teacher.

You see the accuracy of both on digits that neither was shown, and a few answers. With ``budget=1`` (a minute) the
student reads 99 % of them; ``student.report`` is the page that shows how.
"""

import numpy as np

import exuno


def main(budget: float = 0.2, source: str = "photo:astronaut") -> exuno.Trained:
    teacher = exuno.teach("digits", budget=0.25)
    student = exuno.distill("digits", teacher=teacher, source=source, budget=budget)

    digits = exuno.open_data("digits", "test")
    images, labels = digits.fetch(np.arange(10))
    print("digits:  ", *labels.tolist())
    print("student: ", *student.predict(images))
    print("teacher and student, top-1:", student.metrics["teacher/top1"], student.metrics["student/top1"])
    print("look at:", student.report)
    return student


if __name__ == "__main__":
    main()
