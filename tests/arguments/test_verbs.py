import pytest

from weakseg.arguments.verbs import new_parser, parse_words
from weakseg.errors import UsageError


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run", ""], "an argument: expected a value"),
        (["run", "photos", "--out", ""], "--out: expected a value"),
        (["run", "photos", "--out="], "--out: expected a value"),
        (["", "photos"], "an argument: expected a value"),
    ],
)
def test_a_variable_of_the_shell_that_is_not_set_does_not_mean_the_working_folder(words: list[str], said: str) -> None:
    parser = new_parser("paint", "Paint.")
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--out", default="out")
    with pytest.raises(UsageError, match=said):
        parse_words(parser, words)
