"""Names others rely on, found below a plain `import weakseg`."""

import subprocess
import sys

import pytest

import weakseg

NAMES = (
    "ops.pooling.gap",
    "ops.pooling.gndrp",
    "ops.affinity.search_offsets",
    "ops.affinity.path_affinity",
    "ops.affinity.affinity_displacement_losses",
    "ops.walk.random_walk",
    "ops.walk.affinity_walk",
    "ops.crf.dense_crf",
    "ops.crf.refine_labels",
    "ops.instances.find_centroids",
    "ops.instances.cluster_centroids",
    "ops.metrics.ConfusionMatrix",
    "ops.metrics.ThresholdSweep",
    "refine.confidence.confident_labels",
    "models.weights.load_official",
    "localize.cam.score_maps",
    "localize.rib.adapt",
)


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_imports_nothing_heavy() -> None:
    told = run_python("import sys, weakseg; print(*(name for name in ('torch', 'numpy') if name in sys.modules))")
    assert told == "\n"


@pytest.mark.slow
def test_public_names_are_found_below_the_package() -> None:
    lines = "".join(f"assert callable(weakseg.{name})\n" for name in NAMES)
    run_python(f"import weakseg\n{lines}")


def test_the_way_in_is_found_below_the_package_and_named() -> None:
    import weakseg.api

    for name in ("Model", "Photos", "Run"):
        assert getattr(weakseg, name) is getattr(weakseg.api, name)
        assert name in dir(weakseg)


@pytest.mark.parametrize("name", ["utils", "_private", "__wrapped__"])
def test_a_module_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module 'weakseg' has no attribute '{name}'"):
        getattr(weakseg, name)
    with pytest.raises(AttributeError, match=f"module 'weakseg.ops' has no attribute '{name}'"):
        getattr(weakseg.ops, name)


def test_a_missing_name_cannot_be_imported() -> None:
    with pytest.raises(ImportError, match="cannot import name 'nothing'"):
        from weakseg.ops import nothing  # noqa: F401
