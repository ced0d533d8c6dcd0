"""Command lines: types with bounds, and refusals of one line."""

import argparse

import pytest

from synctrack.arguments import CommandParser, number, whole
from synctrack.errors import InputError


@pytest.mark.parametrize("text", ["0", "11", "-1", "1.0", "1e1", "x", "", " 5", "1_0", "５", "nan", "9" * 5000])
def test_whole_number_out_of_bounds_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a whole number from 1 to 10$"):
        whole(1, 10)(text)


@pytest.mark.parametrize(("text", "value"), [("1", 1), ("10", 10), ("+5", 5), ("007", 7)])
def test_whole_number_at_its_bounds_is_taken(text, value):
    assert whole(1, 10)(text) == value


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "0.49", "10.01", "x", "", "0x1"])
def test_number_out_of_bounds_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a number from 0\.5 to 10$"):
        number(0.5, 10)(text)


@pytest.mark.parametrize(("text", "value"), [("0.5", 0.5), ("10", 10.0), ("1e0", 1.0)])
def test_number_at_its_bounds_is_taken(text, value):
    assert number(0.5, 10)(text) == value


@pytest.fixture
def parser():
    parser = CommandParser(prog="tool")
    parser.add_argument("--clips", "-c", type=whole(1, 9))
    parser.add_argument("--format", choices=("wav", "flac"))
    parser.add_argument("file")
    return parser


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["f", "--clips", "0"], "--clips: '0' is not a whole number from 1 to 9; tool --help"),
        (["f", "--format", "mp3"], "--format: invalid choice: 'mp3'"),
        ([], "the following arguments are required: file; tool --help"),
        (["f", "--volume", "11"], "unrecognized arguments: --volume 11"),
        (["f", "--clips"], "--clips: expected one argument"),
    ],
)
def test_wrong_command_line_is_refused_in_one_line_that_names_the_option(parser, words, start):
    with pytest.raises(InputError) as refused:
        parser.parse_args(words)
    assert str(refused.value).startswith(start)
    assert "\n" not in str(refused.value)


def test_commands_of_a_command_refuse_in_the_same_way():
    parser = CommandParser(prog="tool")
    command = parser.add_subparsers(required=True).add_parser("make")
    command.add_argument("--songs", type=whole(1, 9))
    with pytest.raises(InputError, match=r"^--songs: 'x' is not a whole number from 1 to 9; tool make --help"):
        parser.parse_args(["make", "--songs", "x"])
