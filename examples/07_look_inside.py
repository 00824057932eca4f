"""Before training: is the teacher what it says, and which photograph suits it? After it: what does the student see?

You see the doctor's findings, a ranking of photographs, a page that shows how the last features of teacher and student
lie, and one with the pictures that please their logits most.
"""

import exuno


def main(budget: float = 0.1, steps: int = 128) -> dict[str, exuno.Outcome]:
    teacher = exuno.teach("digits", budget=0.25)
    findings = exuno.doctor(teacher)
    for what, found in findings.result["findings"].items():
        print(f"{what}: {found}")

    ranking = exuno.doctor(teacher, sources=("photo:astronaut", "photo:brick", "noise:0"), patches=500)
    for row in ranking.result["tables"][0]["rows"]:
        print(*row, sep="  ")

    student = exuno.distill("digits", teacher=teacher, source="photo:astronaut", budget=budget)
    features = exuno.explain.penultimate(teacher, student)
    neurons = exuno.explain.neurons(teacher, student, steps=steps)
    return {"findings": findings, "ranking": ranking, "features": features, "neurons": neurons}


if __name__ == "__main__":
    main()
