"""What a file says wrong is told in the words of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from l2aco.bench.suite import load_suite
from l2aco.data.splits.spec import SplitSpec
from l2aco.errors import InputError, UsageError
from l2aco.files import checked_spec
from l2aco.profiles.spec import ProfileSpec
from l2aco.runs.spec import TrainSpec

ARM = '[[arms]]\nname = "a"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('seeds = "0"\n' + ARM, "seeds: Input should be a list"),
        ("dataset = []\n" + ARM, "dataset: List should have at least 1 item, not 0"),
        ('[arms]\nname = "a"\n', r"arms: .* a list: each of its tables begins with \[\[arms\]\]"),
        ('[arms]\nname = "a"\n[arms]\nname = "b"\n', r"twice .*\n.*begins with \[\[arms\]\] each time"),
        ("seeds = [true]\n" + ARM, "'seeds' holds true, which is no number"),
        (ARM + "seeds = [0, false]\n", "'seeds' holds false"),
        ("folds = true\n" + ARM, "'folds' holds true"),
    ],
)
def test_a_suite_is_refused_in_the_words_of_its_file(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(('name = "mine"\n' + text) if "dataset" in text else f'name = "mine"\ndataset = ["demo"]\n{text}')
    with pytest.raises(InputError, match=said) as caught:
        load_suite(str(path))
    assert "uple" not in str(caught.value) and str(path) in str(caught.value)


def test_true_is_no_number_and_a_whole_float_is_one() -> None:
    for kind, values in (
        (TrainSpec, {"epochs": True}),
        (TrainSpec, {"seed": True}),
        (SplitSpec, {"valid_share": False}),
        (ProfileSpec, {"llm": "fake", "temperature": True}),
    ):
        with pytest.raises(UsageError, match="which is no number"):
            checked_spec(kind, values)
    assert checked_spec(SplitSpec, {"fold": 1.0, "both": False}).fold == 1
