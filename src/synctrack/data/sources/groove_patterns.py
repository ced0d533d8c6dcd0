"""Patterns that the stems of grooves play: sixteenths of one bar, by meter, and chord progressions.

Drums have a line for each drum, where `x` is a stroke. For the other stems a digit is a note of the chord, counted from
its lowest; `C` is the whole chord at once, `D` and `U` are the chord strummed down and up, `*` is a note of the melody,
and `.` holds the previous note.
"""

DRUMS = {
    4: (
        {"kick": "x.......x.......", "snare": "....x.......x...", "hat": "x.x.x.x.x.x.x.x."},
        {
            "kick": "x.....x.x.......",
            "snare": "....x.......x...",
            "hat": "x.x.x.x.x.x.x...",
            "open": "..............x.",
        },
        {
            "kick": "x...x...x...x...",
            "snare": "....x.......x...",
            "open": "..x...x...x...x.",
            "hat": "x...x...x...x...",
        },
        {"kick": "x..x....x.x.....", "snare": "....x..x....x...", "hat": "xxxxxxxxxxxxxxxx"},
    ),
    3: (
        {"kick": "x...........", "snare": "....x...x...", "hat": "x.x.x.x.x.x."},
        {"kick": "x.....x.....", "snare": "........x...", "hat": "x...x.x.x.x."},
        {"kick": "x.......x...", "snare": "....x.......", "hat": "x.x.x.x.x...", "open": "..........x."},
    ),
}
FILL_DRUMS = ("snare", "high", "low")

PLAYED = {
    "bass": {
        4: ("1.......1...2...", "1.1.1.1.1.1.1.1.", "1..1..2.1..1..3.", "1...2...3...2..."),
        3: ("1.......2...", "1...2...2...", "1.1.1.1.2.2.", "1.....3.2..."),
    },
    "guitar": {
        4: ("D...D.U...U.D.U.", "D...D...D...D...", "D..D..D.D..D..D.", "D.D.D.U.D.D.D.U."),
        3: ("D...D...D...", "D.....U.D.U.", "D...D.U.D.U."),
    },
    "piano": {
        4: ("C.......C.......", "C...C...C...C...", "1.3.4.3.1.3.4.3.", "C.....C...C.....", "1...3...4...3..."),
        3: ("C...........", "1.3.4.5.4.3.", "C...C...C..."),
    },
    "strings": {4: ("C...............", "C.......C......."), 3: ("C...........",)},
    "lead": {
        4: ("*...*.*.....*...", "*.....*.*.*.*...", "*.......*...*.*."),
        3: ("*...*.*.*...", "*.......*.*.", "*...*...*..."),
    },
}

# Four bars each: semitones above the key, and the third (4 major, 3 minor).
PROGRESSIONS = {
    "major": (
        ((0, 4), (7, 4), (9, 3), (5, 4)),
        ((0, 4), (9, 3), (5, 4), (7, 4)),
        ((0, 4), (5, 4), (0, 4), (7, 4)),
        ((2, 3), (7, 4), (0, 4), (9, 3)),
    ),
    "minor": (
        ((0, 3), (8, 4), (3, 4), (10, 4)),
        ((0, 3), (10, 4), (8, 4), (7, 4)),
        ((0, 3), (5, 3), (0, 3), (7, 4)),
    ),
}
PENTATONIC = {"major": (0, 2, 4, 7, 9), "minor": (0, 3, 5, 7, 10)}
