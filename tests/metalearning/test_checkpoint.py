"""Checkpoints come back as they were, or are refused with the reason."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from metalearning import checkpoint
from metalearning.checkpoint import CheckpointDoesNotFit, CheckpointUnreadable, content_hash, load, save
from metalearning.gate import RECIPE, TENSORS
from metalearning.networks import init_conv4, init_mlp


def test_parameters_and_card_come_back_and_nothing_else_is_left_in_the_folder(tmp_path: Path) -> None:
    params = init_conv4(1, 8, torch.Generator().manual_seed(0), outputs=5)
    card = {"algorithm": "maml", "data": ["clinc150 (CC BY 3.0)"], "figures": {"5-way": 0.91}, "Sprache": "中文"}
    save(tmp_path / "a.safetensors", params, card)
    save(tmp_path / "a.safetensors", params, card)
    found = load(tmp_path / "a.safetensors", like=params)
    assert found.card == card
    assert all(torch.equal(found.params[name], params[name]) for name in params)
    assert content_hash(found.params) == content_hash(params)
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_a_failed_write_leaves_the_last_checkpoint(tmp_path: Path) -> None:
    params = {"head.weight": torch.zeros(1, 2)}
    save(tmp_path / "a", params, {"round": 1})
    with pytest.raises(TypeError):
        save(tmp_path / "a", params, {"round": object()})
    assert load(tmp_path / "a").card == {"round": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_the_content_hash_changes_with_any_number_and_any_name() -> None:
    params = init_mlp((3, 4), torch.Generator().manual_seed(0))
    other = {name: value.clone() for name, value in params.items()}
    other["body.0.weight"][0, 0] += 1e-3
    renamed = {("x" if name == "head.bias" else name): value for name, value in params.items()}
    assert len({content_hash(params), content_hash(other), content_hash(renamed)}) == 3


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointUnreadable, match="absent"):
        load(tmp_path / "absent")
    (tmp_path / "garbage").write_bytes(b"\x00" * 40)
    with pytest.raises(CheckpointUnreadable, match="garbage"):
        load(tmp_path / "garbage")
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign")
    with pytest.raises(CheckpointUnreadable, match="format None"):
        load(tmp_path / "foreign")


def test_parameters_of_another_network_are_refused(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    save(tmp_path / "a", init_mlp((3, 4), generator), {})
    with pytest.raises(CheckpointDoesNotFit, match=r"body.0.weight has the shape \(4, 3\), the network \(5, 3\)"):
        load(tmp_path / "a", like=init_mlp((3, 5), generator))
    with pytest.raises(CheckpointDoesNotFit, match=r"missing \['body.1.bias', 'body.1.weight'\], unknown \[\]"):
        load(tmp_path / "a", like=init_mlp((3, 4, 4), generator))


def test_a_gate_serves_its_recipe_and_its_encoders_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = {name: torch.zeros(2, *shape) for name, shape in TENSORS.items()}
    monkeypatch.setattr(checkpoint, "SHIPPED", tmp_path)
    checkpoint.default_checkpoint.cache_clear()
    assert checkpoint.default_checkpoint("minilm") is None
    save(tmp_path / "old.safetensors", params, {"name": "old", "recipe": RECIPE - 1, "serves": ["minilm"]})
    save(tmp_path / "text.safetensors", params, {"name": "text", "recipe": RECIPE, "serves": ["minilm"]})
    checkpoint.default_checkpoint.cache_clear()
    found = checkpoint.default_checkpoint("minilm")
    assert found is not None
    assert found.label == f"text {content_hash(params)[:8]}"
    assert found.gate.network is not None
    assert checkpoint.default_checkpoint("pixels") is None
    checkpoint.default_checkpoint.cache_clear()


def test_what_comes_with_the_package_is_whole_and_says_what_it_was_made_of() -> None:
    checkpoint.default_checkpoint.cache_clear()
    found = checkpoint.default_checkpoint("minilm")
    assert found is not None
    file, card = (checkpoint.SHIPPED / f"text.{kind}" for kind in ("safetensors", "md"))
    assert file.stat().st_size < 5_000_000
    told = card.read_text(encoding="utf-8")
    assert content_hash(found.params) in told
    assert [source["licence"] for source in found.card["sources"]] == ["CC BY 3.0"] * 2 + ["CC BY 4.0"] * 2 + [
        "CC0",
        "MIT",
    ]
    assert all(f"| {source['name']} | {source['items']} |" in told for source in found.card["sources"])
    assert not {"banking77"} & {source["name"] for source in found.card["sources"]}
    cells = [cell for cells in found.card["tasks"].values() for cell in cells]
    assert len(cells) == 80
    assert min(cell["over untrained"][0] for cell in cells) >= -0.5
    assert all(cell["trained ECE"] <= 5 for cell in found.card["tasks"]["banking77"] if 5 <= cell["answers"] <= 10)
    asked = np.zeros(12, np.float32)
    asked[8], asked[10], asked[11] = 0.5, -3, -4
    fair = asked * (np.arange(12) == 8)
    assert found.gate.share(fair) > 0.6
    assert found.gate.share(asked) < 0.1
