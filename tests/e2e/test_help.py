"""--help: usage, presets, three examples and the options that people use; all of them; what a shell completes."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from exuno.cli import main
from exuno.commandline.fields import options_of
from exuno.presets import files, read, summaries
from exuno.verbs import VERBS

KINDS = {f"{name} {word}".strip(): place for name, verb in VERBS.items() for word, place in verb.options.items()}
"""Command -> its configuration."""


def kind_of(command: str) -> Any:
    module, _, name = KINDS[command].partition(":")
    return getattr(import_module(module), name)


def help_of(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main([*args]) == 0
    return capsys.readouterr().out


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("command", KINDS)
def test_the_help_of_a_verb(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(capsys, *command.split(), "--help")
    presets = [name for _, name in files(command)]
    assert said.startswith(f"usage: exuno {command}{' [PRESET]' if presets else ''}")
    assert all(re.search(rf"^  {re.escape(name)}  +\w", said, re.MULTILINE) for name in presets)
    assert len(re.findall(rf"^  exuno {command} ", said, re.MULTILINE)) == 3
    shown = re.findall(r"^  (--\S+|[A-Z]{2}\S*)", said, re.MULTILINE)
    assert 3 <= len(shown) <= 22
    assert "|None" not in said
    assert "STR" not in said
    assert said == help_of(capsys, *command.split(), "-h")


@pytest.mark.parametrize("command", KINDS)
def test_the_rest_of_the_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(capsys, *command.split(), "--help", "all")
    for option in options_of(kind_of(command)):
        assert f"\n  {option.shown}" in said.replace("\n    ", " ") or option.shown in " ".join(said.split())
        assert option.about, option.name
        assert " ".join(option.about.split()) in " ".join(said.split())


@pytest.mark.parametrize("args", [["--help"], ["fewshot", "--help"], ["explain", "--help"], ["presets", "-h"]])
def test_the_help_of_words_fits_80_columns(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert max(map(len, help_of(capsys, *args).splitlines())) <= 80


@pytest.mark.parametrize("columns", ["80", "72", "200"])
def test_lines_fit_the_terminal(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for command in KINDS:
        for args in (["--help"], ["-h", "all"]):
            lines = help_of(capsys, *command.split(), *args).splitlines()
            assert max(map(len, lines)) <= min(100, int(columns)), command


def test_summaries_are_those_of_the_files() -> None:
    for verb in {verb for verb, _ in files()}:
        assert summaries(verb) == {name: read(verb, name).about["summary"] for _, name in files(verb)}


def test_options_people_use_are_options() -> None:
    for command in KINDS:
        kind = kind_of(command)
        often = getattr(kind, "OFTEN", "").split()
        assert set(often) <= {option.name for option in options_of(kind)}, command
        assert len(often) == len(set(often)) <= 20, command


@pytest.mark.parametrize("command", KINDS)
def test_examples_are_understood(command: str) -> None:
    """Every option in them is one; what they name need not be there."""
    from exuno.commandline.read import check_options

    for example in kind_of(command).EXAMPLES:
        words = shlex.split(example)
        assert words[: 1 + len(command.split())] == ["exuno", *command.split()]
        check_options(command, words, options_of(kind_of(command)))


def test_a_preset_shows_its_own_values(capsys: pytest.CaptureFixture[str]) -> None:
    said = " ".join(help_of(capsys, "teach", "digits", "--help").split())
    assert said.startswith("usage: exuno teach digits [--options]")
    assert "--epochs N Times the training set is seen. (60)" in said
    assert "--data DATA What to train and test on. (digits)" in said


def test_metavars_say_what_is_wanted(capsys: pytest.CaptureFixture[str]) -> None:
    said = help_of(capsys, "distill", "--help", "all")
    for words in (
        *("--teacher MODEL", "--student MODEL", "--data DATA", "--source PHOTO …", "--data-root DIR", "--run-dir DIR"),
        *("--epochs N", "--loss.temperature X", "--[no-]fresh", "--loss.[no-]t2", "--optim.name adam|adamw|sgd"),
    ):
        assert words in said


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["distil", "digits"], "Did you mean 'distill'?"),
        (["fewshot", "pretain", "digits"], "Did you mean 'pretrain'?"),
        (["fewshot", "pretrain", "digitz"], "Did you mean 'digits'?"),
        (["distill", "digits", "--lerning-rate", "0.1"], "Did you mean --optim.lr"),
        (["distill", "digits", "--learning_rate=0.1"], "Did you mean --optim.lr"),
        (["distill", "digits", "--lr", "0.1"], "Did you mean --optim.lr?"),
        (["distill", "digits", "--temprature", "4"], "Did you mean --loss.temperature?"),
        (["distill", "digits", "--weightdecay", "0"], "Did you mean --optim.weight-decay?"),
        (["teach", "digits", "--loss.temperature", "4"], "teach has no option --loss.temperature"),
        (["teach", "digits", "--epohcs", "4"], "Did you mean --epochs?"),
        (["eval", "x", "--ouput", "4"], "eval has no option --ouput"),
        (["synth", "photo:cat", "--cuont", "4"], "Did you mean --count?"),
        (["explain", "attention", "--blok", "4"], "Did you mean --block?"),
        (["distill", "--dry-run", "digits"], "Write it first: exuno distill digits --dry-run"),
        (["distill", "--teacher", "x"], "distill needs --student."),
        (["eval"], "eval needs MODEL."),
        (["teach", "digits", "--epochs", "ten"], "--epochs: 'ten' is no whole number."),
        (["teach", "digits", "--optim.lr=high"], "--optim.lr: 'high' is no number."),
        (["fewshot", "eval", "x", "--shot", "1,5"], "--shot: '1,5' is not understood, spaces part several values."),
        (["fewshot", "eval", "x", "--shot", "1", "five"], "--shot: '1', 'five' is not understood."),
        (["teach", "digits", "--epochs", "many"], "--epochs N: Times the training set is seen."),
        (
            ["teach", "digits", "--optim.name", "adm"],
            "--optim.name adm is no optimizer. Did you mean adam? There are adam, adamw, sgd, lars, muon;",
        ),
        (["fewshot", "eval", "pixels", "--data", "digits", "--shot"], "--shot is empty. Give numbers from 1."),
        (["distill", "my-photo.jpg"], "'my-photo.jpg' stands where distill has the name of a preset."),
        (["teach", "folder:x"], "exuno teach digits --OPTION VALUE."),
        (["study"], "Or name a preset first: exuno study label-smoothing-digits."),
        (["app", "my-photo.jpg"], "there is no place for 'my-photo.jpg' in this command."),
        (["presets", "show", "eval", "x"], "the verb 'eval' has no presets. Verbs with presets: distill,"),
        (["--completion", "fish"], "Give --completion bash or zsh."),
    ],
)
def test_misspelt_words(fails, args: list[str], words: str) -> None:
    said = fails(*args)
    assert words in said
    assert "─" not in said


def test_a_misspelt_preset_beside_a_folder_of_that_name(fails, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("cifar10", "xyz"):
        (tmp_path / name).mkdir()
    assert "'cifar10' is no preset of teach. Did you mean 'cifar10-" in fails("teach", "cifar10", "--dry-run")
    assert "'xyz' stands where teach has the name of a preset" in fails("teach", "xyz", "--dry-run")


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such terminals")
def test_on_a_terminal_a_complaint_has_neither_frame_nor_colours() -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "exuno", "fewshot", "eval", "x", "--shot", "1,5"]
    ended = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    os.close(ours)
    assert ended.stderr.startswith("exuno: --shot: '1,5' is not understood, spaces part several values.\n")
    assert "\x1b" not in ended.stderr


def completions(script: Path, *words: str) -> list[str]:
    """What bash would propose for the last of the words."""
    typed = " ".join(f"'{word}'" for word in words)
    code = f"source '{script}'; COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _exuno; echo \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_shell_completes_verbs_presets_options_and_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not shutil.which("bash"):
        pytest.skip("there is no bash")
    script = tmp_path / "exuno.sh"
    script.write_text(help_of(capsys, "--completion", "bash"))
    for words, expected in (
        (["dis"], ["distill"]),
        (["distill", "dig"], ["digits", "digits-kd"]),
        (["distill", "digits", "--temp"], []),
        (["distill", "digits", "--loss.te"], ["--loss.temperature"]),
        (["distill", "digits", "--optim.name", ""], ["adam", "adamw", "lars", "muon", "sgd"]),
        (["fewshot", "p"], ["predict", "pretrain"]),
        (["pred"], ["predict"]),
        (["predict", "--format", ""], ["csv", "jsonl", "table"]),
        (["fewshot", "pretrain", "mini"], ["mini-imagenet"]),
        (["fewshot", "pretrain", "digits", "--mask.sh"], ["--mask.shape"]),
        (["synth", "video", "--fp"], ["--fps"]),
        (["distill", "digits", "--source", "my"], []),  # then bash completes names of files
        (["presets", "s"], ["show"]),
    ):
        assert sorted(completions(script, "exuno", *words)) == expected


def test_a_script_for_zsh(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = help_of(capsys, "--completion", "zsh")
    assert "bashcompinit" in said
    if not shutil.which("zsh"):
        pytest.skip("there is no zsh")
    (tmp_path / "exuno.zsh").write_text(said)
    code = f"autoload -Uz compinit; compinit -D; source '{tmp_path}/exuno.zsh'; typeset -f _exuno | head -1"
    done = subprocess.run(["zsh", "-fc", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_and_completion_import_no_torch() -> None:
    code = "import sys; from exuno.cli import main\n"
    code += "for args in (['distill', '--help'], ['poster', '-h', 'all'], ['--completion', 'bash']): main(args)\n"
    code += "sys.exit('torch' in sys.modules or 'numpy.linalg' in sys.modules and 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
