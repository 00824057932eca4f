"""``exuno export``, the hub and ``torch.hub``: what is handed on comes back as the same model."""

import base64
import hashlib
import importlib
import json
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from exuno.cli import main
from exuno.commandline.presets import parse
from exuno.data.poster.format import load, save
from exuno.engine.configuration import identity
from exuno.engine.options import MelSpec
from exuno.exporting.readme import command_of
from exuno.models.card import Hearing
from exuno.models.files import save_model
from exuno.models.load import load_model
from exuno.presets import to_dict
from exuno.study.grid import STAGES

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
        "- teacher / sha256: `abc`",
        "License: apache-2.0",
    ):
        assert part in text


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (
            {"hearing": Hearing(8000, 6000, MelSpec(mels=24, hop=0.02))},
            ("0.75 s of sound at 8000 Hz, as 24 mel bands in 38 columns; samples in [-1, 1]", "model(recordings)"),
        ),
        ({"arch": "exuno:x3d_xs_w0.2_d0.2"}, ("4 frames of 160x160, 3 channels; pixels in [0, 1]", "model(pixels)")),
    ],
)
def test_recordings_and_clips(options: dict[str, Any], parts: tuple[str, ...], tmp_path: Path, capsys) -> None:
    model = load_model(options.pop("arch", "exuno:resnet8"), classes=3, pretrained=False, **options)
    save_model(model, tmp_path / "run")
    assert main(["export", str(tmp_path / "run"), "--to", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out/README.md").read_text()
    task = "audio-classification" if options else "video-classification"
    assert yaml.safe_load(text.split("---")[1])["tags"] == ["exuno", task]
    for part in parts:
        assert part in text
    capsys.readouterr()
    assert main(["import", str(tmp_path / "out/model.safetensors")]) == 0
    assert parts[0].partition(";")[0] in capsys.readouterr().out


def test_onnx_is_torch_s_equal_at_every_size(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    out = tmp_path / "student"
    assert main(["export", f"run:{run_dir}", "--to", str(out), "--onnx"]) == 0
    said = capsys.readouterr()
    assert "logits differ from torch's by" in said.out
    assert said.err == ""
    card = (out / "README.md").read_text()
    assert "License: not stated" in card
    assert "\n# student\n" in card  # not the name of the input
    assert "`pixels` [batch, 3, height, width]" in card
    session = onnxruntime.InferenceSession(out / "model.onnx")
    model = load_model(f"run:{run_dir}", pretrained=True).eval()
    for shape in ((1, 3, 8, 8), (7, 3, 30, 11), (2, 3, 5, 40)):
        pixels = torch.rand(shape)
        (found,) = session.run(None, {"pixels": pixels.numpy()})
        with torch.no_grad():
            assert torch.allclose(torch.from_numpy(found), model(pixels), atol=1e-4)


def test_another_network_in_the_onnx_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from exuno.engine.errors import ExunoError
    from exuno.exporting.formats import onnx

    model = load_model("exuno:convnet_1_4", classes=2, input_size=(8, 8), pretrained=False).eval()
    monkeypatch.setattr(onnx, "free_sizes", lambda *_: [(2, 8, 8)])
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
    assert '--format onnx needs onnxruntime, which is not installed. pip install "exuno[onnx]"' in said


def test_a_poster(tiny_poster: Callable, tmp_path: Path) -> None:
    save(tiny_poster(whitened=True, learned=True), tmp_path / "mine.poster")
    out = tmp_path / "out"
    assert main(["export", str(tmp_path / "mine.poster"), "--to", str(out)]) == 0
    assert load(out).fingerprint == load(tmp_path / "mine.poster").fingerprint
    text = (out / "README.md").read_text()
    for part in ("20x16 pixels", "`digits`, 10 classes", "![The poster](distilled.poster/poster.png)", "seed: `3`"):
        assert part in text
    assert (out / "distilled.poster/poster.png").is_file()


@pytest.fixture(scope="module")
def smoke_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smoke run on five classes in a folder whose name has to be quoted."""
    folder = tmp_path_factory.mktemp("home") / "it's mine"
    random = np.random.default_rng(0)
    for split, count in (("train", 20), ("test", 10)):
        for name in ("a b", "c", "d", "e", "f"):
            (folder / split / name).mkdir(parents=True)
            for i in range(count // 5):
                Image.fromarray(random.integers(0, 256, (8, 8, 3), np.uint8)).save(folder / split / name / f"{i}.png")
    args = ["--data", f"folder:{folder}", "--model", "exuno:convnet_1_4", "--optim.lr", "0.002", "--epochs", "3"]
    args += ["--augment.resized-crop", "0.5", "1", "--smoke", "--devices", "cpu", "--run-dir", str(folder / "run")]
    assert main(["teach", *args]) == 0
    return folder / "run"


def test_the_card_of_a_smoke_run_says_so(smoke_run: Path, tmp_path: Path) -> None:
    assert main(["export", str(smoke_run), "--to", str(tmp_path / "a"), "--onnx"]) == 0
    text = (tmp_path / "a/README.md").read_text()
    assert "\n# a (smoke run)\n" in text
    assert "> **A smoke run:** the same path on a sliver of the work." in text
    assert f"exuno:convnet_1_4 taught on folder:{smoke_run.parent}." in text
    assert "None" not in text
    assert "{" not in text
    assert "| chance/top1 | 20.00 % |" in text
    assert main(["export", str(tmp_path / "a"), "--to", str(tmp_path / "b")]) == 0
    assert "> **A smoke run:**" in (tmp_path / "b/README.md").read_text()  # of a folder that is no run any more
    assert main(["eval", str(smoke_run), "--run-dir", str(tmp_path / "e"), "--devices", "cpu"]) == 0
    assert "Of a smoke run:" in (tmp_path / "e/report.html").read_text()


def test_the_command_of_the_card_can_be_typed_anywhere(smoke_run: Path, tmp_path: Path, monkeypatch) -> None:
    assert main(["export", str(smoke_run), "--to", str(tmp_path / "a")]) == 0
    line = (tmp_path / "a/README.md").read_text().split("```sh\n")[-1].split("\n")[0]
    for word in ("run-dir", "config.yaml", "--seed", "--augment.flip"):
        assert word not in line  # no file of the run, and nothing that is as by default
    echoed = subprocess.run(["bash", "-c", f"printf '%s\\n' {line}"], check=True, capture_output=True, text=True)
    exuno, *words = echoed.stdout.splitlines()
    assert exuno == "exuno"
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--run-dir", "again"]) == 0
    assert (tmp_path / "again/model.safetensors").read_bytes() == (smoke_run / "model.safetensors").read_bytes()
    configs = [yaml.safe_load((run / "config.yaml").read_text())["config"] for run in (smoke_run, tmp_path / "again")]
    assert configs[0] == configs[1]


@pytest.mark.usefixtures("nothing_is_looked_for")
@pytest.mark.parametrize(
    ("verb", "preset", "typed"),
    [
        ("teach", "digits", ["--epochs", "7", "--optim.warmup", "0.5"]),
        ("teach", "cifar10-resnet56", ["--data", "digits", "--augment.resized-crop", "None", "--no-pretrained"]),
        ("distill", "digits", ["--source", "a b.jpg", "it's.jpg", "--loss.t2", "--size", "16"]),
        ("distill", "imagenet-resnet50-kd", []),
        ("distill", "", ["--teacher", "run:x", "--student", "exuno:resnet20", "--data", "digits", "--mix.cutmix", "1"]),
        ("poster", "digits", ["--unroll.runs", "2", "--eval.steps", "3", "5"]),
        ("fewshot pretrain", "digits", ["--turns", "--views.local", "3"]),
    ],
)
def test_the_command_stands_for_the_configuration(verb: str, preset: str, typed: list[str]) -> None:
    module, _, name = STAGES[verb].partition(":")
    kind = getattr(importlib.import_module(module), name)
    config, _ = parse(verb, kind, [*([preset] if preset else []), *typed])
    stated = identity(to_dict(config))
    command = command_of(verb, preset, yaml.safe_load(yaml.safe_dump(stated)))
    again, _ = parse(verb, kind, shlex.split(shlex.join(command))[1 + len(verb.split()) :])
    assert identity(to_dict(again)) == stated
    assert len(command) <= 12 + 2 * len(typed)


def test_metrics_that_there_are_not_are_left_out(run_dir: Path, tmp_path: Path) -> None:
    result = json.loads((run_dir / "result.json").read_text())
    result["metrics"] |= {"student/top5": None, "test/5-way-1-shot": 0.5}
    result["lineage"] |= {"empty": {}, "nothing": None, "source": [{"spec": "a.jpg"}, {"spec": "b.jpg"}]}
    (run_dir / "result.json").write_text(json.dumps(result))
    assert main(["export", str(run_dir), "--to", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out/README.md").read_text()
    assert "None" not in text
    assert "{" not in text
    assert "top5" not in text
    assert "| test/5-way-1-shot | 50.00 % |" in text
    assert "- source 2 / spec: `b.jpg`" in text


class Hub(BaseHTTPRequestHandler):
    """The few answers of the Hugging Face hub that an upload and a download ask for; who is not "me" may not write."""

    protocol_version = "HTTP/1.1"
    repos: ClassVar[dict[str, dict[str, bytes]]]
    messages: ClassVar[list[str]]

    def answer(self, status: int, body: Any = b"", **headers: str) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(raw)), **headers}.items():
            self.send_header(key.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        api, *path = self.path.strip("/").split("/")
        assert api == "api"
        if path == ["validate-yaml"]:
            return self.answer(200, {"errors": [], "warnings": []})
        if self.headers["Authorization"] != "Bearer hf_mine":
            return self.answer(401, {"error": "Invalid username or password."})
        if path == ["repos", "create"]:
            repo = "{organization}/{name}".format(**{"organization": "me", **json.loads(body)})
            if not repo.startswith("me/"):
                return self.answer(403, {"error": f"You may not create {repo}"})
            status = 409 if repo in self.repos else 200
            self.repos.setdefault(repo, {})
            return self.answer(status, {"url": f"http://{self.headers['Host']}/{repo}"})
        assert path[0] == "models"
        assert path[4] == "main"
        repo = self.repos[name := "/".join(path[1:3])]
        if path[3] == "preupload":
            files = [{**file, "uploadMode": "regular", "shouldIgnore": False} for file in json.loads(body)["files"]]
            return self.answer(200, {"files": files})
        assert path[3] == "commit"
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "header":
                self.messages.append(line["value"]["summary"])
            else:
                assert line["key"] == "file"
                repo[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        return self.answer(
            200, {"commitUrl": f"http://{self.headers['Host']}/{name}/commit/{'0' * 40}", "commitOid": "0" * 40}
        )

    def do_GET(self) -> None:
        repo, resolve, file = self.path[1:].partition("/resolve/main/")
        found = self.repos.get(repo, {}).get(file) if resolve else None
        if found is None:
            return self.answer(404, X_Error_Code="EntryNotFound")
        return self.answer(200, found, ETag=f'"{hashlib.sha1(found).hexdigest()}"', X_Repo_Commit="0" * 40)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A server on this machine that stands in for the Hugging Face hub, for huggingface_hub as it is."""
    from huggingface_hub import constants, hf_api

    kept = type("Kept", (Hub,), {"repos": {}, "messages": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kept)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(hf_api.api, "endpoint", address)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", "hf_mine")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield kept
    server.shutdown()
    server.server_close()
    thread.join()


def test_to_the_hub_and_back(hub: type[Hub], run_dir: Path, tmp_path: Path, capsys) -> None:
    assert main(["export", str(run_dir), "--to", str(tmp_path / "out"), "--push", "me/student"]) == 0
    assert "as hf-hub:me/student" in capsys.readouterr().out
    files = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert hub.repos == {"me/student": files}
    assert hub.messages == [f"exuno export {run_dir}"]
    x = torch.rand(2, 3, 8, 8)
    one, two = (load_model(spec, pretrained=True).eval() for spec in (f"run:{run_dir}", "hf-hub:me/student"))
    assert torch.equal(one(x), two(x))
    assert two.card.class_names == ("a", "b", "c|d")
    assert main(["export", "hf-hub:me/student", "--to", str(tmp_path / "again"), "--push", "me/student"]) == 0
    assert len(hub.messages) == 2


def test_the_hub_refuses(hub: type[Hub], run_dir: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    def told(repo: str, folder: Path) -> str:
        assert main(["export", str(run_dir), "--to", str(folder), "--push", repo]) == 2
        assert (folder / "README.md").is_file()
        return " ".join(capsys.readouterr().err.split())

    said = told("others/student", tmp_path / "a")
    assert "was written, but not pushed to others/student" in said
    assert "403" in said
    assert f"hf upload others/student {tmp_path / 'a'}" in said
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "401" in told("me/student", tmp_path / "b")
    assert not hub.repos


def test_mistakes(run_dir: Path, tmp_path: Path, tiny_poster: Callable, capsys) -> None:
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


def test_help_needs_no_torch() -> None:
    code = "import sys; from exuno.cli import main; main(['export', '--help']); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_torch_hub_from_a_checkout(run_dir: Path) -> None:
    model = torch.hub.load(str(ROOT), "model", f"run:{run_dir}", source="local")
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(model(x), load_model(f"run:{run_dir}", pretrained=True).eval()(x))  # pyright: ignore
    fresh = torch.hub.load(str(ROOT), "model", "exuno:wrn_10_1", source="local", pretrained=False, classes=5)
    assert fresh(x).shape == (2, 5)  # pyright: ignore


def test_text_of_others_is_quoted() -> None:
    from exuno.exporting.readme import document, lineage_of

    nasty = "x\n\n# Heading <script>alert(1)</script> ![](http://x/y.png) | cell"
    lineage = lineage_of({nasty: f"`{nasty}"}, ["exuno", "```\n# out"])
    page = document(nasty, {"Network": nasty}, {"From": lineage}, None, [], nasty)
    prose, code = page.split("````sh", 1)  # a longer fence than what stands in the command
    assert "```\n# out" in code
    shown = [re.sub("`[^`]*`", "", line) for line in prose.splitlines()]  # without what is code, and shown as it is
    quoted = [line for line in shown if "Heading" in line]
    assert len(quoted) == 4
    assert all(re.search(r"\\<script|&lt;script", line) and ("!\\[" in line or "]\\(" in line) for line in quoted)
    assert not any(line.startswith("# Heading") for line in shown)
