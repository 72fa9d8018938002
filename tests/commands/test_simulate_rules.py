"""simulate --rules: rules from a file are heard from the first round on; a wrong file says so."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from labeling import encoders, learner
from labeling.models import Rule, Snapshot

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Numbers as vectors that say nothing of the label, which the words give away."""
    path = tmp_path / "words.jsonl"
    lines = [{"text": f"{('alpha', 'beta')[k % 2]} {k}", "label": f"L{k % 2}"} for k in range(40)]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.json"
    given = [{"label": f"L{k}", "kind": "keyword", "text": word} for k, word in enumerate(("alpha", "beta", "gamma"))]
    path.write_text(json.dumps({"rules": given}))
    return path


def simulated(**options: Any) -> tuple[dict[str, Any], str]:
    out, err = io.StringIO(), io.StringIO()
    learner.forget()
    call_command("simulate", apart=True, answers=0, encoder="test-noise", stdout=out, stderr=err, **options)
    return json.loads(out.getvalue().splitlines()[0]), err.getvalue()


@pytest.fixture(autouse=True)
def _noise(monkeypatch: pytest.MonkeyPatch) -> None:
    class Noise:
        name, dimension, modality = "test-noise", 8, "text"

        def encode(self, items: list[Any]) -> np.ndarray:
            x = np.random.default_rng(len(items)).standard_normal((len(items), 8))
            return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

        def encode_names(self, names: list[str]) -> None:
            return None

    monkeypatch.setattr(encoders, "get", lambda name: Noise())
    monkeypatch.setattr(encoders, "check", lambda name, modality: None)


def test_rules_are_heard_without_any_answer(data: Path, rules: Path) -> None:
    line, told = simulated(data=str(data), rules=str(rules), no_names=True)
    assert line["accuracy_model"] >= 0.9
    assert "“L2”" in told
    assert Rule.objects.count() == 2
    assert len(Snapshot.objects.get().facts["rules"]) == 2


def test_a_file_that_is_not_there_or_no_json_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="There is no file"):
        simulated(data=str(data), rules=str(tmp_path / "none.json"))
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(CommandError, match="is no JSON"):
        simulated(data=str(data), rules=str(tmp_path / "bad.json"))
