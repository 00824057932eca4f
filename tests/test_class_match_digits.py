"""Names of classes that differ by a separator between digits are different names."""

from exuno.data.class_match import by_name


def test_a_separator_between_digits_is_part_of_the_name() -> None:
    assert by_name(["1-0", "1-1"], ["10", "11"]) is None
    assert by_name(["T-shirt", "big dog"], ["Big_Dog", "t shirt"]) == (1, 0)
