"""Files of figures: whole or as they were."""

import json
import os
import subprocess

import pytest

from utils.errors import InputError
from utils.files import write_json


def test_files_are_written_whole_or_not_at_all(tmp_path):
    place = tmp_path / "figures.json"
    write_json(place, {"rank1": 1.0})
    assert json.loads(place.read_text()) == {"rank1": 1.0}
    with pytest.raises(TypeError):
        write_json(place, {("no", "key"): 1})
    assert json.loads(place.read_text()) == {"rank1": 1.0}
    with pytest.raises(InputError, match="can't be written"):
        write_json(place / "below a file.json", {})
    os.mkfifo(tmp_path / "pipe")  # like /dev/stdout, not to be replaced by a file
    reader = subprocess.Popen(["cat", str(tmp_path / "pipe")], stdout=subprocess.PIPE)
    write_json(tmp_path / "pipe", [1])
    assert json.loads(reader.communicate(timeout=20)[0]) == [1] and (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "pipe"]
