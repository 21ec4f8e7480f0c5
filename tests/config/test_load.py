from pathlib import Path

import pytest

from weakseg.config.load import (
    SettingWords,
    _build_by_section,
    _build_whole,
    build_config,
    read_recipe,
    split_settings,
    to_plain,
    to_yaml,
)
from weakseg.config.own_recipes import list_recipes
from weakseg.config.schema import RunConfig
from weakseg.errors import ConfigError


@pytest.mark.slow
@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_resolves_and_survives_being_written_down(name: str, tmp_path: Path) -> None:
    config = build_config(read_recipe(name))
    path = tmp_path / "recipe.yaml"
    path.write_text(to_yaml(config))
    assert build_config(read_recipe(str(path))) == config


@pytest.mark.slow
@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_trains_its_segmenter_on_masks_that_exist(name: str) -> None:
    assert "train" in build_config(read_recipe(name)).localize.splits


def test_an_empty_recipe_is_the_schema_itself() -> None:
    assert build_config({}) == RunConfig()


def test_an_override_wins_over_the_recipe_and_the_recipe_over_the_default() -> None:
    recipe = {"classifier": {"epochs": 3, "batch_size": 4}}
    config = build_config(recipe, ("--classifier.epochs=7", "--localize.scales", "[1.0, 2.0]", "--data.val=null"))
    assert (config.classifier.epochs, config.classifier.batch_size) == (7, 4)
    assert config.localize.scales == (1.0, 2.0)
    assert config.data.val is None
    assert config.segmenter == RunConfig().segmenter


def test_lists_become_tuples_so_that_a_configuration_cannot_change() -> None:
    config = build_config({"classifier": {"augment": {"long_side_px": [32, 64]}}})
    assert config.classifier.augment.long_side_px == (32, 64)
    assert hash(config) == hash(build_config(dict(to_plain(config))))  # type: ignore[call-overload]


MISTAKES = [
    ({"classifier": {"epoch": 3}}, (), "classifier.epoch: no such setting (got 3); did you mean 'classifier.epochs'?"),
    ({"data": {"critters": {"p_caot": 1}}}, (), "did you mean 'data.critters.p_coat'?"),
    ({}, ("--data.nam", "voc"), "data.nam: no such setting (got voc); did you mean 'data.name'?"),
    ({"data": {"name": "vox"}}, (), "data.name: expected one of critters, voc, coco, folder, got vox"),
    ({}, ("--classifier.epochs", "many"), "classifier.epochs: expected a whole number, got many"),
    ({"classifier": {"epochs": 2.5}}, (), "classifier.epochs: expected a whole number, got 2.5"),
    ({"classifier": 3}, (), "classifier: expected a section with settings of its own, got 3"),
    ({}, ("--refine.saliency=maps",), "refine.saliency: expected a section with settings of its own, got maps"),
    ({}, ("--classifier.freeze_trunk=maybe",), "classifier.freeze_trunk: expected true or false, got maybe"),
    (
        {"classifier": {"augment": {"long_side_px": [1, 2, 3]}}},
        (),
        "classifier.augment.long_side_px: expected a list of 2: a whole number, a whole number, got [1, 2, 3]",
    ),
    ({"localize": {"splits": ["trian"]}}, (), "localize.splits: expected a list, each one of train, val, got"),
    ({"data": {"root": 3}}, (), "data.root: expected text or null, got 3"),
    ({}, ("--refine.background_threshold=1.5",), "refine.background_threshold: expected a value within 0..1, got 1.5"),
    ({}, ("--refine.background_threshold=nan",), "refine.background_threshold: expected a number or auto, got nan"),
    ({}, ("--refine.background_threshold=otto",), "refine.background_threshold: expected a number or auto, got otto"),
    (
        {},
        ("--refine.background_threshold=true",),
        "refine.background_threshold: expected a number or auto, got true",
    ),
    ({}, ("--classifier.batch_size=0",), "classifier.batch_size: expected a value at least 1, got 0"),
    ({}, ("--segmenter.multi_scale=[0.5, 1.0]",), "segmenter.multi_scale: expected a value within 0.05..0.99, got 1"),
    ({}, ("--segmenter.accumulate=0",), "segmenter.accumulate: expected a value at least 1, got 0"),
    (
        {},
        ("--segmenter.balance=classes",),
        "segmenter.balance: expected one of none, foreground_background, got classes",
    ),
    (
        {},
        ("--segmenter.caffe_form=true",),
        "segmenter.caffe_form: 'imagenet' weights are not in Caffe's form; set it to false, or segmenter.weights to",
    ),
    ({}, ("--localize.scales=[]",), "localize.scales: expected at least one value, got an empty list"),
    ({}, ("--localize.splits=[]",), "localize.splits: expected at least one of train, val, got an empty list"),
    (
        {"segmenter": {"weights": "classifier", "name": "resnet18"}},
        (),
        "segmenter.weights: 'classifier' needs the classifier's backbone, but segmenter.name is resnet18 and",
    ),
    (
        {"segmenter": {"augment": {"long_side_px": [64, 32]}}},
        (),
        "segmenter.augment.long_side_px: expected [smallest, largest], got [64, 32]",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "overrides", "message"), MISTAKES)
def test_a_mistake_is_one_line_with_path_expectation_and_hint(
    recipe: dict[str, object], overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(recipe, overrides)  # type: ignore[arg-type]
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_that_is_not_there_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r"recipe 'fodler': expected .*; did you mean 'folder'\?"):
        read_recipe("fodler")
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: no such file"):
        read_recipe("nowhere.yaml")


def test_a_file_that_is_no_recipe_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(ConfigError, match="expected sections such as 'data:', got list"):
        read_recipe(str(path))
    path.write_text("data: {name: [\n")
    with pytest.raises(ConfigError, match="not valid YAML"):
        read_recipe(str(path))


@pytest.mark.parametrize(
    ("text", "twice"),
    [
        ("classifier:\n  epochs: 3\n  epochs: 4\n", "'epochs' is given twice .* line 3, column 3"),
        ("data:\n  root: a\nrefine: {}\ndata:\n  val: b\n", "'data' is given twice .* line 4, column 1"),
    ],
)
def test_a_recipe_that_says_something_twice_is_refused(text: str, twice: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ConfigError, match=f"mine.yaml: not valid YAML: {twice}"):
        read_recipe(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"evaluate:\n  scales: [{'1, ' * 50_000}1]\n", "expected at most 131072 bytes, got 150024"),
        (f"evaluate:\n  scales: [{'1,' * 300}1]\n", "expected at most 200 values, got more"),
        (
            "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
            + "".join(
                f"{name}: &{name} [{', '.join(10 * [f'*{before}'])}]\n"
                for before, name in zip("abcdefgh", "bcdefghi", strict=True)
            ),
            "expected at most 200 values, got more",
        ),
    ],
    ids=["large", "many", "aliases"],
)
def test_a_file_of_more_values_than_a_recipe_has_is_refused_at_once(
    text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("weakseg.config.load.MAX_RECIPE_VALUES", 200)
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"recipe .*: {expected}; is it another file"):
        read_recipe(str(path))


def test_names_may_come_again_in_another_section(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("classifier:\n  epochs: 3\nsegmenter:\n  epochs: 3\n")
    assert read_recipe(str(tmp_path / "mine.yaml")) == {"classifier": {"epochs": 3}, "segmenter": {"epochs": 3}}


def test_a_recipe_in_another_encoding_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes("data:\n  root: café\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"^recipe .*mine\.yaml: expected a text in UTF-8, got 'utf-8' codec"):
        read_recipe(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize(
    ("words", "settings", "others"),
    [
        (("demo", "--out=run"), {}, ("demo", "--out=run")),
        (("demo", "--classifier.epochs", "3", "x"), {"classifier": ("--classifier.epochs", "3")}, ("demo", "x")),
        (("--data.root=--x", "--redo", "a"), {"data": ("--data.root=--x",)}, ("--redo", "a")),
        (
            ("--refine.irn.epochs=1", "--data.root", "-1", "--refine.method=crf"),
            {"refine": ("--refine.irn.epochs=1", "--refine.method=crf"), "data": ("--data.root", "-1")},
            (),
        ),
    ],
)
def test_words_of_settings_are_told_from_others(
    words: tuple[str, ...], settings: dict[str, tuple[str, ...]], others: tuple[str, ...]
) -> None:
    assert split_settings(words) == SettingWords(settings, others)


@pytest.mark.parametrize("word", ["--classifier.epoch=3", "--classifier.epochs", "--", "--data.critters=1"])
def test_words_that_need_a_whole_parser_are_not_told_apart(word: str) -> None:
    assert split_settings(("demo", word)) is None


@pytest.mark.slow
def test_sections_parsed_apart_are_those_parsed_together() -> None:
    words = ("--classifier.epochs=3", "--segmenter.batch_size", "5", "--evaluate.scales=[1.0]", "--data.root=1")
    apart, together = (build(read_recipe("folder"), words) for build in (_build_by_section, _build_whole))
    assert apart == together
    assert repr(apart) == repr(together), "1.0 is not 1"
