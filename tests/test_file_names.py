import pytest

from weakseg.file_names import MAX_NAME_BYTES, MAX_STEM_BYTES, is_device, printable, safe_path, shorten


@pytest.mark.parametrize(
    "kept",
    [
        "cat",
        "home/cat 1",
        "100% of %2F",
        "ünïcode/狐",
        "photo .",  # an ending follows the dot
        "icon/console.1",
        "a" * MAX_STEM_BYTES,
        "é" * 127 + "/x",
    ],
)
def test_an_id_that_every_file_system_takes_stays(kept: str) -> None:
    assert safe_path(kept) == kept


@pytest.mark.parametrize(
    ("sample_id", "start"),
    [
        ("12:30", "12_30~"),
        ("a\\b", "a_b~"),
        ('what? "x" <y>|*', "what_ _x_ _y___~"),
        ("tab\tline\n", "tab_line_~"),
        ("caf\udce9", "caf_~"),
        ("con", "_con~"),
        ("COM1.2024", "_COM1.2024~"),
        ("nul .x", "_nul .x~"),
        ("a" * (MAX_STEM_BYTES + 1), "aaaa"),
        ("", "_~"),
        ("..", "_~"),
    ],
)
def test_what_a_file_system_refuses_is_replaced_and_marked(sample_id: str, start: str) -> None:
    name = safe_path(sample_id)
    assert name.startswith(start)
    assert name[-13] == "~"
    assert safe_path(name) == name, "safe names are taken as they are"
    assert len(name.encode()) <= MAX_STEM_BYTES


@pytest.mark.parametrize(
    ("folder", "start"), [("dir.", "dir~"), ("dir ", "dir~"), ("..", "_~"), ("", "_~"), ("aux", "_aux~"), ("a:", "a_~")]
)
def test_folders_are_made_safe_one_by_one(folder: str, start: str) -> None:
    first, second, stem = safe_path(f"{folder}/plain/x").split("/")
    assert first.startswith(start)
    assert (second, stem) == ("plain", "x")


def test_different_ids_have_different_names() -> None:
    long = "é" * 200
    ids = ["12:30", "12?30", "12_30", long + "a", long + "b", "x/..", "x/", "x/.", ".", "..", "...", "CON", "con"]
    assert len({safe_path(sample_id) for sample_id in ids}) == len(ids)


def test_a_long_name_is_cut_between_letters() -> None:
    assert shorten("éééé", max_bytes=18, told_by="x") == "éé" + shorten("", max_bytes=13, told_by="x")
    assert len(safe_path("é" * 300 + "/" + "é" * 300).split("/")[0].encode()) <= MAX_NAME_BYTES


@pytest.mark.parametrize(
    ("name", "device"),
    [("con", True), ("Con.png", True), ("lpt9", True), ("com²", True), ("com10", False), ("icon", False)],
)
def test_devices_of_windows(name: str, device: bool) -> None:
    assert is_device(name) is device


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("für 狐", "für 狐"),
        ("new\nline\x1b[2J", "new\\nline\\x1b[2J"),
        ("a\u2028b", "a\\u2028b"),
        ("rtl\u202egpj", "rtl\\u202egpj"),
    ],  # shown by terminals as rtljpg
)
def test_a_name_is_printed_in_one_line_without_commands_for_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown
