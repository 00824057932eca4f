"""``exuno export``, the hub and ``torch.hub``: what is handed on comes back as the same model."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from exuno.cli import main
from exuno.data.poster import load, save
from exuno.models.load import load_model
from exuno.models.save import save_model

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run in all that an export reads of it."""
    folder = tmp_path / "run"
    torch.manual_seed(0)
    model = load_model("exuno:resnet8", classes=3, class_names=("a", "b", "c|d"), input_size=(8, 8), pretrained=False)
    save_model(model, folder)
    result = {
        "exuno": "0",
        "command": ["exuno", "distill", "digits", "--seed", "3"],
        "metrics": {"student/top1": 0.8125, "teacher/top1": 0.9, "student/loss": 0.25},
        "intervals": {"student/top1": [0.79, 0.83]},
        "n": {"student/top1": 1797},
        "lineage": {"teacher": {"sha256": "abc"}, "source": "photo.jpg"},
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def test_a_run_becomes_a_folder_that_says_what_it_is(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "student"
    assert main(["export", str(run_dir), "--to", str(out), "--license", "apache-2.0"]) == 0
    assert "use it as run:" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["README.md", "model.json", "model.safetensors"]
    one, two = (load_model(f"run:{folder}", pretrained=True).eval() for folder in (run_dir, out))
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(one(x), two(x))
    text = (out / "README.md").read_text()
    head = yaml.safe_load(text.split("---")[1])
    assert head == {"library_name": "exuno", "tags": ["exuno", "image-classification"], "license": "apache-2.0"}
    for part in (
        "`exuno:resnet8`, 74,835 parameters",
        "3: a, b, c\\|d",
        "| student/top1 | 81.25 % | 1797 | 79.00 % to 83.00 % |",
        "| student/loss | 0.25 |",
        "exuno distill digits --seed 3",
        "source: `photo.jpg`",
        '`{"sha256": "abc"}`',
        "License: apache-2.0",
    ):
        assert part in text


def test_onnx_is_torch_s_equal_at_every_size(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    out = tmp_path / "student"
    assert main(["export", f"run:{run_dir}", "--to", str(out), "--onnx"]) == 0
    said = capsys.readouterr()
    assert "logits differ from torch's by" in said.out
    assert said.err == ""
    assert "License: not stated" in (out / "README.md").read_text()
    session = onnxruntime.InferenceSession(out / "model.onnx")
    model = load_model(f"run:{run_dir}", pretrained=True).eval()
    for shape in ((1, 3, 8, 8), (7, 3, 30, 11), (2, 3, 5, 40)):
        pixels = torch.rand(shape)
        (found,) = session.run(None, {"pixels": pixels.numpy()})
        with torch.no_grad():
            assert torch.allclose(torch.from_numpy(found), model(pixels), atol=1e-4)


def test_another_network_in_the_onnx_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from exuno.engine.errors import ExunoError
    from exuno.exporting import onnx

    model = load_model("exuno:convnet_1_4", classes=2, input_size=(8, 8), pretrained=False).eval()
    monkeypatch.setattr(onnx, "_sizes", lambda *_: [(2, 8, 8)])
    real = torch.onnx.export

    def other(model: torch.nn.Module, *rest, **options):
        program = real(model, *rest, **options)
        linear = model.get_submodule("net.linear")
        linear.bias = torch.nn.Parameter(linear.get_parameter("bias") + 0.01)
        return program

    monkeypatch.setattr(torch.onnx, "export", other)
    with pytest.raises(ExunoError, match=r"differ from torch's by up to 0\.01"):
        onnx.write_onnx(model, tmp_path / "model.onnx")
    assert not [*tmp_path.iterdir()]


def test_without_the_extra(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert main(["export", str(run_dir), "--to", str(tmp_path / "out"), "--onnx"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert 'ONNX needs onnxruntime, which is not installed. pip install "exuno[onnx]"' in said


def test_a_poster(tiny_poster: Callable, tmp_path: Path) -> None:
    save(tiny_poster(whitened=True, learned=True), tmp_path / "mine.poster")
    out = tmp_path / "out"
    assert main(["export", str(tmp_path / "mine.poster"), "--to", str(out)]) == 0
    assert load(out).fingerprint == load(tmp_path / "mine.poster").fingerprint
    text = (out / "README.md").read_text()
    for part in ("20x16 pixels", "`digits`, 10 classes", "![The poster](distilled.poster/poster.png)", "seed: `3`"):
        assert part in text
    assert (out / "distilled.poster/poster.png").is_file()


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands in for the Hugging Face hub: what is uploaded lies in the cache, and there is no network."""
    import huggingface_hub
    from huggingface_hub import constants

    made: list[str] = []

    def upload(*, repo_id: str, folder_path: Path, commit_message: str) -> None:
        assert repo_id in made
        assert commit_message
        base = tmp_path / "hub" / f"models--{repo_id.replace('/', '--')}"
        (base / "refs").mkdir(parents=True)
        (base / "refs/main").write_text("0" * 40)
        shutil.copytree(folder_path, base / "snapshots" / ("0" * 40))

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub, "create_repo", lambda repo, exist_ok: made.append(repo))
    monkeypatch.setattr(huggingface_hub, "upload_folder", upload)
    return tmp_path / "hub"


def test_to_the_hub_and_back(hub: Path, run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(run_dir), "--to", str(tmp_path / "out"), "--push", "me/student"]) == 0
    assert "as hf-hub:me/student" in capsys.readouterr().out
    x = torch.rand(2, 3, 8, 8)
    one, two = (load_model(spec, pretrained=True).eval() for spec in (f"run:{run_dir}", "hf-hub:me/student"))
    assert torch.equal(one(x), two(x))
    assert two.card.class_names == ("a", "b", "c|d")


def test_mistakes(run_dir: Path, tmp_path: Path, tiny_poster: Callable, monkeypatch, capsys) -> None:
    import huggingface_hub

    def told(*args: object) -> str:
        assert main(["export", *map(str, args)]) == 2
        return " ".join(capsys.readouterr().err.split())

    assert "is there already" in told(run_dir, "--to", tmp_path)
    assert "there is no run and no file 'nowhere'" in told("nowhere", "--to", tmp_path / "a")
    assert "without weights" in told("exuno:resnet20", "--to", tmp_path / "a")
    assert "'student' is no repository" in told(run_dir, "--to", tmp_path / "a", "--push", "student")
    save(tiny_poster(), tmp_path / "mine.poster")
    assert "which has no network" in told(tmp_path / "mine.poster", "--to", tmp_path / "a", "--onnx")
    assert not (tmp_path / "a").exists()

    def fails(*_: object, **__: object) -> None:
        raise OSError("401 Unauthorized")

    monkeypatch.setattr(huggingface_hub, "create_repo", fails)
    said = told(run_dir, "--to", tmp_path / "b", "--push", "me/student")
    assert "was written, but not pushed to me/student: 401 Unauthorized" in said
    assert (tmp_path / "b/README.md").is_file()


def test_help_needs_no_torch() -> None:
    code = "import sys; from exuno.cli import main; main(['export', '--help']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_torch_hub_from_a_checkout(run_dir: Path) -> None:
    model = torch.hub.load(str(ROOT), "model", f"run:{run_dir}", source="local")
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(model(x), load_model(f"run:{run_dir}", pretrained=True).eval()(x))  # pyright: ignore
    fresh = torch.hub.load(str(ROOT), "model", "exuno:wrn_10_1", source="local", pretrained=False, classes=5)
    assert fresh(x).shape == (2, 5)  # pyright: ignore
