"""``exuno explain WORD``. Imports no torch until the work begins."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from exuno.commandline import parsed
from exuno.engine.errors import ExunoError


def penultimate(args: Sequence[str]) -> None:
    """The features before the last layer of one model or several."""
    from exuno.explain.options import PenultimateConfig, complete_penultimate

    config = complete_penultimate(parsed("explain penultimate", PenultimateConfig, args))

    def work() -> None:
        from exuno.explain.penultimate import explain_penultimate

        explain_penultimate(config)

    splits = " and ".join(config.split)
    begin(config, f"one pass of {len(config.models)} models over {config.data}, {splits}", work)


def neurons(args: Sequence[str]) -> None:
    """Activation maximisation of the units of one model or several."""
    from exuno.explain.options import NeuronsConfig, complete_neurons

    config = complete_neurons(parsed("explain neurons", NeuronsConfig, args))

    def work() -> None:
        from exuno.explain.neurons import explain_neurons

        explain_neurons(config)

    units = f"{len(config.units)} units" if config.units else "the first ten units"
    each = f"{units} of {len(config.models)} models, pictures of each: {config.pictures}"
    begin(config, f"{each}; each step a pass forward and back", work)


def attention(args: Sequence[str]) -> None:
    """Where a transformer looks in some pictures."""
    from exuno.explain.options import AttentionConfig, complete_attention

    config = complete_attention(parsed("explain attention", AttentionConfig, args))

    def work() -> None:
        from exuno.explain.attention import explain_attention

        explain_attention(config)

    begin(config, f"one pass over {len(config.images)} images", work)


def begin(config: Any, cost: str, work: Callable[[], None]) -> None:
    """Does the work of a word; for a dry run tells what it would be, and only opens and checks all."""
    if not config.run.dry_run:
        return work()
    from exuno.engine.session import print_plan
    from exuno.explain.options import values_of
    from exuno.specs import rehearse

    print_plan(values_of(config), None, [cost])
    return rehearse(config, work)


WORDS: dict[str, tuple[Callable[[Sequence[str]], None], str]] = {
    "penultimate": (penultimate, "the features before the last layer: a plane, distances, diffusion"),
    "neurons": (neurons, "activation maximisation of logits or channels, of several models"),
    "attention": (attention, "where a transformer looks in a picture"),
}
"""Second word -> what carries it out, and a line for the help."""

USAGE = """usage: exuno explain WORD MODEL ... [--options]

Look inside a model.

{words}

exuno explain WORD --help tells the options.
"""


def main(args: Sequence[str]) -> None:
    """Finds the second word and hands over.

    Raises:
        ExunoError: there is no such word, or what it raises.
    """
    word, *rest = args or ["--help"]
    if word in ("-h", "--help", "help"):
        print(USAGE.format(words="\n".join(f"  {name:13}{about}" for name, (_, about) in WORDS.items())), end="")
    elif word in WORDS:
        WORDS[word][0](rest)
    else:
        near = get_close_matches(word, WORDS, 1)
        hint = f"Did you mean '{near[0]}'? " if near else ""
        raise ExunoError(f"'exuno explain {word}' is not understood", f"{hint}The words are: {', '.join(WORDS)}.")
