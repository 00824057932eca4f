"""The notebooks of examples/notebooks run from top to bottom without a screen, with less training."""

import json
import os
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples/notebooks").glob("*.ipynb"))
BRIEF = "teacher_budget, student_budget, patches = 0.1, 0.02, 200"


def test_there_are_notebooks_without_outputs_that_open_in_colab() -> None:
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")  # not by yaml.safe_load: it names a function of pymdownx
    repository = re.findall(r"^  repository: (\S+)", site, re.MULTILINE)[0]
    owner = repository.removeprefix("https://github.com/")
    assert len(NOTEBOOKS) >= 2
    for path in NOTEBOOKS:
        text = path.read_text(encoding="utf-8")
        cells = json.loads(text)["cells"]
        assert f"colab.research.google.com/github/{owner}/blob/main/examples/notebooks/{path.name}" in text
        assert f"git+{repository}" in text
        assert not any(cell.get("outputs") for cell in cells)
        assert sum(cell["metadata"].get("tags") == ["parameters"] for cell in cells) == 1


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it prints at the end was measured: an accuracy, a table, files."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    nbformat = pytest.importorskip("nbformat")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    book = nbformat.read(path, as_version=4)
    at = next(number for number, cell in enumerate(book.cells) if cell.metadata.get("tags") == ["parameters"])
    book.cells.insert(at + 1, nbformat.v4.new_code_cell(BRIEF))
    nbclient.NotebookClient(book, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [
        str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", ""))
        for cell in book.cells
        for output in cell.get("outputs", [])
    ]
    assert any("top1" in each or "% of the test digits" in each for each in shown), shown
    assert any("student:" in each or "model.safetensors" in each for each in shown), shown
