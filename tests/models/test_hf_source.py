import inspect
import json
import sys
from pathlib import Path

import huggingface_hub
import pytest

from tests.tiny_networks import SEGFORMER, write_config
from weakseg.errors import ArtifactError, ConfigError, MissingExtra
from weakseg.files import JsonValue
from weakseg.models.hf_source import (
    InputFormat,
    NetworkSource,
    find_source,
    has_weights,
    import_transformers,
    is_local,
    quiet_transformers,
    read_config,
    read_input_format,
)
from weakseg.ops.images import IMAGENET_MEAN, IMAGENET_STD

COMMIT = "0123abcd"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A network as `save_pretrained` writes it, without its weights."""
    write_config(tmp_path / "network" / "config.json", SEGFORMER)
    return tmp_path / "network"


def write_processor(folder: Path, values: dict[str, JsonValue]) -> NetworkSource:
    (folder / "preprocessor_config.json").write_text(json.dumps(values))
    return NetworkSource(config=folder / "config.json", folder=folder, origin="here")


class Hub:
    """Stands in for the hub's client: a repository of given files, and what was asked for."""

    def __init__(self, root: Path, names: tuple[str, ...]) -> None:
        self.root, self.names = root, names
        self.asked: list[tuple[str, str | None, tuple[str, ...]]] = []

    def snapshot_download(self, repository: str, *, revision: str | None, allow_patterns: list[str]) -> str:
        self.asked.append((repository, revision, tuple(allow_patterns)))
        snapshot = self.root / "snapshots" / COMMIT
        for name in self.names:
            if name in allow_patterns:
                write_config(snapshot / name, SEGFORMER)
        return str(snapshot)


def use_hub(monkeypatch: pytest.MonkeyPatch, root: Path, *names: str) -> Hub:
    hub = Hub(root, names)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


@pytest.mark.slow
def test_a_folder_is_found_with_or_without_weights(folder: Path) -> None:
    source = find_source(str(folder), with_weights=True)
    assert source == NetworkSource(config=folder / "config.json", folder=folder, origin=str(folder))
    assert not has_weights(source)
    (folder / "model.safetensors").touch()
    assert has_weights(source)
    assert read_config(source) == SEGFORMER


@pytest.mark.slow
def test_a_configuration_alone_has_no_weights_even_if_they_lie_beside_it(folder: Path) -> None:
    (folder / "model.safetensors").touch()
    source = find_source(str(folder / "config.json"), with_weights=True)
    assert (source.folder, has_weights(source)) == (None, False)
    assert read_config(source)["model_type"] == "segformer"


@pytest.mark.parametrize("name", ["./gone", "/no/such/folder", "~/no-such-folder", "gone/config.json"])
def test_a_path_that_is_not_there_is_never_looked_for_on_the_hub(name: str) -> None:
    assert is_local(name)
    with pytest.raises(ArtifactError, match=r"segmenter\.name: there is no file or folder .*(gone|no.such.folder)"):
        find_source(name, with_weights=True)


def test_an_existing_folder_wins_over_a_repository(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert is_local("network")
    assert not is_local("nvidia/mit-b0")
    assert find_source("network", with_weights=False).folder == Path("network")


def test_a_folder_without_a_configuration_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=rf"{tmp_path}: expected a network as save_pretrained writes it, but there"):
        find_source(str(tmp_path), with_weights=True)


@pytest.mark.parametrize("name", ["a/b/c", "nvidia/mit b0", "https://huggingface.co/nvidia/mit-b0", "a@"])
def test_what_cannot_be_a_repository_is_refused_before_anything_is_asked(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_source(name, with_weights=True)
    assert str(caught.value) == (
        "segmenter.name: expected 'hf:' and a folder, a config.json, or a repository such as nvidia/mit-b0, "
        f"got 'hf:{name}'"
    )


def test_a_repository_with_safetensors_gives_no_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = use_hub(monkeypatch, tmp_path, "config.json", "model.safetensors", "pytorch_model.bin")
    source = find_source("nvidia/mit-b0", with_weights=True)
    assert [path.name for path in sorted(source.config.parent.iterdir())] == ["config.json", "model.safetensors"]
    assert source.origin == f"nvidia/mit-b0@{COMMIT}"
    assert [asked[:2] for asked in hub.asked] == [("nvidia/mit-b0", None)]


def test_a_repository_without_safetensors_gives_its_pickle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = use_hub(monkeypatch, tmp_path, "config.json", "pytorch_model.bin")
    source = find_source("nvidia/mit-b0@main", with_weights=True)
    assert has_weights(source)
    assert [asked[:2] for asked in hub.asked] == [("nvidia/mit-b0", "main")] * 2


def test_without_weights_only_json_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = use_hub(monkeypatch, tmp_path, "config.json", "model.safetensors")
    assert not has_weights(find_source("mit", with_weights=False))
    assert hub.asked == [("mit", None, ("config.json", "preprocessor_config.json", "processor_config.json"))]


def test_a_repository_without_a_network_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, tmp_path, "preprocessor_config.json")
    with pytest.raises(ArtifactError, match=r"the repository 'some/text' holds no config\.json, so no network"):
        find_source("some/text", with_weights=False)


def test_without_a_network_the_way_out_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError("no route to host\nand much more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ArtifactError) as caught:
        find_source("nvidia/mit-b0", with_weights=True)
    assert str(caught.value) == (
        "segmenter.name: could not get 'nvidia/mit-b0' from the Hugging Face hub (no route to host); without a "
        "network, download it elsewhere and pass the folder: hf:/path/to/folder"
    )


def test_where_terms_are_to_be_accepted_the_page_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class GatedRepoError(OSError):
        pass

    def fail(*args: object, **kwargs: object) -> None:
        raise GatedRepoError("401 Client Error")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(ArtifactError) as caught:
        find_source("facebook/sam3", with_weights=True, setting="localize.sam3.model", prefix="")
    assert str(caught.value) == (
        "localize.sam3.model: 'facebook/sam3' is given out on terms; accept them at "
        "https://huggingface.co/facebook/sam3, then log in with 'hf auth login', or pass a folder that has it: "
        "/path/to/folder"
    )


def test_without_transformers_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"'hf:\.\.\.' needs transformers.*pip install 'weakseg\[hf\]'"):
        find_source(str(folder), with_weights=False)


@pytest.mark.parametrize(("text", "message"), [("[]", "expected a JSON object, got list"), ("{", "not a readable con")])
def test_a_damaged_configuration_is_named(text: str, message: str, folder: Path) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(ArtifactError, match=f"config.json: {message}"):
        read_config(find_source(str(folder), with_weights=False))


def test_without_a_processor_images_are_normalised_as_for_imagenet(folder: Path) -> None:
    assert read_input_format(NetworkSource(folder / "config.json", folder, "here")) == InputFormat()
    assert read_input_format(NetworkSource(folder / "config.json", None, "here")) == InputFormat()
    assert InputFormat() == InputFormat(IMAGENET_MEAN, IMAGENET_STD, bgr=False)


@pytest.mark.slow
def test_a_processor_says_mean_and_deviation(folder: Path) -> None:
    source = write_processor(
        folder,
        {
            "image_processor_type": "SegformerImageProcessor",
            "do_normalize": True,
            "image_mean": [0.5, 0.25, 0.125],
            "image_std": [0.5, 1.0, 2.0],
            "do_rescale": True,
            "rescale_factor": 1 / 255,
        },
    )
    assert read_input_format(source) == InputFormat((0.5, 0.25, 0.125), (0.5, 1.0, 2.0), bgr=False)


@pytest.mark.slow
def test_a_processor_may_scale_by_another_factor(folder: Path) -> None:
    source = write_processor(
        folder,
        {
            "image_processor_type": "SegformerImageProcessor",
            "image_mean": [1.0, 1.0, 1.0],
            "image_std": [4.0, 4.0, 4.0],
            "rescale_factor": 2 / 255,
        },
    )
    assert read_input_format(source) == InputFormat((0.5,) * 3, (2.0,) * 3, bgr=False)


@pytest.mark.slow
def test_mobilevit_sees_blue_first_and_plain_values(folder: Path) -> None:
    """As its published processors say: they name an extractor of old and neither mean nor deviation."""
    source = write_processor(
        folder, {"feature_extractor_type": "MobileViTFeatureExtractor", "do_flip_channel_order": True}
    )
    assert read_input_format(source) == InputFormat((0.0,) * 3, (1.0,) * 3, bgr=True)


@pytest.mark.slow
def test_a_processor_that_cannot_be_read_is_named(folder: Path) -> None:
    source = write_processor(folder, {"image_processor_type": "NoSuchProcessor"})
    with pytest.raises(ArtifactError, match=rf"{folder}: not a readable image processor \("):
        read_input_format(source)


def test_an_input_format_survives_json() -> None:
    given = InputFormat((0.1, 0.2, 0.3), (1.0, 2.0, 3.0), bgr=True)
    assert InputFormat.from_json(json.loads(json.dumps(given.to_json()))) == given
    for damaged in (
        None,
        {"bgr": 1},
        {"bgr": True, "mean": 3, "std": [1, 1, 1]},
        {"bgr": True, "mean": [1], "std": [1]},
    ):
        with pytest.raises((TypeError, KeyError, ValueError)):
            InputFormat.from_json(damaged)


@pytest.mark.slow
def test_the_library_is_quiet_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    logging = import_transformers().utils.logging
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    with quiet_transformers():
        assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (logging.ERROR, False)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_the_pieces_of_the_hub_are_those_of_its_client() -> None:
    """The stand-in above takes what the real function takes."""

    parameters = inspect.signature(huggingface_hub.snapshot_download).parameters
    assert {"repo_id", "revision", "allow_patterns"} <= set(parameters)
    assert next(iter(parameters)) == "repo_id"
