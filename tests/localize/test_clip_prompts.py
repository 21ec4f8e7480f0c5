from collections.abc import Sequence

import pytest

from weakseg.data.coco_names import COCO_CLASSES
from weakseg.data.voc import VOC_CLASSES
from weakseg.errors import ConfigError
from weakseg.localize.clip_es import CLIPESConfig, check_clip_es
from weakseg.localize.clip_prompts import (
    BACKGROUND_WORDS,
    COCO_BACKGROUND_WORDS,
    choose_backgrounds,
    choose_words,
    fill_in,
)


def test_a_name_is_taken_as_words_unless_others_are_given() -> None:
    names = ("polar_bear", "cat", "a=b")
    assert choose_words(names, ()) == ("polar bear", "cat", "a=b")
    assert choose_words(names, ("cat = house cat", "polar_bear=bear")) == ("bear", "house cat", "a=b")


def test_the_classes_of_voc_and_coco_have_the_released_words() -> None:
    voc = dict(zip(VOC_CLASSES, choose_words(VOC_CLASSES, ("bird=swan",)), strict=True))
    assert (voc["tvmonitor"], voc["bird"], voc["cat"]) == ("tvmonitor screen", "swan", "cat")
    coco = dict(zip(COCO_CLASSES, choose_words(tuple(COCO_CLASSES)[::-1], ())[::-1], strict=True))
    assert (coco["couch"], coco["stop sign"]) == ("sofa", "stop sign")
    assert choose_words(("bird",), ()) == ("bird",)


def test_no_background_is_part_of_a_class() -> None:
    assert choose_backgrounds(VOC_CLASSES, BACKGROUND_WORDS) == BACKGROUND_WORDS
    assert choose_backgrounds(tuple(COCO_CLASSES), BACKGROUND_WORDS) == COCO_BACKGROUND_WORDS
    assert choose_backgrounds(("Tree_house",), ("tree", "sky", " sky", "", "House")) == ("sky",)
    with pytest.raises(ConfigError, match=r"^localize\.clip_es\.backgrounds: every word is part of a class's name"):
        choose_backgrounds(("sky",), ("sky",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("cta=x",), "there is no class 'cta'; did you mean 'cat'?"),
        (("cat=x", "cat=y"), "the class 'cat' has words twice; keep one"),
    ],
)
def test_words_of_no_class_are_named(words: Sequence[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        choose_words(("cat", "dog"), words)
    assert str(caught.value) == f"localize.clip_es.words: {message}"


def test_a_prompt_takes_words_as_they_are() -> None:
    assert fill_in(("a {}.", "{}"), "cat {0}") == ("a cat {0}.", "cat {0}")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (CLIPESConfig(model=""), "model: expected a repository"),
        (CLIPESConfig(prompts=()), "prompts: expected at least one"),
        (CLIPESConfig(prompts=("a photo of",)), "prompts: expected '{}' once in each, .* got 'a photo of'"),
        (CLIPESConfig(words=("cat",)), "words: expected 'class=words' in each, got 'cat'"),
        (CLIPESConfig(words=("cat= ",)), "words: expected 'class=words' in each, got 'cat= '"),
        (CLIPESConfig(backgrounds=()), "backgrounds: expected at least one word"),
    ],
)
def test_texts_that_cannot_be_asked_with_are_refused(settings: CLIPESConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^localize\.clip_es\.{message}"):
        check_clip_es(settings)
    check_clip_es(CLIPESConfig())
