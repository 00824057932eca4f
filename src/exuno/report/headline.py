"""The top and the bottom of the page: what was done and how well, and how to repeat it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from exuno.engine.session import summary_of
from exuno.report.html import duration, esc, facts, flatten, hue, is_share, percent, pretty, section, table
from exuno.report.record import Record, mapping

WORDS = {
    "top5": "top-5 accuracy",
    "ece": "calibration error",
    "agreement": "agreement with the teacher",
    "agreement/top1": "same answer as the teacher",
    "agreement/kl": "KL from the teacher, nats",
    "similarity/cosine": "cosine similarity to the teacher's features",
    "similarity/error": "squared error of the features",
    "mean vector/cosine": "cosine similarity of the teacher's mean vector",
}
DIGITS = 2  # of a published number; ours show one, or two from 5,000 samples on


EPISODES = re.compile(r"\d+-way-\d+-shot(/\w+)?$")
"""The end of a key of result.json that is a mean accuracy over episodes: ``test/5-way-1-shot``."""


@dataclass(frozen=True)
class Score:
    """A top-1 accuracy (a fraction) with its 95 % interval and numbers of test samples and networks, where known."""

    name: str
    value: float
    interval: tuple[float, float] | None = None
    n: int | None = None
    networks: int = 1
    """How many networks it is the mean of."""

    @property
    def few_shot(self) -> bool:
        """Whether it is the mean over ``n`` episodes."""
        return bool(EPISODES.search(self.name))

    @property
    def text(self) -> str:
        return percent(self.value, 2 if (self.n or 0) >= 5000 else 1)


def is_accuracy(key: str) -> bool:
    """Whether a name of result.json is the top-1 accuracy of a model, of test samples or over episodes (agreement with
    the teacher is none)."""
    return bool(EPISODES.search(key)) or (key.endswith("/top1") and not key.startswith("agreement/"))


def scores(record: Record) -> list[Score]:
    """Every ``MODEL/top1`` and ``MODEL/5-way-1-shot``: from result.json, else from the files in ``evaluation/``."""
    counts, networks, found = record.part("n"), record.part("networks"), []
    for key, value in record.part("metrics").items():
        if is_accuracy(key) and is_share(value):
            n, runs = counts.get(key), networks.get(key.removesuffix("/top1"))
            many = len(runs) if isinstance(runs, list) and runs else 1
            found.append(Score(key, value, _interval(record, key), n if isinstance(n, int) else None, many))
    if not found:
        for one in record.evaluations:
            summary = one.summary
            found.append(Score(f"{one.name}/top1", summary["top1"], summary["interval"], summary["n"]))
    first = {"teacher": 0, "student": 1}
    return sorted(found, key=lambda score: first.get(hue(score.name), 2))


def _interval(record: Record, key: str) -> tuple[float, float] | None:
    pair = record.part("intervals").get(key)
    return (pair[0], pair[1]) if isinstance(pair, list) and len(pair) == 2 and all(map(is_share, pair)) else None


def title(record: Record) -> str:
    """What was done: the summary of the run, else preset, models and data, else the name of its folder."""
    named = f"{record.verb} {record.preset}" if record.preset else ""
    told = summary_of(record.verb, mapping(record.config.get("config")))
    bare = record.verb if record.config.get("verb") else ""
    return str(record.about.get("summary") or named or told or bare or record.name).rstrip(".")


def hero(record: Record) -> str:
    """Title, and one line of when, where and how long."""
    result, environment = record.result or {}, record.environment
    device = result.get("device") or environment.get("device")
    device = environment.get("cpu") or device if device == "cpu" else device
    spent = duration(result.get("wall_seconds", record.seconds))
    chips = [str(environment.get("started") or "")[:10], spent, str(device or "")]
    line = "".join(f"<li>{esc(chip)}</li>" for chip in chips if chip)
    eyebrow = " · ".join(filter(None, (f"exuno {record.verb}", record.preset)))
    head = f'<p class="eyebrow">{esc(eyebrow)}</p><h1>{esc(title(record))}</h1>'
    return f'<header>{head}<ul class="chips">{line}</ul></header>'


SMOKE = ("A smoke run:", "the same path on a sliver of the work. Its numbers say nothing about the method.")
"""What is said of one, on the page and in the card of its model."""


def status(record: Record) -> str:
    """A banner while there is no result, or none that counts."""
    if record.result is not None:
        text = f"<b>{SMOKE[0]}</b> {SMOKE[1]}" if record.smoke else ""
        if not record.smoke and any(key.split(" / ")[-1] == "smoke" for key, _ in flatten(record.part("lineage"))):
            text = f"<b>Of a smoke run:</b> a model that it used was trained on {SMOKE[1].partition(' on ')[2]}"
        return f'<p class="banner">{text}</p>' if text else ""
    steps = max((curve[-1][0] for curve in record.curves.values()), default=0)
    after = f" It has logged {steps:,.0f} steps in {duration(record.seconds) or 'no time'}." if steps else ""
    todo = "What follows is what has been written so far; the command that started it continues it."
    return f'<p class="banner"><b>This run has not finished.</b>{esc(after)} {todo}</p>'


def cards(record: Record) -> str:
    """A card for each model: accuracy, interval, n, and the distance to the published number."""
    published = mapping(record.published)
    return "".join(_card(score, published.get(score.name)) for score in scores(record)[:4])


def _card(score: Score, paper: Any) -> str:
    name = pretty(score.name)
    share = f" of {score.n:,} test samples" if score.n else ""
    mean = f", mean of {score.networks} networks" if score.networks > 1 else ""
    lines = [f"top-1 accuracy{share}{mean}"]
    if score.few_shot:
        lines = [f"mean accuracy over {f'{score.n:,} ' if score.n else ''}episodes of new classes"]
    if score.interval:
        low, high = (f"{100 * bound:.1f}" for bound in score.interval)
        lines.append(f"95\u202f% interval {low} – {high}")
    if is_share(paper):
        distance = f"{100 * (score.value - paper):+.1f}".replace("-", "−")
        lines.append(f"published {percent(paper, DIGITS)} (ours {distance})")
    small = "".join(f"<p>{esc(line)}</p>" for line in lines)
    head = f'<h3>{esc(name)}</h3><p class="big">{esc(score.text)}</p>'
    return f'<article class="card {hue(score.name)}">{head}{small}</article>'


def strip(record: Record) -> str:
    """All accuracies on one scale from 0 to 100 %: ours with intervals, baselines, published."""
    ours = scores(record)
    if not ours:
        return ""
    rows = [(score, hue(score.name), "") for score in ours] + list(_others(record))
    return f'<div class="strip">{"".join(strip_row(*row) for row in rows)}{SCALE}</div>'


SCALE = (
    '<div class="row scale" aria-hidden="true"><span>accuracy</span><span class="track"><i>0</i><i>25</i><i>50</i>'
    "<i>75</i><i>100\u202f%</i></span><span></span></div>"
)


def guesses(record: Record) -> dict[str, float]:
    """Accuracies of guessing, ``chance/top1`` and the like: as result.json says, else from the labels on disk; of
    episodes one over their classes, ``chance/5-way``."""
    told = {key: value for key, value in record.part("baselines").items() if key in GUESSES and is_share(value)}
    found = told or (dict(record.evaluations[-1].summary["guessing"]) if record.evaluations else {})
    names = [score.name for score in scores(record)] + [name for name in record.curves if EPISODES.search(name)]
    ways = sorted({int(way[1]) for name in names if (way := re.search(r"(\d+)-way-", name))})
    return found | {f"chance/{way}-way": 1 / way for way in ways if way}


GUESSES = ("chance/top1", "largest class/top1")


def _others(record: Record) -> Iterator[tuple[Score, str, str]]:
    guessed = guesses(record)
    for key, value in guessed.items():
        yield Score(key, value), "other", "baseline"
    for key, value in record.part("baselines").items():
        if key in guessed:
            continue
        if is_share(value) and (is_accuracy(key) or "/" not in key):
            n = record.part("n").get(key)
            yield Score(key, value, _interval(record, key), n if isinstance(n, int) else None), "other", "baseline"
    for key, value in mapping(record.published).items():
        if is_share(value) and is_accuracy(key):
            yield Score(key, value), hue(key), "published"


def strip_row(score: Score, colour: str, kind: str = "") -> str:
    """One line of the strip: name, a dot with its interval, the number."""
    whisker = ""
    if score.interval:
        low, high = score.interval
        whisker = f'<i class="whisker" style="left:{100 * low:.2f}%;width:{100 * (high - low):.2f}%"></i>'
    dot = f'<i class="mark {esc(kind)}" style="left:{100 * score.value:.2f}%"></i>'
    label = f"{esc(pretty(score.name))}{f' <small>{esc(kind)}</small>' if kind else ''}"
    value = percent(score.value, DIGITS) if kind == "published" else score.text
    track = f'<span class="track">{whisker}{dot}</span>'
    return f'<div class="row {esc(colour)}"><span class="label">{label}</span>{track}<b>{esc(value)}</b></div>'


def numbers(record: Record) -> str:
    """The other metrics of the result, the baselines that are no accuracies, and what the paper says in words."""
    pairs = []
    for key, value in {**record.part("metrics"), **record.part("baselines")}.items():
        if not is_accuracy(key) and isinstance(value, int | float):
            shown = percent(value) if is_share(value) and _is_percent(key) else f"{value:.4g}"
            *where, last = key.split("/")
            pairs.append((WORDS.get(key) or pretty("/".join([*where, WORDS.get(last, last)])), shown))
    return facts(pairs)


def _is_percent(key: str) -> bool:
    return key.rsplit("/", 1)[-1] in ("top1", "top5", "agreement", "accuracy", "ece") or "/" not in key


def origin(record: Record) -> str:
    """Where the idea comes from: the paper (linked), its numbers, the cost."""
    about, items = record.about, []
    if about.get("paper"):
        items.append(f"<div><dt>Paper</dt><dd>{_linked(str(about['paper']))}</dd></div>")
    text = _published(record.published)
    named = [("Published", text), ("Cost", about.get("cost"))]
    items += [f"<div><dt>{name}</dt><dd>{esc(value)}</dd></div>" for name, value in named if value]
    body = f'<dl class="facts">{"".join(items)}</dl>' if items else ""
    return section("Where it comes from", body)


def _published(value: Any) -> str:
    if not isinstance(value, dict):
        return str(value or "")
    shares = {key: percent(share, DIGITS) if is_share(share) else share for key, share in value.items()}
    return ", ".join(f"{pretty(name)} {text}" for name, text in flatten(shares))


def _linked(text: str) -> str:
    """Escaped text in which the first web address or arXiv number is a link."""
    found = re.search(r"https?://[^\s<>\"')]+|arXiv[: ]\s?(\d{4}\.\d{4,5})", text)
    if not found:
        return esc(text)
    address = f"https://arxiv.org/abs/{found[1]}" if found[1] else found[0].rstrip(".,;")
    shown = found[0] if found[1] else address
    end = found.start() + len(shown)
    return f'{esc(text[: found.start()])}<a href="{esc(address)}" rel="noopener">{esc(shown)}</a>{esc(text[end:])}'


def top(record: Record) -> str:
    """Header, banner, cards, strip and further numbers."""
    shown = cards(record)
    body = f'<div class="cards">{shown}</div>{strip(record)}{numbers(record)}' if shown else numbers(record)
    result = f'<section class="headline">{body}</section>' if body else ""
    return hero(record) + status(record) + result


def replay(record: Record) -> str:
    """The command, ready to be copied; its comments below it."""
    lines = record.command.splitlines() or [_joined(record)]
    command = "\n".join(line for line in lines if not line.startswith("#")).strip()
    remarks = "".join(f"<p>{esc(line.lstrip('# '))}</p>" for line in lines if line.startswith("#"))
    return section("Replay", f'<pre class="command">{esc(command)}</pre>{remarks}' if command else remarks)


def _joined(record: Record) -> str:
    command = (record.result or {}).get("command", "")
    return " ".join(map(str, command)) if isinstance(command, list) else str(command)


def configuration(record: Record) -> str:
    """config.yaml as it stands, folded."""
    text = record.config_text.strip()
    lines = len(text.splitlines())
    fold = f"<details><summary>config.yaml, {lines} lines</summary><pre>{esc(text)}</pre></details>"
    return section("Configuration", fold if text else "")


def environment(record: Record) -> str:
    """Machine and versions."""
    result = record.result or {}
    known = {**mapping(result.get("versions")), **record.environment}
    if isinstance(result.get("wall_seconds"), int | float):
        known["wall time"] = duration(result["wall_seconds"])
    if isinstance(memory := result.get("peak_memory_bytes"), int | float):
        known["peak memory"] = f"{memory / 2**20:,.0f} MiB"
    rows = [[esc(name.replace("_", " ")), esc(value)] for name, value in flatten(known)]
    return section("Environment", table([], rows, "plain") if rows else "")


def lineage(record: Record) -> str:
    """What the result was made from, with checksums."""
    rows = [
        [esc(name.replace("_", " ")), f"<code>{esc(value)}</code>"] for name, value in flatten(record.part("lineage"))
    ]
    return section("Lineage", table([], rows, "plain") if rows else "")


def remarks(record: Record) -> str:
    """What the run itself says that a reader should know of its numbers."""
    told = (record.result or {}).get("notes")
    items = "".join(f"<li>{esc(note)}</li>" for note in told) if isinstance(told, list) else ""
    return section("Notes", f"<ul>{items}</ul>" if items else "")


def notes(record: Record) -> str:
    """What the page lacks because it could not be read."""
    items = "".join(f"<li>{esc(note)}</li>" for note in record.notes)
    return section("Not shown", f"<ul>{items}</ul>" if items else "")
