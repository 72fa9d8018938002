"""API of people: a project's members and the invitations by which others can join."""

from __future__ import annotations

from typing import Any

from django.urls import re_path, reverse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from labeling import access
from labeling.api.schema import Choice, valid
from labeling.errors import NotAllowed
from labeling.flow import joining
from labeling.models import Invitation, Member, Project, Role


class MemberIn(serializers.Serializer):
    """A person with an account, and the role to give."""

    username = serializers.CharField(max_length=150)
    role = Choice(choices=Role.choices)


class RoleIn(serializers.Serializer):
    """Another role."""

    role = Choice(choices=Role.choices)


class Person(serializers.Serializer):
    """Who it is."""

    id = serializers.IntegerField()
    username = serializers.CharField()
    name = serializers.CharField()


class MemberOut(serializers.Serializer):
    """A person's place in the project."""

    id = serializers.IntegerField()
    user = Person()
    role = serializers.ChoiceField(choices=Role.choices)
    created_at = serializers.DateTimeField()


class InvitationIn(serializers.Serializer):
    """How many people may join by the link, as what, and for how long it holds."""

    role = Choice(choices=Role.choices)
    uses = serializers.IntegerField(required=False, min_value=1, max_value=joining.MOST_USES, default=1)
    days = serializers.IntegerField(required=False, min_value=1, max_value=joining.MOST_DAYS, default=7)


class InvitationOut(serializers.Serializer):
    """An invitation; `url` is told once, when it is made."""

    id = serializers.IntegerField()
    url = serializers.CharField(allow_null=True)
    role = serializers.ChoiceField(choices=Role.choices)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    uses_left = serializers.IntegerField()


class Members(APIView):
    """A project's members."""

    @extend_schema(operation_id="members_list", responses=MemberOut(many=True))
    def get(self, request: Request, project_id: int) -> Response:
        """Everybody in the project."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        return Response([member_shown(member) for member in members_of(project)])

    @extend_schema(operation_id="members_add", request=MemberIn, responses={201: MemberOut})
    def post(self, request: Request, project_id: int) -> Response:
        """Add someone who has an account here; others need an invitation."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        return Response(member_shown(joining.add(project=project, **valid(MemberIn, request.data))), status=201)


class OneMember(APIView):
    """One member."""

    @extend_schema(operation_id="members_change", request=RoleIn, responses=MemberOut)
    def patch(self, request: Request, project_id: int, member_id: str) -> Response:
        """Give another role. The last admin stays one (409)."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        member = access.row_of(project, members_of(project), pk=member_id)
        return Response(member_shown(joining.change_role(member=member, **valid(RoleIn, request.data))))

    @extend_schema(operation_id="members_remove", responses={204: None})
    def delete(self, request: Request, project_id: int, member_id: str) -> Response:
        """Remove a member, or leave yourself. The last admin stays (409). Answers stay too."""
        own = access.membership(access.person(request), project_id)
        if str(own.pk) != member_id and not Role(own.role).reaches(Role.ADMIN):
            raise NotAllowed(str(Role.ADMIN.label))
        joining.remove(member=access.row_of(own.project, Member, pk=member_id))
        return Response(status=204)


class Invitations(APIView):
    """A project's open invitations."""

    @extend_schema(operation_id="invitations_list", responses=InvitationOut(many=True))
    def get(self, request: Request, project_id: int) -> Response:
        """The invitations that somebody can still join by, without their links."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        return Response([invitation_shown(invitation) for invitation in open_invitations(project)])

    @extend_schema(operation_id="invitations_create", request=InvitationIn, responses={201: InvitationOut})
    def post(self, request: Request, project_id: int) -> Response:
        """Make a link to join by. It is shown this once: only its hash is kept."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        given = valid(InvitationIn, request.data)
        invitation, token = joining.invite(project=project, inviter=access.person(request), now=timezone.now(), **given)
        url = request.build_absolute_uri(reverse("invitation", args=[token]))
        return Response(invitation_shown(invitation, url), status=201)


class OneInvitation(APIView):
    """One invitation."""

    @extend_schema(operation_id="invitations_revoke", responses={204: None})
    def delete(self, request: Request, project_id: int, invitation_id: str) -> Response:
        """Close the link; who joined by it stays."""
        project = access.project(access.person(request), project_id, Role.ADMIN)
        joining.revoke(invitation=access.row_of(project, Invitation, pk=invitation_id), now=timezone.now())
        return Response(status=204)


def members_of(project: Project) -> Any:
    """The members with their people, in the order they came."""
    return Member.objects.filter(project=project).select_related("user", "project").order_by("pk")


def open_invitations(project: Project) -> Any:
    """The invitations that somebody can still join by, newest first."""
    found = Invitation.objects.filter(project=project, revoked_at=None, uses_left__gt=0, expires_at__gt=timezone.now())
    return found.select_related("created_by").order_by("-pk")


def member_shown(member: Member) -> dict[str, Any]:
    """The member as scripts get it."""
    person = {"id": member.user.pk, "username": member.user.username, "name": member.user.get_full_name()}
    return {"id": member.pk, "user": person, "role": member.role, "created_at": member.created_at.isoformat()}


def invitation_shown(invitation: Invitation, url: str | None = None) -> dict[str, Any]:
    """The invitation as scripts get it."""
    return {
        "id": invitation.pk,
        "url": url,
        "role": invitation.role,
        "created_at": invitation.created_at.isoformat(),
        "expires_at": invitation.expires_at.isoformat(),
        "uses_left": invitation.uses_left,
    }


ONE = r"^projects/(?P<project_id>\d{1,18})"
urlpatterns = [
    re_path(ONE + r"/members/?$", Members.as_view(), name="api_members"),
    re_path(ONE + r"/members/(?P<member_id>\d{1,18})/?$", OneMember.as_view(), name="api_member"),
    re_path(ONE + r"/invitations/?$", Invitations.as_view(), name="api_invitations"),
    re_path(ONE + r"/invitations/(?P<invitation_id>\d{1,18})/?$", OneInvitation.as_view(), name="api_invitation"),
]
