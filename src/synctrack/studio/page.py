"""The page: its fields and buttons, and what each of them calls."""

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio

from synctrack.diffusion.samplers import SAMPLERS
from synctrack.pipeline import SAMPLER, STEPS
from synctrack.studio.asking import BARS, SECONDS
from synctrack.studio.handlers import Handlers

# What the page's script does before or after a handler; see studio.js.
ASKED = "() => JSON.stringify({session: new URLSearchParams(location.search).get('session')})"
SHOW = "(where) => studio.show(where)"
WITH_FILES = "(...values) => studio.withFiles(values)"
HIDDEN = {"visible": "hidden", "container": False}
QUIET = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}


class Page:
    """The page as Gradio's Blocks, in `blocks`.

    Args:
        handlers: what its buttons call.
        stems: of the model.
    """

    def __init__(self, handlers: Handlers, stems: Sequence[str]) -> None:
        self.handlers, self.stems = handlers, list(stems)
        with gradio.Blocks(title="SyncTrack studio", analytics_enabled=False, fill_width=True) as self.blocks:
            self.where = gradio.Textbox(elem_id="where", label="session and take", **HIDDEN)
            self.files = gradio.Textbox(elem_id="files", label="uploads", **HIDDEN)
            gradio.HTML("<h1>SyncTrack studio</h1>")
            with gradio.Row():
                with gradio.Column(scale=2, min_width=340), gradio.Tabs():
                    with gradio.Tab("Make"):
                        self._make()
                    with gradio.Tab("Change"):
                        self._change()
                    with gradio.Tab("Separate"):
                        self._separate()
                    with gradio.Tab("Take along"):
                        self._take_along()
                with gradio.Column(scale=3, min_width=420):
                    self._listen()
            self._connect()

    def _make(self) -> None:
        self.seed = gradio.Number(0, label="Seed", minimum=0, precision=0, elem_id="seed")
        with gradio.Row():
            self.bpm = gradio.Number(0, label="Tempo (BPM)", info="0: drawn by the seed", elem_id="bpm")
            self.meter = gradio.Number(4, label="Beats per bar", minimum=1, precision=0, elem_id="meter")
        self.tap = gradio.Button("Tap the tempo", elem_id="tap")
        gradio.HTML(_file_field("beats", "Beats file instead of a tempo", ".json,.txt,.beats,.mid,.midi", "beats"))
        with gradio.Row():
            self.length = gradio.Number(0, label="Length", info="0: as trained", elem_id="length")
            self.unit = gradio.Radio([SECONDS, BARS], value=SECONDS, label="in", elem_id="unit")
        self.looped = gradio.Checkbox(False, label="Loop: the end goes over into the beginning", elem_id="looped")
        fields = [_file_field(stem, f"Given {stem}", "audio/*", "audio") for stem in self.stems]
        gradio.HTML(f"<fieldset><legend>Stems that are there</legend>{''.join(fields)}</fieldset>")
        with gradio.Accordion("More", open=False, elem_id="more"):
            self.best_of = gradio.Slider(1, 16, 1, step=1, label="Best of", elem_id="best_of")
            self.sampler = gradio.Radio(list(SAMPLERS), value=SAMPLER, label="Sampler", elem_id="sampler")
            self.steps = gradio.Slider(1, 200, STEPS, step=1, label="Steps", elem_id="steps")
            self.guidance = gradio.Slider(0, 20, 1, step=0.1, label="Guidance", elem_id="guidance")
        self.make = gradio.Button("Make a song", variant="primary", elem_id="make")

    def _change(self) -> None:
        self.redo = gradio.CheckboxGroup(self.stems, label="Stems to play again", elem_id="redo")
        with gradio.Row():
            self.bars = gradio.Textbox(label="Bars", placeholder="3-4", info="empty: all", elem_id="bars")
            self.span = gradio.Textbox(label="or seconds", placeholder="2.0-4.0", elem_id="span")
        gradio.HTML("<p>Dragging over a stem in the player fills these in; so do the player's A and B.</p>")
        self.again = gradio.Button("Another take", variant="primary", elem_id="again")
        self.loop = gradio.Button("Play these stems as a loop", elem_id="loop")
        with gradio.Row():
            self.more_seconds = gradio.Number(5.12, label="Go on for (seconds)", elem_id="more_seconds")
            self.longer = gradio.Button("Extend", elem_id="longer")
        gradio.HTML("<h3>Variation</h3><p>0 keeps a stem, 1 plays it anew.</p>")
        self.strengths = [
            gradio.Slider(0, 1, 0, step=0.05, label=f"Strength of {stem}", elem_id=f"strength_{number}")
            for number, stem in enumerate(self.stems)
        ]
        self.vary = gradio.Button("Make a variation", elem_id="vary")
        # Pressed by the player where a part is marked.
        self.picked = gradio.Button("picked", elem_id="picked", visible="hidden")

    def _separate(self) -> None:
        gradio.HTML(_file_field("mix", "Mix to separate (choose a file, or drop it here)", "audio/*", "audio"))
        self.separate = gradio.Button("Separate it", variant="primary", elem_id="separate")

    def _take_along(self) -> None:
        gradio.HTML("<p>Stems, mix, DAW pack, report and song.json of the take that is shown, as one zip file.</p>")
        self.pack = gradio.Button("Pack it", variant="primary", elem_id="pack")
        self.link = gradio.HTML("", elem_id="link")

    def _listen(self) -> None:
        self.status = gradio.HTML("", elem_id="status")
        with gradio.Row():
            self.cancel = gradio.Button("Cancel", variant="stop", elem_id="cancel")
            self.undo = gradio.Button("Undo", elem_id="undo")
        gradio.HTML('<div id="stage"></div><div id="words" role="status"></div>')
        self.scoring = gradio.HTML("", elem_id="scoring")
        self.takes = gradio.Radio([], label="History of takes", elem_id="history")
        self.sessions = gradio.Dropdown(
            [], label="Earlier sessions", elem_id="sessions", visible=self.handlers.listed, filterable=False
        )

    def _connect(self) -> None:
        do, shown = self.handlers, [self.status, self.where]
        # The handlers check what is chosen: a server that was restarted does not know the lists of an open page.
        chosen = {**QUIET, "preprocess": False}
        for opened in (
            self.blocks.load(do.open, [self.where], [*shown, self.sessions], js=ASKED, **QUIET),
            self.sessions.input(do.reopen, [self.where, self.sessions], shown, **chosen),
        ):
            self._show(opened)
            # A job that goes on while the page was away.
            self._show(opened.then(do.follow, [self.where], shown, **QUIET))
        form = [self.seed, self.bpm, self.meter, self.unit, self.length, self.looped, self.best_of, self.sampler]
        form += [self.steps, self.guidance, self.files]
        rows = [
            (self.make, do.make, form, WITH_FILES),
            (self.separate, do.separate, [self.files], WITH_FILES),
            (self.again, do.again, [self.redo, self.bars, self.span], None),
            (self.loop, do.loop, [self.redo], None),
            (self.longer, do.longer, [self.more_seconds], None),
            (self.vary, do.vary, self.strengths, None),
            (self.undo, do.undo, [], None),
        ]
        for button, handler, fields, script in rows:
            self._show(button.click(handler, [self.where, *fields], shown, js=script, **QUIET))
        self._show(self.takes.input(do.choose, [self.where, self.takes], shown, **chosen))
        self.pack.click(do.pack, [self.where], [*shown, self.link], **QUIET)
        self.cancel.click(do.cancel, [self.where], None, **QUIET)
        self.tap.click(None, [self.bpm], [self.bpm], js="(bpm) => studio.tap(bpm)")
        parts = [self.redo, self.bars, self.span]
        self.picked.click(None, parts, parts, js="(...now) => studio.picked(...now)")

    def _show(self, event: Any) -> None:
        """After an event: the take of `where` in the player and the history, then its scores."""
        event = event.then(None, [self.where], None, js=SHOW)
        event = event.then(self.handlers.history, [self.where], [self.takes], **QUIET)
        # Of takes that are chosen while another is scored, the last one is scored next.
        last = {**QUIET, "trigger_mode": "always_last"}
        event = event.then(self.handlers.score, [self.where], [self.scoring], **last)
        event.then(None, [self.where], None, js=SHOW)


def _file_field(name: str, label: str, accept: str, kind: str) -> str:
    """A field for one file, which studio.js sends as soon as it is chosen."""
    name, label = escape(name), escape(label)
    return (
        f'<div class="upload"><label>{label} <input type="file" accept="{accept}" data-upload="{name}" '
        f'data-kind="{kind}"></label> <button type="button" data-remove="{name}" hidden>Remove</button> '
        f'<output data-said="{name}" role="status"></output></div>'
    )
