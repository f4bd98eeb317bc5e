"""The studio's form: the prompt first, everything else at hand but not in the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from nicegui import events, ui

from api.options import DefaultsDocument, ModelDocument, OptionsDocument
from core.requests import (
    BATCH_SIZE_MAX,
    CFG_MAX,
    SEED_MAX,
    STEPS_MAX,
    GenerationRequest,
    ResolvedRequest,
)
from web.forms import drafts
from web.forms.drafts import Draft
from web.forms.sizes import RATIOS
from web.parts.elements import Text, adorn, box, button, icon, meter, set_meter, show_if
from web.parts.fields import CHEVRON, folded
from web.parts.wording import model_name

_SEED_MODES: Final = (("random", "Random"), ("keep", "Keep"), ("next", "+1"))
_EARLIER: Final = """(e) => {
  const field = e.target, up = e.key === 'ArrowUp';
  if (e.shiftKey || e.altKey || e.ctrlKey || e.metaKey) return;
  const at = up ? 0 : field.value.length;
  if (field.selectionStart !== at || field.selectionEnd !== at) return;
  e.preventDefault();
  emit(up ? 1 : -1);
}"""


class Form:
    """Shows a draft and changes it. Call ``offer`` when the options are known."""

    def __init__(self, on_generate: Callable[[], Awaitable[None]]) -> None:
        self.draft = Draft.load()
        self.options: OptionsDocument | None = None
        self._on_generate = on_generate
        self._earlier = -1
        self._typed = ""
        with box("form-fields"):
            self._build_prompt()
            self._build_negative()
            self._build_model()
            self._build_size()
            self._build_advanced()
        self._build_generate()
        self.refresh()

    # --- parts

    def _build_prompt(self) -> None:
        field = ui.textarea(label="Prompt", placeholder="Describe the picture…")
        field.props('outlined stack-label input-class="prompt"')
        adorn(field, dir="auto", data_focus="/")
        field.classes("prompt-field")
        field.on_value_change(lambda event: self.draft.change(prompt=event.value or ""))
        field.on("keydown.up", self._recall, js_handler=_EARLIER)
        field.on("keydown.down", self._recall, js_handler=_EARLIER)
        self._prompt = field

    def _build_negative(self) -> None:
        with folded("Negative prompt", self.draft.negative_open, self._fold_negative) as fold:
            self._negative_fold = fold
            field = ui.textarea(placeholder="What to keep out…")
            field.props("outlined autogrow aria-label='Negative prompt'")
            adorn(field, dir="auto")
            field.on_value_change(lambda event: self.draft.change(negative=event.value or ""))
            self._negative = field

    def _build_model(self) -> None:
        self._model = ui.select({}, label="Model", with_input=True)
        self._model.props("outlined dense stack-label options-dense behavior=menu")
        self._model.props["dropdown-icon"] = CHEVRON
        self._model.on_value_change(self._choose_model)

    def _build_size(self) -> None:
        with box("field"):
            with box("field-head"):
                Text("Size", "label")
                self._size = Text("", "muted")
            with box("ratios"):
                with box("segments", role="group", aria_label="Aspect ratio"):
                    self._ratios = {ratio: self._build_ratio(ratio) for ratio in RATIOS}
                self._swap = button(
                    "Swap width and height", self._swap_size, icon_name="swap", bare=True
                )
        with box("field field-row"):
            Text("Pictures", "label")
            with box("stepper", role="group", aria_label="Number of pictures"):
                button("Fewer", lambda: self._count(-1), icon_name="minus", bare=True)
                self._count_text = adorn(Text("1", "count"), aria_live="polite")
                button("More", lambda: self._count(1), icon_name="plus", bare=True)

    def _build_ratio(self, ratio: str) -> ui.element:
        made = box("segment", "button", type="button", aria_label=f"Ratio {ratio}")
        across, down = (int(part) for part in ratio.split(":"))
        with made:
            box("ratio-shape", "span", aria_hidden="true").style(f"--ratio: {across / down:.3f}")
            Text(ratio)
        return made.on("click", lambda: self._choose_ratio(ratio), args=[])

    def _build_advanced(self) -> None:
        with folded("Advanced", self.draft.advanced_open, self._fold_advanced) as fold:
            self._advanced_fold = fold
            with box("pair"):
                self._steps = self._number("Steps", 1, STEPS_MAX, "steps", whole=True)
                self._cfg = self._number("CFG", 0, CFG_MAX, "cfg", whole=False)
            with box("pair"):
                self._sampler = self._choice("Sampler", "sampler")
                self._scheduler = self._choice("Scheduler", "scheduler")
            with box("pair pair-seed"):
                self._seed = self._number("Seed", 0, SEED_MAX, "seed", whole=True)
                with box("segments", role="group", aria_label="Seed"):
                    self._seed_modes = {
                        mode: self._build_seed_mode(mode, label) for mode, label in _SEED_MODES
                    }

    def _build_seed_mode(self, mode: str, label: str) -> ui.element:
        made = box("segment", "button", type="button")
        with made:
            Text(label)
        return made.on("click", lambda: self._choose_seed_mode(mode), args=[])

    def _build_generate(self) -> None:
        with box("generate-bar"):
            with box("queue is-away") as self._queue:
                self._queue_text = Text("", "queue-text")
                self._queue_meter = meter("Progress")
            made = box("btn btn-primary generate", "button", type="button", data_generate="")
            made.on("click", self._generate, args=[])
            with made:
                icon("spark")
                Text("Generate")
                Text("Ctrl ⏎", "hint", "kbd")

    def _number(self, label: str, low: float, high: float, name: str, *, whole: bool) -> ui.number:
        field = ui.number(label=label, min=low, max=high, step=1 if whole else 0.5)
        field.props("outlined dense stack-label")

        def changed(event: events.ValueChangeEventArguments[Any]) -> None:
            value = event.value
            self.draft.change(**{name: int(value) if whole and value is not None else value})
            if name == "seed" and value is not None and self.draft.seed_mode == "random":
                self._choose_seed_mode("keep")

        field.on_value_change(changed)
        return field

    def _choice(self, label: str, name: str) -> ui.select:
        field = ui.select({}, label=label)
        field.props("outlined dense stack-label options-dense behavior=menu")
        field.props["dropdown-icon"] = CHEVRON

        def chosen(event: events.ValueChangeEventArguments[Any]) -> None:
            default = getattr(self.native(), name, None)
            self.draft.change(**{name: None if event.value == default else event.value})

        field.on_value_change(chosen)
        return field

    def show_queue(self, text: str, percent: float | None) -> None:
        """Show beside Generate what is rendered and how many wait."""
        show_if(self._queue, text)
        self._queue_text.text = text
        set_meter(self._queue_meter, percent)

    # --- the draft

    def refresh(self) -> None:
        """Show the draft as it is."""
        draft = self.draft
        self._prompt.value = draft.prompt
        self._negative.value = draft.negative
        self._steps.value, self._cfg.value = draft.steps, draft.cfg
        self._seed.value = draft.seed if draft.seed_mode != "random" else None
        adorn(self._negative_fold, open=draft.negative_open)
        adorn(self._advanced_fold, open=draft.advanced_open)
        for mode, made in self._seed_modes.items():
            adorn(made, aria_pressed=str(mode == draft.seed_mode).lower())
        self._count_text.text = str(draft.count)
        self._show_options()
        self._show_size()

    def offer(self, options: OptionsDocument) -> None:
        """Fill the pickers."""
        self.options = options
        self._show_options()
        self._show_size()

    def _show_options(self) -> None:
        options, draft = self.options, self.draft
        if options is None:
            self._model.props["hint"] = "The models are shown when ComfyUI answers."
            self._model.update()
            return
        self._model.props.pop("hint", None)
        names = {model.name: model_name(model.name) for model in options.models}
        chosen = draft.model if draft.model in names else options.default_model
        self._model.set_options(names, value=chosen)
        native = self.native()
        _fill(self._sampler, options.samplers, draft.sampler, native.sampler if native else None)
        _fill(
            self._scheduler,
            options.schedulers,
            draft.scheduler,
            native.scheduler if native else None,
        )
        for field, value in (
            (self._steps, native.steps if native else None),
            (self._cfg, native.cfg if native else None),
            (self._seed, "random"),
        ):
            adorn(field, placeholder=str(value) if value is not None else None)

    def _show_size(self) -> None:
        draft = self.draft
        size = draft.size(self.native())
        self._size.text = f"{size[0]} × {size[1]}" if size else ""
        for ratio, made in self._ratios.items():
            adorn(made, aria_pressed=str(ratio == draft.ratio).lower())
            made.classes(
                add="is-swapped" if draft.swapped else "",
                remove="" if draft.swapped else "is-swapped",
            )
        adorn(self._swap, aria_pressed=str(draft.swapped).lower())

    def native(self) -> DefaultsDocument | None:
        """Returns the defaults of the chosen model."""
        model = self._model_document()
        return model.defaults if model else None

    def _model_document(self) -> ModelDocument | None:
        if self.options is None:
            return None
        wanted = self.draft.model or self.options.default_model
        by_name = {model.name: model for model in self.options.models}
        return by_name.get(wanted or "") or by_name.get(self.options.default_model or "")

    def request(self) -> GenerationRequest:
        """Returns the request. Raises ValidationError."""
        return self.draft.request(self.native())

    def accepted(self, request: ResolvedRequest) -> None:
        """Note that a generation was created from the form."""
        drafts.remember(request.prompt)
        self._earlier = -1
        self.draft.after(request.seed)
        self.draft.save()
        self.refresh()

    def use(self, request: ResolvedRequest) -> None:
        """Take over all settings of a generation."""
        self.draft.use(request, self._native_of(request.model))
        self.draft.save()
        self.refresh()

    def write(self, prompt: str) -> None:
        """Put a prompt into the form."""
        self.draft.change(prompt=prompt)
        self._prompt.value = prompt

    def _native_of(self, model: str) -> DefaultsDocument | None:
        known = self.options.models if self.options else []
        return next((item.defaults for item in known if item.name == model), None)

    # --- what the visitor does

    async def _generate(self) -> None:
        await self._on_generate()

    def _choose_model(self, event: events.ValueChangeEventArguments[Any]) -> None:
        if event.value is None or self.options is None:
            return
        if event.value != (self.draft.model or self.options.default_model):
            self.draft.change(model=event.value)
            self._show_options()
            self._show_size()

    def _choose_ratio(self, ratio: str) -> None:
        self.draft.change(ratio=ratio, width=None, height=None)
        self._show_size()

    def _swap_size(self) -> None:
        draft = self.draft
        self.draft.change(swapped=not draft.swapped, width=draft.height, height=draft.width)
        self._show_size()

    def _count(self, by: int) -> None:
        self.draft.change(count=max(1, min(BATCH_SIZE_MAX, self.draft.count + by)))
        self._count_text.text = str(self.draft.count)

    def _choose_seed_mode(self, mode: str) -> None:
        self.draft.change(seed_mode=mode)
        self.refresh()

    def _fold_negative(self, is_open: bool) -> None:
        self.draft.change(negative_open=is_open)

    def _fold_advanced(self, is_open: bool) -> None:
        self.draft.change(advanced_open=is_open)

    def _recall(self, event: events.GenericEventArguments) -> None:
        """Handle the arrows in the prompt: up for older, down for newer, back to what was typed."""
        earlier = [prompt for prompt in drafts.prompts() if prompt != self._typed]
        if self._earlier < 0:
            self._typed = self.draft.prompt
        at = max(-1, min(len(earlier) - 1, self._earlier + int(event.args)))
        if at == self._earlier:
            return
        self._earlier = at
        self.write(self._typed if at < 0 else earlier[at])
        ui.run_javascript(f"easel.caret({'true' if int(event.args) > 0 else 'false'})")


def _fill(field: ui.select, names: list[str], chosen: str | None, default: str | None) -> None:
    """The default is one of the names; choosing it leaves the value to the model."""
    value = chosen if chosen in names else default if default in names else None
    field.set_options(list(names), value=value)
