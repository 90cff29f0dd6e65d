"""What is on the page, and what happens when something is chosen."""

from pathlib import Path
from typing import Any

import gradio as gr

from gateway.context import Gateway
from gateway.page import words
from gateway.page.questions import Questions
from lesions.labels import CLASSES, NOTICE

FILES = Path(__file__).parent / "files"
CSS = FILES / "page.css"
ABOUT = (FILES / "about.md").read_text(encoding="utf-8").format(notice=NOTICE)
SHOWN = 4
"""How many versions answer until others are chosen."""
COUNT = 16
"""Synthetic images at first."""
LIVE = '<div aria-live="polite">${value}</div>'
"""A template that screen readers read out when it changes."""
CLASS_CHOICES = [(words.named(label), label) for label in CLASSES]
CALL: dict[str, Any] = {
    "queue": False,  # the gateway has queues
    "api_visibility": "private",
    "preprocess": False,  # `Questions` checks what is sent: Gradio would have to remember what was to choose from
    "show_progress": "minimal",
}
"""How the page asks."""


def layout(gateway: Gateway) -> gr.Blocks:
    """The page, in three tabs."""
    questions = Questions(gateway)
    blocks = gr.Blocks(title="Lesion Zoo", analytics_enabled=False)
    with blocks:
        gr.Markdown(ABOUT, elem_id="about")
        with gr.Tab("Classify"):
            classifiers, explainer = _classify(questions, gateway.settings.max_request_bytes)
        with gr.Tab("Synthesize"):
            generators = _synthesize(questions)
        with gr.Tab("Model cards"):
            described = gr.Dropdown([], label="Version", interactive=True)
            card = gr.Markdown(elem_id="card")
            described.change(questions.card, described, card, **CALL)

        async def choices() -> list[Any]:
            """Fill in what is served now."""
            classifying, generating = await questions.served()
            everything = classifying + generating
            return [
                gr.CheckboxGroup(choices=classifying, value=classifying[:SHOWN]),
                *(gr.Dropdown(choices=names, value=next(iter(names), None)) for names in (classifying, generating)),
                gr.Dropdown(choices=everything, value=next(iter(everything), None)),
            ]

        blocks.load(choices, None, [classifiers, explainer, generators, described], **CALL)
    return blocks


def _classify(questions: Questions, largest: int) -> tuple[gr.CheckboxGroup, gr.Dropdown]:
    with gr.Row():
        with gr.Column(min_width=300):
            picture = gr.HTML(
                None,
                html_template=(FILES / "picture.html").read_text(encoding="utf-8"),
                js_on_load=(FILES / "picture.js").read_text(encoding="utf-8"),
                largest=largest,
                problem="",
                elem_id="picture",
            )
            problem = gr.HTML("", html_template=LIVE, elem_id="problem")
            versions = gr.CheckboxGroup([], label="Versions that answer", elem_id="versions")
        with gr.Column(min_width=300):
            gr.Markdown("## Where the network looks")
            with gr.Row():
                explainer = gr.Dropdown([], label="Version", interactive=True, min_width=120)
                label = gr.Dropdown([("the predicted class", ""), *CLASS_CHOICES], label="Class", min_width=200)
            overlay = gr.HTML("", html_template=LIVE, elem_id="overlay")
    gr.Markdown("## What each version says")
    answers = gr.HTML("", html_template=LIVE, elem_id="answers")
    gr.on([picture.change, versions.change], questions.classify, [picture, versions], [problem, answers], **CALL)
    asked = [picture, explainer, label]
    gr.on([picture.change, explainer.change, label.change], questions.explain, asked, overlay, **CALL)
    return versions, explainer


def _synthesize(questions: Questions) -> gr.Dropdown:
    with gr.Row():
        generator = gr.Dropdown([], label="Generator", interactive=True, min_width=140)
        label = gr.Dropdown(CLASS_CHOICES, value="mel", label="Class", min_width=200)
        count = gr.Number(COUNT, label="Images", minimum=1, maximum=64, precision=0, min_width=80)
        seed = gr.Number(7, label="Seed", minimum=0, maximum=2**53, precision=0, min_width=80)
    draw = gr.Button("Draw", variant="primary")
    grid = gr.HTML("", html_template=LIVE, elem_id="grid")
    draw.click(questions.synthesize, [generator, label, count, seed], grid, **CALL)
    return generator
