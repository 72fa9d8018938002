"""New project: its name, what it labels, with which labels, by which guidelines."""

from __future__ import annotations

from django import forms
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from labeling import access
from labeling.errors import Refused, StaffOnly
from labeling.flow import founding, offering
from labeling.models import Project


class NewProject(forms.Form):
    """All that a project needs to begin; the rest can be set later."""

    name = forms.CharField(
        label=_("Name"), max_length=200, widget=forms.TextInput({"autofocus": True, "autocomplete": "off"})
    )
    modality = forms.ChoiceField(
        label=_("What is labelled"), choices=Project.Modality.choices, initial="text", widget=forms.RadioSelect
    )
    labels = forms.CharField(
        label=_("Labels"),
        required=False,
        max_length=500_000,
        strip=False,
        help_text=_(
            "One a line. “name: description” tells people, and the model, what it means. "
            "Leave it empty to take the labels from your file."
        ),
        widget=forms.Textarea({"rows": 7, "spellcheck": "false"}),
    )
    guidelines = forms.CharField(
        label=_("Guidelines"),
        required=False,
        max_length=200_000,
        strip=False,
        help_text=_("How to decide in doubt. Annotators can open them beside every item."),
        widget=forms.Textarea({"rows": 5}),
    )


@login_required
@require_http_methods(["GET", "POST"])
def project_new(request: HttpRequest) -> HttpResponse:
    """Make a project and go on to its import."""
    if not access.may_create_projects(access.person(request)):
        raise StaffOnly
    form = NewProject(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            project = _made(request, form)
        except Refused as refusal:
            for name, message in refusal.fields.items():
                form.add_error(name if name in form.fields else "labels", message)
        else:
            return redirect("import", project_id=project.pk)
    return render(request, "project_new.html", {"form": form}, status=422 if form.is_bound else 200)


@transaction.atomic
def _made(request: HttpRequest, form: NewProject) -> Project:
    given = form.cleaned_data
    labels = offering.parse(given["labels"])
    project = founding.found(
        creator=access.person(request), name=given["name"], modality=given["modality"], guidelines=given["guidelines"]
    )
    offering.add(project=project, labels=labels)
    return project


urlpatterns = [path("projects/new", project_new, name="project_new")]
