"""The health check answers without a session."""

from django.test import Client


def test_health_check_answers_to_anybody(client: Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.content) == (200, b"ok")
