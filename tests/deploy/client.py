"""Client: a script that uses the API of a running application and does not give up while a part of it is away."""

from __future__ import annotations

import http.client
import json
import re
import sqlite3
import threading
import time
import urllib.error
import urllib.request
import uuid
from typing import Any

from tests.deploy.running import Application

PATIENCE_SECONDS = 90.0


class Client:
    """The admin's script. `request` repeats what got no answer; `row` looks into the database."""

    def __init__(self, running: Application) -> None:
        self.running = running
        password = re.search(r"Password +(\S+)", running.output)
        assert password is not None
        self.token = ""
        self.token = self.request("POST", "token/", {"username": "admin", "password": password[1]})["token"]

    def request(self, method: str, path: str, body: Any = None, *, kind: str = "application/json") -> Any:
        """The decoded answer. Repeats the same request while nobody answers or the answer is a 5xx."""
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                answer = self._once(method, path, content, kind)
                return json.loads(answer) if answer[:1] in (b"{", b"[") else answer
            except urllib.error.HTTPError as error:
                if error.code < 500:
                    raise AssertionError(f"{method} {path}: {error.code} {error.read()[:500]!r}") from error
                reason: Exception = error
            except (OSError, http.client.HTTPException) as error:
                reason = error
            assert time.monotonic() < until, f"{method} {path}: {reason!r}"
            time.sleep(0.1)

    def _once(self, method: str, path: str, content: bytes | None, kind: str) -> bytes:
        headers = {"Content-Type": kind} | ({"Authorization": f"Token {self.token}"} if self.token else {})
        url = f"http://127.0.0.1:{self.running.port}/api/{path}"
        request = urllib.request.Request(url, data=content, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            body: bytes = answer.read()
            announced = answer.headers.get("Content-Length")
            if announced and len(body) < int(announced):
                raise http.client.IncompleteRead(body)
            return body

    def upload(self, path: str, name: str, content: bytes, **fields: str) -> Any:
        """POST a file with form fields."""
        mark = uuid.uuid4().hex
        parts = [
            f'--{mark}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
            for key, value in fields.items()
        ]
        head = f'--{mark}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        body = "".join(parts).encode() + head.encode() + content + f"\r\n--{mark}--\r\n".encode()
        return self.request("POST", path, body, kind=f"multipart/form-data; boundary={mark}")

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the application's database says, read beside it."""
        connection = sqlite3.connect(f"file:{self.running.data}/annotator.sqlite3?mode=ro", uri=True, timeout=20)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def job(self, job_id: int) -> tuple[str, int, dict[str, Any]]:
        """A job's state, how often it was begun, and what it has done so far."""
        ((state, attempt, result),) = self.rows("SELECT state, attempt, result FROM labeling_job WHERE id = ?", job_id)
        return state, attempt, json.loads(result)


class Annotator(threading.Thread):
    """Somebody who answers item after item, a few a second, and sends again what was not acknowledged."""

    def __init__(self, client: Client, project: int) -> None:
        super().__init__(daemon=True)
        self.client = client
        self.project = project
        self.acknowledged: list[tuple[int, int, str]] = []  # item, label, key
        self.error: BaseException | None = None
        self._over = threading.Event()
        truth = client.rows(
            "SELECT item_id, label_id FROM labeling_reference WHERE item_id IN"
            " (SELECT id FROM labeling_item WHERE project_id = ?)",
            project,
        )
        self.truth: dict[int, int] = dict(truth)

    def run(self) -> None:
        try:
            while not self._over.wait(0.15):
                self._answer_one()
        except BaseException as error:  # noqa: BLE001 - handed to the test, which would not see it here
            self.error = error

    def _answer_one(self) -> None:
        tab = f"tab-{id(self)}"
        handed = self.client.request("GET", f"projects/{self.project}/next/?count=1&tab={tab}")
        for item in handed["items"][:1]:
            label, key = self.truth[item["id"]], str(uuid.uuid4())
            answer = {"item": item["id"], "label": label, "key": key, "tab": tab, "count": 1}
            self.client.request("POST", f"projects/{self.project}/answers/", answer)
            self.acknowledged.append((item["id"], label, key))

    def finish(self) -> None:
        self._over.set()
        self.join(timeout=PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error
        assert not self.is_alive()
