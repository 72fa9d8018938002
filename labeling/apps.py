"""The application's registration with Django."""

from django.apps import AppConfig


class LabelingConfig(AppConfig):
    """Settings of the labelling application."""

    name = "labeling"
    verbose_name = "Labelling"
