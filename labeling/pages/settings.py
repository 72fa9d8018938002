"""Settings: a project's name, guidelines, labels and how it is worked on; deleting it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_http_methods

from labeling import access, encoders
from labeling.errors import BadField, Refused
from labeling.flow import examining, founding, offering
from labeling.models import Gold, Label, Member, Project, Role
from labeling.pages.gate import context, members

HUB = "sentence-transformers:"
ENCODERS = {
    "": gettext_lazy("Chosen by the data"),
    "minilm": gettext_lazy("English texts (MiniLM)"),
    "multilingual": gettext_lazy("Texts in any language (multilingual E5)"),
    "efficientnet-lite0": gettext_lazy("Photos (EfficientNet-lite0)"),
    "pixels": gettext_lazy("Small drawings (the pixels themselves)"),
    "conv4": gettext_lazy("Small drawings (Conv-4, learned from alphabets)"),
    "imported": gettext_lazy("Vectors that came with the file"),
}


class General(forms.Form):
    """What the project is called and how it is decided."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=200)
    description = forms.CharField(
        label=gettext_lazy("Description"), required=False, max_length=10_000, widget=forms.Textarea({"rows": 2})
    )
    guidelines = forms.CharField(
        label=gettext_lazy("Guidelines"),
        required=False,
        strip=False,
        max_length=200_000,
        help_text=gettext_lazy("How to decide in doubt. Annotators can open them beside every item."),
        widget=forms.Textarea({"rows": 8}),
    )


