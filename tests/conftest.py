"""Fixtures that tests of several files use."""

import signal

import pytest

from tests.helpers import draw_set
from utils.live.page.page import Page
from utils.live.page.server import PageServer


def pytest_configure():
    """Ctrl-C and a closed terminal act as usual, also if the tests run in the background or under nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def tiny_set(tmp_path_factory):
    return draw_set(tmp_path_factory.mktemp("tiny") / "set")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """(prefix, net) of an untrained re-id checkpoint for images of 64x32."""
    from tests.fakes import write_checkpoint  # imports TensorFlow, which takes seconds that most tests can spare

    return write_checkpoint(tmp_path_factory.mktemp("m0"))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """(the prefix of an untrained re-id checkpoint for images of 64x32, the folder of a frozen model of it)"""
    from tests.fakes import noise, write_checkpoint
    from utils.deploy.freeze import FreezeOptions, freeze_reid

    folder = tmp_path_factory.mktemp("models")
    prefix, _ = write_checkpoint(folder / "m0")
    freeze_reid(prefix, folder / "frozen", noise, batch=4, options=FreezeOptions(engine="tensorflow"))
    return prefix, folder / "frozen"


@pytest.fixture(scope="session")
def drawn():
    """The images of the drawn copies of published layouts, as tests.drawn_layouts.draw() returns them."""
    from tests import drawn_layouts  # imports TensorFlow too

    return drawn_layouts.draw()


@pytest.fixture
def server():
    """A PageServer on a free loopback port; its Page is server.page."""
    with PageServer(Page(), 0) as served:
        yield served


@pytest.fixture
def small_table(monkeypatch):
    """The counts of the drawn copies stand where the published ones do."""
    from data import layouts
    from tests.drawn_layouts import SMALL

    monkeypatch.setattr(layouts, "PUBLISHED", SMALL)
