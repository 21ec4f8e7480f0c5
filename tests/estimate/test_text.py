from weakseg.estimate.costs import Estimate, PartCost
from weakseg.estimate.text import render_estimate

GB = 10**9


def test_a_whole_estimate_has_a_line_per_stage_and_part_and_a_total() -> None:
    parts = (
        PartCost("classify", "classifier: 3 x 2 steps of 16 images", 61.0, 2 * GB, None, "tried 5 steps"),
        PartCost("classify", "its mAP: 3 x 9 images", 4.0, GB, None, "tried on 3"),
        PartCost("localize", "CAM: 36 images", 30.0, 1_250_000_000, None, "tried on 4, made smaller"),
    )
    assert render_estimate(Estimate(parts, "2 threads on the CPU", 12.4, 1)) == (
        "how long it takes here (2 threads on the CPU; a few images of each stage tried in 12 s)\n"
        "stage                                         time  memory\n"
        "classify                                 1 min 5 s  2.0 GB\n"
        "  classifier: 3 x 2 steps of 16 images   1 min 1 s  2.0 GB  tried 5 steps\n"
        "  its mAP: 3 x 9 images                        4 s  1.0 GB  tried on 3\n"
        "localize                                      30 s  1.2 GB\n"
        "  CAM: 36 images                              30 s  1.2 GB  tried on 4, made smaller\n"
        "total                                   1 min 35 s  2.0 GB\n"
        "Memory is that of the main process; 1 more decode images and need a few hundred MB each.\n"
        "Stop at any time: the same command goes on where it was. Leave this out with --estimate false.\n"
    )


def test_what_was_not_tried_is_named_and_the_total_says_so() -> None:
    parts = (
        PartCost("localize", "CAM: 3 images", 7.0, GB),
        PartCost("refine", "masks (crf): 3 images", None, note="could not be tried: out of memory"),
    )
    lines = render_estimate(Estimate(parts, "a laptop", 20.0, 0, ("segment",), "There was no time.")).splitlines()
    assert [line.split() for line in lines[4:8]] == [
        ["refine", "?"],
        ["masks", "(crf):", "3", "images", "?", "could", "not", "be", "tried:", "out", "of", "memory"],
        ["segment", "?"],
        ["total", "over", "7", "s", "1.0", "GB"],
    ]
    assert lines[8] == "There was no time."
    assert not any("decode" in line for line in lines)


def test_a_gpu_has_a_column_of_its_own() -> None:
    lines = render_estimate(Estimate((PartCost("segment", "net", 9.0, GB, 3 * GB),), "H200", 9.0, 0)).splitlines()
    assert lines[1].split() == ["stage", "time", "memory", "GPU"]
    assert lines[-2].split() == ["total", "9", "s", "1.0", "GB", "3.0", "GB"]


def test_an_estimate_of_nothing_is_still_a_table() -> None:
    text = render_estimate(Estimate((), "here", 1.0, 0, (), "Nothing could be tried: no image"))
    assert "total" in text
    assert "Nothing could be tried: no image" in text
