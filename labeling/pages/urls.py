"""The pages' addresses, gathered from the pages."""

from django.urls import URLPattern, URLResolver

from labeling.pages import (
    account,
    annotators,
    certificate,
    data,
    disagreements,
    export,
    home,
    images,
    importing,
    label,
    live,
    models,
    overview,
    people,
    project_new,
    quality,
    review,
    rules,
    session,
    settings,
)

urlpatterns: list[URLPattern | URLResolver] = [
    *home.urlpatterns,
    *session.urlpatterns,
    *account.urlpatterns,
    *project_new.urlpatterns,
    *importing.urlpatterns,
    *data.urlpatterns,
    *models.urlpatterns,
    *people.urlpatterns,
    *settings.urlpatterns,
    *overview.urlpatterns,
    *review.urlpatterns,
    *quality.urlpatterns,
    *disagreements.urlpatterns,
    *annotators.urlpatterns,
    *rules.urlpatterns,
    *certificate.urlpatterns,
    *export.urlpatterns,
    *label.urlpatterns,
    *live.urlpatterns,
    *images.urlpatterns,
]
