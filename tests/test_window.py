"""The keys of the window, and whether there is a screen for one."""

from utils.live import window
from utils.live.identities import Request
from utils.live.window import BACKSPACE, ENTER, ESCAPE, TAB, Keys


def press(keys, *presses, person_ids=(4, 2, 0, 9)):
    """The requests that these keys make; letters can be given as text."""
    found = []
    for entry in presses:
        for key in map(ord, entry) if isinstance(entry, str) else (entry,):
            found.append(keys.press(key, person_ids))
    return [request for request in found if request]


def test_keys_select_and_name():
    keys = Keys()
    for wanted in (2, 4, 9, 2):  # 0 is unknown and cannot be selected
        assert press(keys, TAB) == [] and keys.selected == wanted
    assert press(keys, "n", "Qx", BACKSPACE[0], " nf", ESCAPE) == [] and keys.text is None and keys.selected == 2
    assert press(keys, "nAnna") == [] and "name of 2: Anna_" in keys.caption
    assert press(keys, ENTER[0], person_ids=()) == [Request("name", 2, "Anna")]  # who left the screen meanwhile
    assert keys.selected is None and keys.caption == ""
    assert press(keys, "n", ENTER[1]) == [] and keys.text == ""  # an empty name is not accepted
    assert press(keys, "../x", ENTER[0]) == [] and keys.text == "../x"  # an invalid one can be corrected
    long_name = "Bert" + 60 * "x"
    assert press(keys, *[BACKSPACE[1]] * 4, long_name, *[BACKSPACE[0]] * 36, ENTER[0]) == [Request("name", 2, "Bert")]


def test_keys_forget_and_quit():
    keys = Keys()
    assert press(keys, "f") == [] and keys.selected == 2  # shows first who it would be
    assert press(keys, "f") == [Request("forget", 2)] and keys.selected is None
    assert press(keys, TAB, ESCAPE) == [] and keys.selected is None
    assert press(keys, TAB, "x", person_ids=(5,)) == [] and keys.selected == 5
    assert press(keys, "f", person_ids=(6,)) == [] and keys.selected == 6  # 5 has left: nobody else is forgotten
    assert press(keys, TAB, "f", "n", person_ids=()) == [] and keys.selected is None and keys.text is None
    for key in (ESCAPE, "q", "Q"):
        assert press(keys, key) == [Request("quit")]


def test_has_screen_without_a_screen(monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert not window.has_screen()
    monkeypatch.setenv("DISPLAY", ":97")  # no server listens there: OpenCV would abort the process
    assert not window.has_screen()
