"""Account: a person's own name, language, keys, password and API token."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import PasswordChangeForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, override
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods
from rest_framework.authtoken.models import Token

from labeling import access
from labeling.pages.label import ACTIONS
from labeling.pages.session import speak


class Profile(forms.Form):
    """The person's name and language."""

    name = forms.CharField(
        label=gettext_lazy("Your name"),
        max_length=150,
        required=False,
        help_text=gettext_lazy("Others in your projects see it."),
        widget=forms.TextInput({"autocomplete": "name"}),
    )
    language = forms.ChoiceField(
        label=gettext_lazy("Language"),
        required=False,
        choices=[("", gettext_lazy("The browser's")), *settings.LANGUAGES],
    )


@login_required
@sensitive_post_parameters("old_password", "new_password1", "new_password2")
@never_cache  # what is shown once must not come again by the back button
@require_http_methods(["GET", "POST"])
def account(request: HttpRequest) -> HttpResponse:
    """One form for each concern; `do` says which was sent."""
    shown: dict[str, Any] = {}
    if request.method == "POST":
        done = DOINGS.get(request.POST.get("do", ""), _nothing)(request, shown)
        if done is not None:
            return done
    user = access.person(request)
    initial = {"name": user.first_name, "language": user.language}
    context = {
        "profile": Profile(initial=initial),
        "password": _password_form(user),
        "token": Token.objects.filter(user=user).first(),
        "keys": [(ACTIONS.get(action, action), key) for action, key in sorted(user.keymap.items())],
    } | shown
    status = 422 if request.method == "POST" and "new_token" not in shown else 200
    return render(request, "account.html", context, status=status)


def _save_profile(request: HttpRequest, shown: dict[str, Any]) -> HttpResponse | None:
    form = shown["profile"] = Profile(request.POST)
    if not form.is_valid():
        return None
    user = access.person(request)
    user.first_name, user.language = form.cleaned_data["name"].strip(), form.cleaned_data["language"]
    user.save(update_fields=["first_name", "language"])
    with override(user.language or None):
        messages.success(request, _("Saved."))
    response = redirect("account")
    if user.language:
        speak(response, user.language)
    else:
        response.delete_cookie(settings.LANGUAGE_COOKIE_NAME)
    return response


def _change_password(request: HttpRequest, shown: dict[str, Any]) -> HttpResponse | None:
    form = shown["password"] = _password_form(access.person(request), request.POST)
    if not form.is_valid():
        return None
    update_session_auth_hash(request, form.save())
    messages.success(request, _("Your password is changed. Other browsers are signed out."))
    return redirect("account")


def _make_token(request: HttpRequest, shown: dict[str, Any]) -> None:
    """A new token takes the old one's place; it is shown in this reply and never again."""
    Token.objects.filter(user=access.person(request)).delete()
    shown["new_token"] = Token.objects.create(user=access.person(request)).key


def _revoke_token(request: HttpRequest, shown: dict[str, Any]) -> HttpResponse:
    Token.objects.filter(user=access.person(request)).delete()
    messages.success(request, _("The token is revoked."))
    return redirect("account")


def _reset_keys(request: HttpRequest, shown: dict[str, Any]) -> HttpResponse:
    user = access.person(request)
    user.keymap = {}
    user.save(update_fields=["keymap"])
    messages.success(request, _("All keys are as they were at first."))
    return redirect("account")


def _nothing(request: HttpRequest, shown: dict[str, Any]) -> None:
    """A form that this page does not know is shown the page again."""


DOINGS: dict[str, Callable[[HttpRequest, dict[str, Any]], HttpResponse | None]] = {
    "profile": _save_profile,
    "password": _change_password,
    "token": _make_token,
    "revoke": _revoke_token,
    "keys": _reset_keys,
}


def _password_form(user: Any, data: Any = None) -> PasswordChangeForm:
    form = PasswordChangeForm(user, data)
    form.fields["old_password"].widget.attrs.pop("autofocus", None)
    return form


urlpatterns = [path("account", account, name="account")]
