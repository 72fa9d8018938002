"""API of the session: getting a token, and the person's own account."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.urls import re_path
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.authtoken.models import Token
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access
from labeling.api.schema import Choice, valid
from labeling.errors import BadField, Refused
from labeling.models import User

MOST_KEYS = 60


class WrongCredentials(Refused):
    """A user name and password that do not belong together; it is not said which of them is wrong."""

    code = "wrong_credentials"
    status = 401


class Credentials(serializers.Serializer):
    """A user name and its password."""

    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=4096, trim_whitespace=False)


class TokenOut(serializers.Serializer):
    """Send it as `Authorization: Token …`."""

    token = serializers.CharField()


class Keymap(serializers.DictField):
    """An action's name to the key for it, as KeyboardEvent.key names keys."""

    child = serializers.CharField(max_length=20, trim_whitespace=False)

    def to_internal_value(self, data: Any) -> dict[str, str]:
        keymap = super().to_internal_value(data)
        if len(keymap) > MOST_KEYS or any(len(action) > 40 for action in keymap):
            raise serializers.ValidationError(_("These are too many keys, or names too long."))
        if len(set(keymap.values())) < len(keymap):
            raise serializers.ValidationError(_("Two actions cannot have the same key."))
        return keymap


class Me(serializers.ModelSerializer):
    """The person who signed in."""

    name = serializers.CharField(source="first_name", max_length=150, allow_blank=True, required=False)
    language = Choice(choices=[("", "The browser's"), *settings.LANGUAGES], required=False)
    keymap = Keymap(required=False)

    class Meta:
        model = User
        fields = ("id", "username", "name", "language", "keymap", "is_staff")
        read_only_fields = ("id", "username", "is_staff")


class NewPassword(serializers.Serializer):
    """The password that holds and the one to come."""

    old = serializers.CharField(max_length=4096, trim_whitespace=False)
    new = serializers.CharField(max_length=4096, trim_whitespace=False)


class Tokens(APIView):
    """The key for scripts."""

    def get_permissions(self) -> Any:
        return [AllowAny()] if self.request.method == "POST" else super().get_permissions()

    def get_authenticators(self) -> Any:
        # Whoever asks for a token need not prove anything but the password; a stale token must not stand in the way.
        method = self.request.method if self.request else "POST"
        return [] if method == "POST" else super().get_authenticators()

    @extend_schema(request=Credentials, responses=TokenOut, operation_id="token_create", auth=[])
    @sensitive_variables("given")
    def post(self, request: Request) -> Response:
        """Sign in for scripts. The same token comes again until it is revoked."""
        given = valid(Credentials, request.data)
        user = authenticate(request._request, **given)
        if user is None:
            # After too many of these, django-axes puts pages/lockout.py's answer in the place of this one.
            raise WrongCredentials(_("The user name and the password do not belong together."))
        token, _is_new = Token.objects.get_or_create(user=user)
        return Response({"token": token.key})

    @extend_schema(responses={204: None}, operation_id="token_revoke")
    def delete(self, request: Request) -> Response:
        """Revoke the token: scripts that use it are refused from now on."""
        Token.objects.filter(user=access.person(request)).delete()
        return Response(status=204)


class Account(APIView):
    """The person's own account."""

    @extend_schema(responses=Me, operation_id="me_get")
    def get(self, request: Request) -> Response:
        """Who is signed in."""
        return Response(Me(access.person(request)).data)

    @extend_schema(request=Me(partial=True), responses=Me, operation_id="me_change")
    def patch(self, request: Request) -> Response:
        """Change the name, the language or the keys."""
        account = Me(access.person(request), data=request.data, partial=True)
        account.is_valid(raise_exception=True)
        account.save()
        return Response(account.data)


class Password(APIView):
    """The person's own password."""

    @extend_schema(request=NewPassword, responses={204: None}, operation_id="me_password")
    @sensitive_variables("given")
    def post(self, request: Request) -> Response:
        """Change the password. Other browsers are signed out; tokens stay."""
        given = valid(NewPassword, request.data)
        user = access.person(request)
        if not user.check_password(given["old"]):
            raise BadField("old", _("This is not your password."))
        try:
            validate_password(given["new"], user)
        except ValidationError as error:
            raise BadField("new", " ".join(error.messages)) from None
        user.set_password(given["new"])
        user.save(update_fields=["password"])
        return Response(status=204)


urlpatterns = [
    re_path(r"^token/?$", Tokens.as_view(), name="api_token"),
    re_path(r"^me/?$", Account.as_view(), name="api_me"),
    re_path(r"^me/password/?$", Password.as_view(), name="api_password"),
]
