"""Label page: one item at a time, one key each; the script asks the API for the items themselves."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from labeling import suggestions
from labeling.api import shapes
from labeling.models import Member, Role
from labeling.pages.gate import context, members

# What has a key that people can change; static/src/label/keys.ts knows the usual keys.
ACTIONS = {
    "accept": gettext_lazy("Accept the suggestion"),
    "skip": gettext_lazy("Skip this item"),
    "flag": gettext_lazy("Flag this item; again: write a note"),
    "undo": gettext_lazy("Take back the last answer or skip"),
    "search": gettext_lazy("Find a label by its name"),
    "guidelines": gettext_lazy("Open or close the guidelines"),
    "help": gettext_lazy("Show all keys"),
    "zoomIn": gettext_lazy("Zoom in (images)"),
    "zoomOut": gettext_lazy("Zoom out (images)"),
}


@require_safe
@members()
def label(request: HttpRequest, member: Member) -> HttpResponse:
    """The labelling page; reading it hands out no items."""
    labels = member.project.labels.filter(archived_at=None)
    shown = context(member, labels=labels, data=_data(member, labels), strings=_strings())
    return render(request, "label.html", shown)


def _data(member: Member, labels: Any) -> dict[str, Any]:
    project = member.project
    return {
        "user": member.user_id,
        "keymap": member.user.keymap,
        "project": {
            "id": project.pk,
            "modality": project.modality,
            "lease_seconds": project.lease_seconds,
            "show_suggestions": project.show_suggestions,
            "goal_accuracy": project.goal_accuracy,
        },
        "labels": [shapes.label(label) for label in labels],
        "progress": shapes.progress(project, suggestions.latest(project), member.user),
        "urls": _urls(member),
    }


def _urls(member: Member) -> dict[str, str]:
    """Where the script asks, and the pages that an empty state can lead this person to."""
    role, project_id = Role(member.role), member.project_id
    return {
        "api": f"/api/projects/{project_id}",
        "me": "/api/me",
        "events": reverse("events", args=[project_id]),
        "overview": _page("overview", project_id),
        "review": _page("review", project_id) if role.reaches(Role.REVIEWER) else "",
        "import": _page("import", project_id) if role.reaches(Role.ADMIN) else "",
        "settings": _page("settings", project_id) if role.reaches(Role.ADMIN) else "",
        "signin": _page("signin"),
    }


def _page(name: str, *arguments: int) -> str:
    try:
        return reverse(name, args=arguments)
    except NoReverseMatch:
        return ""


def _strings() -> dict[str, str]:
    """What the script says, in the reader's language; %(name)s is filled in by the script."""
    return {
        # The item and its labels
        "accept_this": _("Accept “%(label)s”"),
        "calibrated": _("Calibrated: of suggestions that are this sure, about %(p)s are right."),
        "rule": _("rule: %(says)s"),
        "rule_against": _("rule: %(says)s → %(label)s"),
        "others_said": _("Others said: %(said)s"),
        "other": _("%(who)s: %(label)s"),
        "other_decided": _("%(who)s decided: %(label)s"),
        "item_number": _("item %(number)s"),
        "image_number": _("Image, item %(number)s"),
        "find_among": _("Find among %(count)s labels…"),
        "zoom_in": _("Zoom in"),
        "zoom_out": _("Zoom out"),
        "zoom_fit": _("Fit"),
        "image_missing": _("The image could not be loaded."),
        "external_id": _("External id"),
        "file_name": _("File"),
        # What is told to screen readers and in passing
        "announce_item": _("Item %(number)s: %(text)s"),
        "announce_suggestion": _("Suggested: %(label)s, %(p)s."),
        "announce_saved": _("Saved: %(label)s."),
        "announce_skipped": _("Skipped."),
        "announce_undone": _("Taken back."),
        "no_suggestion": _("There is no suggestion to accept yet: choose a label."),
        "nothing_to_undo": _("There is nothing to take back."),
        "undo_needs_server": _("Taking this back needs the server, which cannot be reached now. Nothing was changed."),
        "flag_on": _("Flagged. Press %(key)s again to add a note."),
        "flag_off": _("The flag is off."),
        "note_kept": _("The note is kept."),
        "changed": _("Changed to “%(label)s”."),
        "lease_lost": _("You were away for a while and the item went back into the queue; here is the next one."),
        # The side
        "by_people": _("%(count)s by people"),
        "by_file": _("%(count)s came with the file"),
        "by_model": _("%(count)s by the model"),
        "open": _("%(count)s open"),
        "mine": _("%(count)s by you"),
        "goal": _("Estimated from the answers so far. The goal is %(goal)s."),
        "interval": _("%(low)s – %(high)s"),
        "ahead": _("More answers hardly pay any more: the next %(answers)s add at most %(high)s points."),
        "progress_label": _("%(done)s of %(items)s items have a label"),
        "change_answer": _("Change “%(label)s”"),
        "kept_here": _("kept here, not sent yet"),
        "was_refused": _("refused"),
        # The model
        "model_adapting": _("adapting…"),
        "model_embedding": _("reading the items…"),
        "model_embedding_count": _("reading the items… %(done)s of %(items)s"),
        "model_number": _("model %(number)s"),
        "model_when": _("· adapted %(ago)s"),
        # Searching a label
        "pick_title": _("Choose a label"),
        "change_title": _("Change the answer"),
        # Keys
        **{f"action_{name}": str(title) for name, title in ACTIONS.items()},
        "press_key": _("Press a key…"),
        "key_swapped": _("“%(key)s” did “%(action)s”; the two have swapped keys."),
        "key_of_label": _("“%(key)s” gives the label “%(label)s”. Choose another key."),
        "key_hidden": _("gives “%(label)s” here"),
        "key_unfit": _("This key cannot be used."),
        "keys_kept": _("Your keys are kept."),
        "keys_not_kept": _("Your keys could not be kept: %(detail)s"),
        "keys_fixed": _("Each label keeps its key."),
        "keys_likeliest": _(
            "The digits give the nine labels on top, the likeliest first. All others: type their name."
        ),
        "Enter": _("Enter"),
        "Space": _("Space"),
        # The outbox
        "away": _("Working offline: %(count)s kept on this device. They are sent when the server is back."),
        "try_now": _("Try now"),
        "signed_out": _("You are signed out. Answers kept on this device: %(count)s. Sign in again and they are sent."),
        "sign_in": _("Sign in"),
        "refused_one": _("The server did not take the answer “%(label)s” for “%(text)s”: %(detail)s"),
        "refused_other": _("The server refused an action on “%(text)s”: %(detail)s"),
        "answer_again": _("Choose another label"),
        "send_again": _("Send again"),
        "forget": _("Leave it out"),
        # When there is nothing to show
        "empty_title": _("Nothing to label yet"),
        "empty_admin": _("Import a file, and its items come up here one by one."),
        "empty_other": _("An admin of the project has not imported any items so far. This page looks again by itself."),
        "empty_import": _("Import items"),
        "labels_title": _("This project has no labels yet"),
        "labels_admin": _("Say what the labels are, then labelling can begin."),
        "labels_other": _("An admin of the project has to say what the labels are. Then labelling can begin."),
        "labels_settings": _("Set up labels"),
        "done_title": _("All done"),
        "done_text": _("Every item has a label. Thank you: %(mine)s of them are yours."),
        "done_review": _("Review the labels"),
        "done_overview": _("See the overview"),
        "waiting_title": _("The rest is in other hands"),
        "waiting_text": _("Open items held by others or by your other tabs: %(count)s. What they leave comes here."),
        "paused_title": _("Labelling is paused for you"),
        "paused_text": _(
            "Several of your answers differed from labels that are known to be right, more than chance explains. "
            "Nothing is lost. Ask an admin of the project to look at it with you: %(admins)s."
        ),
        "training_right": _("Right: “%(label)s”."),
        "training_wrong": _("It is “%(label)s”; you said “%(said)s”."),
        "others_title": _("You have answered all you can"),
        "others_text": _("Each item is answered by several people. Waiting for others: %(count)s. Thank you."),
        "skipped_title": _("Only items that you skipped are left"),
        "skipped_text": _("Open items: %(count)s. Take back a skip to answer it after all, or leave them to others."),
        "skipped_undo": _("Take back the last skip"),
        "offline_title": _("No more items at hand"),
        "offline_text": _(
            "The server cannot be reached. Your answers are kept here; the next items come when it is back."
        ),
        "trouble_title": _("The items could not be loaded"),
        "again": _("Try again"),
        "loading": _("Fetching the next item…"),
    }


urlpatterns = [path("projects/<int:project_id>/label", label, name="label")]
