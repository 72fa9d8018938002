"""API of nothing: any other address under /api/ is refused in the same shape as everything else."""

from __future__ import annotations

from typing import Any

from django.urls import re_path
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.views import APIView

from labeling.errors import NotFound


class Unknown(APIView):
    """Where there is nothing, nobody need sign in to hear it."""

    schema = None
    permission_classes = [AllowAny]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuse before a method is looked for."""
        raise NotFound


urlpatterns = [re_path(r"^.*$", Unknown.as_view(), name="api_unknown")]
