"""The application's registration with Django."""

from typing import Any

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class LabelingConfig(AppConfig):
    """Settings of the labelling application."""

    name = "labeling"
    verbose_name = "Labelling"

    def ready(self) -> None:
        """Each start migrates, and so learns of the models that came with the application."""
        post_migrate.connect(_register_checkpoints, sender=self)


def _register_checkpoints(using: str, **_: Any) -> None:
    from labeling import checkpoints
    from labeling.models import Checkpoint

    if using == "default" and Checkpoint._meta.db_table in _tables(using):
        checkpoints.register()


def _tables(using: str) -> list[str]:
    from django.db import connections

    return connections[using].introspection.table_names()
