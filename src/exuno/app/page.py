"""The page around the tabs: its style, and nothing that a browser would fetch elsewhere."""

from importlib.resources import files

import gradio as gr
from gradio.themes import Base, Default

from exuno.app.few import few_tab
from exuno.app.parts import Desk
from exuno.app.photo import photo_tab
from exuno.app.poster import poster_tab

LETTERS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")
FIXED = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")
TITLE = "exuno: learning from almost no data"


def page(desk: Desk) -> gr.Blocks:
    """The whole page."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(3600, 86400)) as blocks:
        gr.Markdown("# exuno\nLearning from almost no data. All of it happens on this machine.", elem_id="head")
        with gr.Tab("Photograph"):
            photo_tab(desk, blocks)
        with gr.Tab("Poster"):
            poster_tab(desk, blocks)
        with gr.Tab("Few images"):
            few_tab(desk)
    return blocks


def theme() -> Base:
    """Letters of the reader's own system, none of a font service."""
    soft = {"body_text_color_subdued": "*neutral_500", "block_info_text_color": "*neutral_500"}
    return Default(primary_hue="indigo", font=LETTERS, font_mono=FIXED).set(**soft)


def style() -> str:
    """The style of a run's page (``report/style.css``) for the parts of this page that show runs, then this page's."""
    report = files("exuno.report").joinpath("style.css").read_text(encoding="utf-8")
    own = files("exuno.app").joinpath("style.css").read_text(encoding="utf-8")
    return f"<style>.exuno {{\n{report}\n}}\n{own}</style>"
