"""``exuno --completion bash|zsh``: a script that completes verbs, presets, options and their choices. No torch.

The script knows all words and starts no Python, so a completion takes no time. The same command makes it anew after an
update of exuno.
"""

from collections.abc import Mapping
from importlib import import_module

from exuno.commandline.fields import options_of
from exuno.engine.errors import ExunoError
from exuno.presets import files
from exuno.verbs import VERBS

SHELLS = {
    "bash": '# Put this into ~/.bashrc:  eval "$(exuno --completion bash)"',
    "zsh": '# Put this into ~/.zshrc, below compinit:  eval "$(exuno --completion zsh)"\n'
    "autoload -U +X bashcompinit && bashcompinit",
}
SCRIPT = """{head}
_exuno() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}"
  local IFS=$' \\t\\n' verb="" words="" depth=1
  [ "$COMP_CWORD" -gt 1 ] && verb="${{COMP_WORDS[1]}}"
  if [ "$COMP_CWORD" -gt 2 ]; then
    case "$verb ${{COMP_WORDS[2]}}" in
      {second}) verb="$verb ${{COMP_WORDS[2]}}" depth=2 ;;
    esac
  fi
  case "$verb $before" in
{choices}
  esac
  if [ -z "$words" ]; then
    case "$verb" in
      "") words="{verbs}" ;;
{listed}
    esac
    case "$current" in
      -*) ;;
      *) [ "$COMP_CWORD" -gt $(( depth + 1 )) ] && words="" ;;
    esac
  fi
  COMPREPLY=( $(compgen -W "$words" -- "$current") )
}}
complete -o default -F _exuno exuno
"""


def script(shell: str) -> str:
    """The script for a shell, to be evaluated by it.

    Raises:
        ExunoError: another shell.
    """
    if shell not in SHELLS:
        raise ExunoError(f"there is no completion for '{shell}'", f"Give --completion {' or '.join(SHELLS)}.")
    words, choices = vocabulary()
    return SCRIPT.format(
        head=SHELLS[shell],
        second="|".join(f'"{command}"' for command in words if " " in command),
        choices="\n".join(
            f'    "{command} {flag}") words="{" ".join(values)}" ;;'
            for command, flags in choices.items()
            for flag, values in flags.items()
        ),
        verbs=" ".join([*VERBS, "--help", "--version", "--completion"]),
        listed="\n".join(f'      "{command}") words="{" ".join(each)}" ;;' for command, each in words.items()),
    )


def vocabulary() -> tuple[Mapping[str, list[str]], Mapping[str, dict[str, tuple[str, ...]]]]:
    """Of each command: the words that may follow, and those that may follow an option of a few values."""
    words: dict[str, list[str]] = {}
    choices: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, verb in VERBS.items():
        seconds = [second for second in verb.options if second]
        words[name] = [*seconds, *verb.words, "--help"]
        for second, place in verb.options.items():
            command = f"{name} {second}".strip()
            module, _, kind = place.partition(":")
            options = options_of(getattr(import_module(module), kind))
            flags = [flag for option in options if not option.positional for flag in option.flags]
            presets = [preset for _, preset in files(command)]
            words[command] = [*(words[name] if not second else ["--help"]), *presets, *flags]
            choices[command] = {option.flag: option.choices for option in options if option.choices}
    return words, choices
