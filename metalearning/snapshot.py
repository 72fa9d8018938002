"""Snapshot: an adaptation as named arrays, to be stored with `numpy.savez` and read back later."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from metalearning.adapt import Adaptation, Config
from metalearning.calibration import Calibration, Evidence
from metalearning.crossval import HeldOut
from metalearning.experts import Answers, Experts, silent_labels, weigh
from metalearning.voices import Voice

Arrays = Mapping[str, np.ndarray]
EXPERT_FIELDS = ("mean", "names", "prototypes", "logistic", "proximal")


def to_arrays(adaptation: Adaptation) -> dict[str, np.ndarray]:
    """Everything but the configuration, which belongs to the code, and what the voices say, which others keep."""
    stored = {f"expert_{name}": getattr(adaptation.experts, name) for name in EXPERT_FIELDS}
    stored |= {
        "label_count": np.array(adaptation.label_count),
        "rows": adaptation.answers.rows,
        "label_ids": adaptation.answers.label_ids,
        "weights": adaptation.answers.weights,
        "names": adaptation.names,
        "features": adaptation.features,
        "trust": adaptation.trust,
        "leaning": np.array(adaptation.leaning),
        "learned": np.array(adaptation.learned),
        "smoothing": np.array(adaptation.smoothing),
        "smoothing_chosen_at": np.array(adaptation.smoothing_chosen_at),
        "temperature": np.array(adaptation.calibration.temperature),
        "voice_weights": np.array([voice.weight for voice in adaptation.voices]),
    }
    if adaptation.evidence is not None:
        stored |= {
            "evidence_weights": adaptation.evidence.weights,
            "evidence_size": np.array(adaptation.evidence.size),
            "evidence_own": adaptation.evidence.own,
        }
    if adaptation.held_out is not None:
        stored |= {
            "held_out_logits": adaptation.held_out.logits,
            "held_out_leaning": np.array(adaptation.held_out.leaning),
            "held_out_learned": np.array(adaptation.held_out.learned),
            "held_out_smoothing": np.array(adaptation.held_out.smoothing),
            "held_out_foreseeable": adaptation.held_out.foreseeable,
            "held_out_background": adaptation.held_out.background,
        }
    return stored


def from_arrays(stored: Arrays, config: Config | None = None, voices: Sequence[Voice] = ()) -> Adaptation:
    """The adaptation that `to_arrays` took apart; predicts the same to the last bit. `stored` may be an open npz.

    `voices` are those it was made with, in the same order; their weights come from storage.
    """
    answers = Answers(stored["rows"], stored["label_ids"], stored["weights"])
    experts = Experts(*(stored[f"expert_{name}"] for name in EXPERT_FIELDS))
    names, trust = stored["names"], stored["trust"]
    label_count = int(stored["label_count"])
    heard = tuple(
        replace(voice, weight=float(weight)) for voice, weight in zip(voices, stored["voice_weights"], strict=True)
    )
    evidence = held_out = None
    if "evidence_weights" in stored:
        evidence = Evidence(stored["evidence_weights"], float(stored["evidence_size"]), stored["evidence_own"])
    if "held_out_logits" in stored:
        held_out = HeldOut(
            answers,
            stored["held_out_logits"],
            float(stored["held_out_smoothing"]),
            float(stored["held_out_leaning"]),
            float(stored["held_out_learned"]),
            heard,
            stored["held_out_foreseeable"],
            stored["held_out_background"],
        )
    return Adaptation(
        label_count=label_count,
        answers=answers,
        names=names,
        experts=experts,
        head=weigh(experts, trust, silent_labels(answers, names)),
        features=stored["features"],
        trust=trust,
        leaning=float(stored["leaning"]),
        learned=float(stored["learned"]),
        smoothing=float(stored["smoothing"]),
        smoothing_chosen_at=int(stored["smoothing_chosen_at"]),
        calibration=Calibration(float(stored["temperature"])),
        held_out=held_out,
        evidence=evidence,
        config=config or Config(),
        voices=heard,
    )
