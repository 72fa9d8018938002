"""The API's addresses, gathered from its resources."""

from django.urls import URLPattern, URLResolver

from labeling.api import exports, labelling, overview, review, snapshots

urlpatterns: list[URLPattern | URLResolver] = [
    *labelling.urlpatterns,
    *review.urlpatterns,
    *overview.urlpatterns,
    *snapshots.urlpatterns,
    *exports.urlpatterns,
]
