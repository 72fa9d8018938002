"""The API's addresses, gathered from its resources."""

from django.urls import URLPattern, URLResolver

from labeling.api import (
    certificates,
    checkpoints,
    disagreements,
    evaluation,
    exports,
    gold,
    imports,
    items,
    jobs,
    labelling,
    labels,
    overview,
    people,
    projects,
    quality,
    review,
    rules,
    session,
    snapshots,
    unknown,
)

urlpatterns: list[URLPattern | URLResolver] = [
    *session.urlpatterns,
    *projects.urlpatterns,
    *labels.urlpatterns,
    *people.urlpatterns,
    *imports.urlpatterns,
    *jobs.urlpatterns,
    *items.urlpatterns,
    *labelling.urlpatterns,
    *review.urlpatterns,
    *quality.urlpatterns,
    *rules.urlpatterns,
    *certificates.urlpatterns,
    *overview.urlpatterns,
    *disagreements.urlpatterns,
    *gold.urlpatterns,
    *snapshots.urlpatterns,
    *evaluation.urlpatterns,
    *checkpoints.urlpatterns,
    *exports.urlpatterns,
    *unknown.urlpatterns,  # last: it takes every address
]
