"""The studio's form: the prompt first, everything else at hand but not in the way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from nicegui import events, ui
from nicegui.elements.mixins.validation_element import ValidationElement

from api.models.documents import DefaultsDocument, ModelDocument
from api.models.families import DRAWING_FOLDERS
from api.options import OptionsDocument
from core.requests import GenerationRequest, ResolvedRequest
from core.wording import model_name
from core.workflows.declaration import Workflow
from web.forms import drafts
from web.forms.drafts import DRAW_SEED, Draft
from web.forms.images_part import ImagesPart
from web.forms.known_models import KnownModels
from web.forms.literals import literal_note
from web.forms.model_field import FamilyNote
from web.forms.model_select import ModelSelect
from web.forms.more_fields import MoreFields
from web.forms.workflow_fields import with_word
from web.forms.workflow_inputs import Offered
from web.parts.elements import Text, adorn, box, icon, meter, set_meter, show_if
from web.parts.fields import CHEVRON, enter_chooses, folded, typed_number

_SEED_MODES: Final = (("random", "Random"), ("keep", "Keep"), ("next", "+1"))
_ADVANCED: Final = frozenset({"steps", "cfg", "sampler", "scheduler", "seed"})
_UNHEARD: Final = ("negative_prompt", "scheduler")
"""Fields that some models do not hear."""
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

    def __init__(self, workflow: Workflow, on_generate: Callable[[], Awaitable[None]]) -> None:
        self.draft = Draft.load()
        self._workflow = workflow
        self.options: OptionsDocument | None = None
        self._on_generate = on_generate
        self._earlier = -1
        self._typed = ""
        self._known: KnownModels | None = None
        self._fields: dict[str, ValidationElement[Any]] = {}
        with box("form-fields"):
            self._build_prompt()
            self._build_negative()
            self._build_model()
            self._images = ImagesPart(lambda: self.draft, self.native)
            self._fields |= self._images.fields
            self._more_place = box("form-part")
            self._build_advanced()
        self._more = MoreFields(
            workflow, self._more_place, self._more_advanced, self._set_more, self._say
        )
        self._build_generate()
        self.refresh()

    # --- parts

    def _build_prompt(self) -> None:
        with box("prompt-part"):
            field = ui.textarea(label="Prompt", placeholder="Describe the image…")
            field.props('outlined stack-label autogrow input-class="prompt"')
            adorn(field, dir="auto", data_focus="/", data_kept="prompt")
            field.classes("prompt-field")
            field.on_value_change(self._type_prompt)
            field.on("keydown.up", self._recall, js_handler=_EARLIER)
            field.on("keydown.down", self._recall, js_handler=_EARLIER)
            self._prompt = self._fields["prompt"] = field
            self._literal = adorn(Text("", "field-note is-away", "p"), role="status")

    def _build_negative(self) -> None:
        field = ui.textarea(label="Negative prompt", placeholder="What to keep out…")
        field.props('outlined dense stack-label autogrow rows="1"')
        adorn(field, dir="auto", data_kept="negative")
        field.classes("negative-field")

        def typed(event: events.ValueChangeEventArguments[Any]) -> None:
            field.error = None
            self.draft.change(negative=event.value or "")

        field.on_value_change(typed)
        self._negative = self._fields["negative_prompt"] = field

    def _build_model(self) -> None:
        self._model = ModelSelect("Model")
        self._model.on_value_change(self._choose_model)
        self._family_note = FamilyNote(self._model)
        self._fields["model"] = self._model

    def _build_advanced(self) -> None:
        with folded("Advanced", self.draft.advanced_open, self._fold_advanced) as fold:
            self._advanced_fold = fold
            with box("pair"):
                self._steps = self._number("Steps", "steps", step=1)
                self._cfg = self._number("CFG", "cfg", step=0.5)
            with box("pair"):
                self._sampler = self._default_choice("Sampler", "sampler")
                self._scheduler = self._default_choice("Scheduler", "scheduler")
            with box("seed"):
                self._seed = self._number("Seed", "seed", step=1)
                with box("segments", role="group", aria_label="Seed"):
                    self._seed_modes = {
                        mode: self._build_seed_mode(mode, label) for mode, label in _SEED_MODES
                    }
            self._more_advanced = box("form-part")

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

    def _number(self, label: str, name: str, *, step: float) -> ui.number:
        field = ui.number(label=label, step=step)
        field.props("outlined dense stack-label")

        def changed(event: events.ValueChangeEventArguments[Any]) -> None:
            field.error = None
            self.draft.change(**{name: typed_number(event.value)})
            self._follow()
            if name == "seed" and event.value is not None:
                self._seed_typed(event.value)

        field.on_value_change(changed)
        self._fields[name] = field
        return field

    def _seed_typed(self, seed: float) -> None:
        """A seed that is typed is kept; −1 is how others write that one is drawn."""
        if seed == DRAW_SEED:
            self.draft.change(seed=None)
            self._choose_seed_mode("random")
        elif self.draft.seed_mode == "random":
            self._choose_seed_mode("keep")

    def _choice(self, label: str) -> ui.select:
        field = ui.select({}, label=label, with_input=True)
        field.props("outlined dense stack-label options-dense behavior=menu")
        field.props["dropdown-icon"] = CHEVRON
        return field

    def _default_choice(self, label: str, name: str) -> ui.select:
        """A choice among names, one of which is the model's own."""
        field = enter_chooses(self._choice(label))

        def chosen(event: events.ValueChangeEventArguments[Any]) -> None:
            field.error = None
            default = getattr(self.native(), name, None)
            self.draft.change(**{name: None if event.value == default else event.value})
            self._follow()

        field.on_value_change(chosen)
        self._fields[name] = field
        return field

    def show_queue(self, text: str, percent: float | None) -> None:
        """Show beside Generate what is rendered and how many wait."""
        show_if(self._queue, text)
        self._queue_text.text = text
        set_meter(self._queue_meter, percent)

    # --- the draft

    def belongs_to(self, tab: str) -> None:
        """Show what this tab had in its form; what is shown is this tab's from now on."""
        before = Draft.load_of(tab)
        if before is not None and before != self.draft:
            self._put(before)
        self.draft.belongs_to(tab)

    def refresh(self) -> None:
        """Show the draft as it is."""
        draft = self.draft
        self._prompt.value = draft.prompt
        self._negative.value = draft.negative
        self._steps.value, self._cfg.value = draft.steps, draft.cfg
        self._seed.value = draft.seed if draft.seed_mode != "random" else None
        adorn(self._advanced_fold, open=draft.advanced_open)
        for mode, made in self._seed_modes.items():
            adorn(made, aria_pressed=str(mode == draft.seed_mode).lower())
        adorn(self._seed, placeholder="random" if draft.seed_mode == "random" else "the next one")
        self._images.show_count()
        self._show_options()
        self._images.show_size()
        self._show_literal()
        self._more.show(draft.own(self.native()), draft.more)
        self._show_unheard()

    def offer_more(self, offered: Offered) -> None:
        """Fill the pickers of what the declaration has besides the form's own fields."""
        self._known = offered.models
        self._more.offer(offered)
        self._show_options()
        self._more.show(self.draft.own(self.native()), self.draft.more)
        self._show_unheard()

    def offer_known(self, options: OptionsDocument, known: KnownModels | None) -> None:
        """Show what is known of model files by now, without building anything anew."""
        self._known = known
        self._more.know(known)
        self.offer(options)
        self._follow()

    def offer(self, options: OptionsDocument) -> None:
        """Fill the pickers."""
        self.options = options
        self._show_options()
        self._images.show_size()

    def _show_options(self) -> None:
        options, draft = self.options, self.draft
        if options is None:
            self._model.props["hint"] = "The models are shown when ComfyUI answers."
            self._model.update()
            return
        self._model.props.pop("hint", None)
        self._offer_models(options)
        native = self.native()
        _fill(self._sampler, options.samplers, draft.sampler, native.sampler if native else None)
        _fill(
            self._scheduler,
            options.schedulers,
            draft.scheduler,
            native.scheduler if native else None,
        )
        for field, value in (
            (self._steps, f"{native.steps}" if native else None),
            (self._cfg, f"{native.cfg:g}" if native else None),
        ):
            adorn(field, placeholder=value)

    def _offer_models(self, options: OptionsDocument) -> None:
        names = {model.name: model_name(model.name) for model in options.models}
        wanted = self.draft.model
        chosen = wanted if wanted in names else options.default_model
        known = self._known.within(DRAWING_FOLDERS) if self._known is not None else []
        listed = [file for file in known if file.name in names]
        self._model.offer(listed, chosen if chosen in names else None, names)
        self._family_note.show(self._known, chosen, DRAWING_FOLDERS)

    def _show_unheard(self) -> None:
        """Say which of the form's own fields change nothing with this model, and why."""
        for name in _UNHEARD:
            why = self._more.unheard(name)
            field = self._fields[name]
            field.classes(add="is-unheard" if why else "", remove="" if why else "is-unheard")
            adorn(field, hint=why or None)

    def _follow(self) -> None:
        self._more.follow(self.draft.own(self.native()))
        self._show_unheard()

    def _set_more(self, name: str, value: Any) -> None:
        kept = {**self.draft.more, name: value}
        self.draft.change(more={key: one for key, one in kept.items() if one is not None})
        self._show_literal()

    def _say(self, word: str) -> None:
        self._show_prompt(with_word(self.draft.prompt, word))

    def _show_literal(self) -> None:
        note = literal_note(self.draft.prompt, self._workflow, self.draft.more)
        self._literal.text = note
        show_if(self._literal, note)

    def refuse(self, errors: dict[str, str]) -> bool:
        """Show what is wrong at the fields. Returns whether all of it could be shown there."""
        shown = {name: text for name, text in errors.items() if name in self._fields}
        others = {name: text for name, text in errors.items() if name not in shown}
        left = self._more.refuse(others)
        for name, text in shown.items():
            self._fields[name].error = text
        inside = {name for name in others if name not in left and self._more.is_advanced(name)}
        if inside or shown.keys() & _ADVANCED:
            self.draft.change(advanced_open=True)
            adorn(self._advanced_fold, open=True)
        if shown:
            self._fields[next(iter(shown))].run_method("focus")
        return not left

    def native(self) -> DefaultsDocument | None:
        """Returns the defaults of the chosen model."""
        model = self._model_document()
        return model.defaults if model else None

    def _model_document(self) -> ModelDocument | None:
        if self.options is None:
            return None
        wanted, default = self.draft.model, self.options.default_model
        found = {
            model.name: model for model in self.options.models if model.name in (wanted, default)
        }
        return found.get(wanted or "") or found.get(default or "")

    def request(self) -> GenerationRequest:
        """Returns the request. Raises ValidationError, ProblemError."""
        self._more.check()
        return self.draft.request(self.native(), self._workflow)

    def accepted(self, request: ResolvedRequest) -> None:
        """Note that a generation was created from the form."""
        drafts.remember(request.prompt)
        self._earlier = -1
        if request.seed is not None:
            self.draft.after(request.seed)
        self.draft.save()
        self.refresh()

    def use(self, request: ResolvedRequest) -> Draft:
        """Take over all settings of a generation. Returns what was in the form."""
        before = self.draft.model_copy()
        drafts.remember(before.prompt)
        self.draft.use(request, self._native_of(request.model))
        self.draft.save()
        self.refresh()
        return before

    def put_back(self, draft: Draft) -> None:
        """Show an earlier draft again."""
        self._put(self.draft.model_copy(update=draft.model_dump()))
        self.draft.save()

    def _put(self, draft: Draft) -> None:
        self.draft = draft
        self.refresh()

    def write(self, prompt: str) -> None:
        """Put a prompt into the form; the one that was there is among the earlier ones."""
        drafts.remember(self.draft.prompt)
        self._show_prompt(prompt)

    def _show_prompt(self, prompt: str) -> None:
        self.draft.change(prompt=prompt)
        self._prompt.value = prompt

    def _native_of(self, model: str) -> DefaultsDocument | None:
        known = self.options.models if self.options else []
        return next((item.defaults for item in known if item.name == model), None)

    # --- what the visitor does

    async def _generate(self) -> None:
        await self._on_generate()

    def _type_prompt(self, event: events.ValueChangeEventArguments[Any]) -> None:
        self._prompt.error = None
        self.draft.change(prompt=event.value or "")
        self._show_literal()

    def _choose_model(self, event: events.ValueChangeEventArguments[Any]) -> None:
        if event.value is None or self.options is None:
            return
        if event.value != (self.draft.model or self.options.default_model):
            self.draft.change(model=event.value)
            self._show_options()
            self._images.show_size()
            self._follow()

    def _choose_seed_mode(self, mode: str) -> None:
        self.draft.change(seed_mode=mode)
        self.refresh()

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
        self._show_prompt(self._typed if at < 0 else earlier[at])
        ui.run_javascript(f"easel.caret({'true' if int(event.args) > 0 else 'false'})")


def _fill(field: ui.select, names: list[str], chosen: str | None, default: str | None) -> None:
    """The default is one of the names; choosing it leaves the value to the model."""
    value = chosen if chosen in names else default if default in names else None
    field.set_options(list(names), value=value)
