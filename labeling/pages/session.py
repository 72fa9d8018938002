"""Session: signing in and out, the language, and joining a project by an invitation."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from django.views.i18n import set_language

from labeling import access
from labeling.errors import Conflict, Refused
from labeling.flow import joining
from labeling.models import Invitation, Role, User

LANGUAGE_DAYS = 365


class SignIn(LoginView):
    """The page to sign in; a person's own language is taken up."""

    template_name = "signin.html"
    redirect_authenticated_user = True

    def form_valid(self, form: Any) -> HttpResponse:
        """Sign in, in the person's language."""
        response = super().form_valid(form)
        speak(response, form.get_user().language)
        return response


class SignUp(forms.Form):
    """A new account, by invitation."""

    username = forms.CharField(
        label=gettext_lazy("User name"), max_length=150, widget=forms.TextInput({"autocomplete": "username"})
    )
    name = forms.CharField(
        label=gettext_lazy("Your name"),
        max_length=150,
        required=False,
        help_text=gettext_lazy("Others in the project see it."),
        widget=forms.TextInput({"autocomplete": "name"}),
    )
    password = forms.CharField(
        label=gettext_lazy("Password"),
        strip=False,
        max_length=4096,
        help_text=gettext_lazy("At least 10 characters."),
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Join by a link: at once with the account at hand, or with a new one."""
    found = joining.invitation_for(token, timezone.now())
    form = SignUp(request.POST if request.method == "POST" and not request.user.is_authenticated else None)
    if request.method == "POST" and (joined := _joined(request, found, form)):
        return joined
    context = {"invitation": found, "role": Role(found.role).label, "form": form, "path": request.path}
    status = 422 if form.is_bound else 200
    return render(request, "invitation.html", context, status=status)


@require_POST
def choose_language(request: HttpRequest) -> HttpResponse:
    """Change the language of this browser, and of the account if somebody is signed in."""
    language = request.POST.get("language", "")
    if request.user.is_authenticated and language in dict(settings.LANGUAGES):
        User.objects.filter(pk=access.person(request).pk).update(language=language)
    return set_language(request)


def speak(response: HttpResponse, language: str) -> None:
    """Let the browser ask for this language from now on; nothing changes where none is chosen."""
    if language:
        response.set_cookie(
            settings.LANGUAGE_COOKIE_NAME,
            language,
            max_age=LANGUAGE_DAYS * 24 * 60 * 60,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )


def _joined(request: HttpRequest, found: Invitation, form: SignUp) -> HttpResponse | None:
    now = timezone.now()
    if request.user.is_authenticated:
        member = joining.join(invitation=found, user=access.person(request), now=now)
    else:
        if not form.is_valid():
            return None
        try:
            member = joining.sign_up(invitation=found, **form.cleaned_data, now=now)
        except Refused as refusal:
            if not refusal.fields and not isinstance(refusal, Conflict):
                raise
            for name, message in refusal.fields.items():
                form.add_error(name, message)
            return None
        login(request, member.user, backend="django.contrib.auth.backends.ModelBackend")
    messages.success(request, _("Welcome to “%(project)s”.") % {"project": found.project.name})
    return redirect("overview", project_id=found.project_id)


urlpatterns = [
    path("signin", SignIn.as_view(), name="signin"),
    path("signout", LogoutView.as_view(), name="signout"),
    path("invite/<str:token>", invitation, name="invitation"),
]