class Work(forms.Form):
    """How the project is worked on. Shares are asked in per cent, times in minutes, as people say them."""

    show_suggestions = forms.BooleanField(
        label=gettext_lazy("Show the model's suggestion while labelling"),
        required=False,
        help_text=gettext_lazy("Without it people decide unswayed, but more slowly. Reviewers always see it."),
    )
    goal = forms.FloatField(
        label=gettext_lazy("Goal: accuracy of the whole set, in %"),
        min_value=50,
        max_value=100,
        widget=forms.NumberInput({"step": "0.5", "inputmode": "decimal"}),
    )
    minutes = forms.FloatField(
        label=gettext_lazy("An item stays in one person's hands for, in minutes"),
        min_value=founding.LEASE_SECONDS[0] / 60,
        max_value=founding.LEASE_SECONDS[1] / 60,
        help_text=gettext_lazy("Then it may be given to somebody else."),
        widget=forms.NumberInput({"step": "any", "inputmode": "decimal"}),
    )
    random = forms.FloatField(
        # xgettext:no-python-format
        label=gettext_lazy("Asked at random, in % of the items"),
        min_value=0,
        max_value=100,
        help_text=gettext_lazy(
            "The rest are the items that teach the model most. Some at random keep the measure honest."
        ),
        widget=forms.NumberInput({"step": "1", "inputmode": "numeric"}),
    )
    tunes = forms.BooleanField(
        label=gettext_lazy("Let the encoder learn from the answers"),
        required=False,
        help_text=gettext_lazy(
            "In the background, from fifty answers on. The model gains most where label names say little."
        ),
    )
    encoder = forms.CharField(
        label=gettext_lazy("Encoder"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("What turns items into numbers. Another one reads all items anew."),
    )

    own_encoder = forms.CharField(
        label=gettext_lazy("Or a sentence-transformers model by name"),
        required=False,
        max_length=150,
        help_text=gettext_lazy("Such as BAAI/bge-small-en-v1.5. This machine must be able to fetch it."),
    )

    def __init__(self, *args: Any, modality: str, current: str, fixed: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(n, str(title)) for n, title in ENCODERS.items() if not n or encoders.KNOWN[n] in ("", modality)]
        if current not in dict(choices):
            choices.append((current, current))
        if current and not fixed:
            now = dict(choices)[current]
            choices[0] = ("", _("%(how)s, now: %(encoder)s") % {"how": choices[0][1], "encoder": now})
        self.fields["encoder"].widget = forms.Select(choices=choices)
        if modality != Project.Modality.TEXT:
            del self.fields["own_encoder"]

    def settings(self) -> dict[str, Any]:
        """The values as the project keeps them."""
        given = self.cleaned_data
        return {
            "show_suggestions": given["show_suggestions"],
            "goal_accuracy": round(given["goal"] / 100, 6),
            "lease_seconds": round(given["minutes"] * 60),
            "random_share": round(given["random"] / 100, 6),
            "tunes": given["tunes"],
            "encoder": f"{HUB}{own}" if (own := given.get("own_encoder", "")) else given["encoder"],
        }


class People(forms.Form):
    """How many people answer an item, and what becomes of their answers."""

    overlap = forms.IntegerField(
        label=gettext_lazy("Answers an item, by different people"),
        min_value=1,
        max_value=founding.MOST_OVERLAP,
        help_text=gettext_lazy("At most; 1 asks one person. Nobody is asked the same item twice."),
        widget=forms.NumberInput({"inputmode": "numeric"}),
    )
    overlap_mode = forms.ChoiceField(
        label=gettext_lazy("Several people answer"),
        choices=Project.Overlap.choices,
        help_text=gettext_lazy(
            "Where it is needed: a second person where the first and the model disagree or the label is unsure."
        ),
    )
    overlap_share = forms.FloatField(
        # xgettext:no-python-format
        label=gettext_lazy("Share of the items, in %"),
        min_value=0,
        max_value=100,
        help_text=gettext_lazy("For “A share of the items”. The same items whenever it is asked."),
        widget=forms.NumberInput({"step": "1", "inputmode": "numeric"}),
    )
    sure_enough = forms.FloatField(
        # xgettext:no-python-format
        label=gettext_lazy("Sure enough to ask nobody else, in %"),
        min_value=50,
        max_value=99.9,
        help_text=gettext_lazy("For “Where it is needed”."),
        widget=forms.NumberInput({"step": "any", "inputmode": "decimal"}),
    )
    consensus = forms.ChoiceField(
        label=gettext_lazy("Their answers become one label"), choices=Project.Consensus.choices
    )
    visibility = forms.ChoiceField(
        label=gettext_lazy("Whoever answers an item sees of the others' answers"),
        choices=Project.Visibility.choices,
        help_text=gettext_lazy(
            "People who see answers follow them: agreement and consensus then say less. "
            "Gold items, audits and all else that is asked without a suggestion stay blind always."
        ),
    )

    def settings(self) -> dict[str, Any]:
        """The values as the project keeps them."""
        given = self.cleaned_data
        shares = {name: round(given[name] / 100, 6) for name in ("overlap_share", "sure_enough")}
        return given | shares


class Tests(forms.Form):
    """Gold items, whose label is known: how often they are mixed in, and what follows from them."""

    gold_share = forms.FloatField(
        # xgettext:no-python-format
        label=gettext_lazy("Gold items, in % of the questions"),
        min_value=0,
        max_value=50,
        help_text=gettext_lazy(
            "Mixed in unmarked; as many others are asked without a suggestion, so that none stands out."
        ),
        widget=forms.NumberInput({"step": "1", "inputmode": "numeric"}),
    )
    gold_threshold = forms.FloatField(
        # xgettext:no-python-format
        label=gettext_lazy("Warn below an accuracy of, in %"),
        min_value=0,
        max_value=100,
        widget=forms.NumberInput({"step": "1", "inputmode": "numeric"}),
    )
    gold_pause = forms.BooleanField(
        label=gettext_lazy("Pause annotators who lie below it"),
        required=False,
        help_text=gettext_lazy(
            "By more than chance. They are told why and whom to ask; an admin lifts it under People."
        ),
    )
    training_items = forms.IntegerField(
        label=gettext_lazy("Training: gold items that newcomers begin with"),
        min_value=0,
        max_value=founding.MOST_TRAINING,
        help_text=gettext_lazy("They are told after each answer whether it was right."),
        widget=forms.NumberInput({"inputmode": "numeric"}),
    )

    def settings(self) -> dict[str, Any]:
        """The values as the project keeps them."""
        given = self.cleaned_data
        return given | {name: round(given[name] / 100, 6) for name in ("gold_share", "gold_threshold")}


@members(Role.ADMIN)
@require_http_methods(["GET", "POST"])
def settings(request: HttpRequest, member: Member) -> HttpResponse:
    """One form for each concern; `do` says which was sent."""
    project = member.project
    forms_shown: dict[str, Any] = {
        "general": _general(project),
        "work": _work(project),
        "people": _people(project),
        "tests": _tests(project),
        "gold_count": Gold.objects.filter(project=project).count(),
        "gold_sources": [one for one in Gold.Source.choices if one[0] != Gold.Source.HAND],
        "lines": "",
    }
    if request.method == "POST":
        done = DOINGS.get(request.POST.get("do", ""), _nothing)(request, member.project, forms_shown)
        if done is not None:
            return done
    labels = Label.objects.filter(project=member.project)
    data = {"labels": reverse("api_labels", args=[member.project.pk])}
    shown = context(member, data=data, strings=_strings(), labels=labels, **forms_shown)
    return render(request, "settings.html", shown, status=422 if request.method == "POST" else 200)


def _save_general(request: HttpRequest, project: Project, shown: dict[str, Any]) -> HttpResponse | None:
    form = shown["general"] = General(request.POST)
    return _change(request, project, form, lambda: form.cleaned_data)


def _save_work(request: HttpRequest, project: Project, shown: dict[str, Any]) -> HttpResponse | None:
    form = shown["work"] = Work(
        request.POST, modality=project.modality, current=project.encoder, fixed=project.encoder_fixed
    )
    return _change(request, project, form, form.settings)


def _save_people(request: HttpRequest, project: Project, shown: dict[str, Any]) -> HttpResponse | None:
    form = shown["people"] = People(request.POST)
    return _change(request, project, form, form.settings)


def _save_tests(request: HttpRequest, project: Project, shown: dict[str, Any]) -> HttpResponse | None:
    form = shown["tests"] = Tests(request.POST)
    return _change(request, project, form, form.settings)


def _choose_gold(request: HttpRequest, project: Project, shown: dict[str, Any]) -> HttpResponse | None:
    given = request.POST.get("count", "")
    try:
        if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= examining.MOST:
            message = _("Give a whole number from %(low)s to %(high)s.")
            raise BadField("count", message % {"low": 1, "high": examining.MOST})
        source, by = request.POST.get("source", ""), access.person(request)
        made = examining.choose(project=project, source=source, count=int(given), by=by, now=timezone.now())
    except Refused as refusal:
        shown["gold_error"] = str(refusal)
        return None
    messages.success(request, _("Gold items chosen: %(count)d.") % {"count": len(made)})
    return _back(project, "tests")


def _add_labels(request: HttpRequest, project: Project, shown: dict[str, Any]) -> HttpResponse | None:
    shown["lines"] = request.POST.get("labels", "")
    try:
        made = offering.add(project=project, labels=offering.parse(shown["lines"]))
    except Refused as refusal:
        shown["lines_error"] = str(refusal)
        return None
    messages.success(request, _("Labels added: %(count)d.") % {"count": len(made)})
    return _back(project, "labels")


def _delete(request: HttpRequest, project: Project, shown: dict[str, Any]) -> HttpResponse | None:
    try:
        founding.dissolve(project=project, by=access.person(request), name=request.POST.get("name", ""))
    except Refused as refusal:
        shown["delete_error"] = str(refusal)
        return None
    messages.success(request, _("“%(name)s” is deleted.") % {"name": project.name})
    return redirect("projects")


def _nothing(request: HttpRequest, project: Project, shown: dict[str, Any]) -> None:
    """A form that this page does not know is shown the page again."""


DOINGS: dict[str, Callable[[HttpRequest, Project, dict[str, Any]], HttpResponse | None]] = {
    "general": _save_general,
    "work": _save_work,
    "people": _save_people,
    "tests": _save_tests,
    "gold": _choose_gold,
    "labels": _add_labels,
    "delete": _delete,
}


def _change(
    request: HttpRequest, project: Project, form: forms.Form, values: Callable[[], dict[str, Any]]
) -> HttpResponse | None:
    if not form.is_valid():
        return None
    try:
        founding.change(project=project, settings=values())
    except Refused as refusal:
        form.add_error(None, str(refusal))
        return None
    messages.success(request, _("Saved."))
    return _back(project, request.POST["do"])


def _back(project: Project, part: str) -> HttpResponse:
    response = redirect("settings", project_id=project.pk)
    response["Location"] += f"#{part}"
    return response


def _general(project: Project) -> General:
    return General(initial={name: getattr(project, name) for name in ("name", "description", "guidelines")})


def _work(project: Project) -> Work:
    initial = {
        "show_suggestions": project.show_suggestions,
        "goal": _short(project.goal_accuracy * 100),
        "minutes": _short(project.lease_seconds / 60),
        "random": _short(project.random_share * 100),
        "tunes": project.tunes,
        "encoder": project.encoder if project.encoder_fixed else "",
    }
    return Work(initial=initial, modality=project.modality, current=project.encoder, fixed=project.encoder_fixed)


def _people(project: Project) -> People:
    initial = {name: getattr(project, name) for name in ("overlap", "overlap_mode", "consensus", "visibility")}
    shares = {name: _short(getattr(project, name) * 100) for name in ("overlap_share", "sure_enough")}
    return People(initial=initial | shares)


def _tests(project: Project) -> Tests:
    initial = {name: getattr(project, name) for name in ("gold_pause", "training_items")}
    shares = {name: _short(getattr(project, name) * 100) for name in ("gold_share", "gold_threshold")}
    return Tests(initial=initial | shares)


def _short(number: float) -> str:
    return f"{number:.4f}".rstrip("0").rstrip(".")


def _strings() -> dict[str, str]:
    return {
        "Saved": _("Saved"),
        "Archive": _("Archive"),
        "Bring back": _("Bring back"),
        "Archived": _("Archived"),
        "Deleted": _("Deleted"),
        "unreachable": _("The server cannot be reached. Try again."),
    }


urlpatterns = [path("projects/<int:project_id>/settings", settings, name="settings")]
