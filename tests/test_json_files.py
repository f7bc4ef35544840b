"""JSON files that are read: whatever happened to them, what is read fits, or one sentence says what is wrong."""

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.report import NAMES, PREPARED, read_note
from tests.helpers import TRIES
from utils import checkpoint
from utils.deploy.manifest import MANIFEST, batch_sizes, read_manifest
from utils.errors import InputError
from utils.folders import data_dirs
from utils.json_files import each, mapping, number, one_of, optional, read_json, several, text, whole

TENSOR = {"shape": [-1, 64, 32, 3], "dtype": "uint8"}
SOUND = {
    "manifest.json": {
        "format": 1,
        "kind": "reid",
        "source": {"checkpoint": "models/reid/m0/reid_model-200.ckpt", "width": 0.25},
        "image_size": [64, 32],
        "batches": [1, 2, 8],
        "threshold": 0.61,
        "threshold_from": "measured",
        "inputs": {"images": TENSOR},
        "outputs": {"embeddings": {"shape": [-1, 32], "dtype": "float32"}},
        "colour_order": "RGB",
        "engine": "tensorflow",
        "precision": "FP32",
        "preprocessing": {"layout": "NCHW", "channels": "BGR", "mean": [1, 2, 3], "scale": [1.0, 1.0, 1.0]},
        "built_for": {"tensorflow": "2.21.0", "tensorrt": None, "gpu": None, "device": "a board"},
        "parity": None,
    },
    "m-1.threshold.json": {"threshold": 0.6, "suggested_at": "far1", "data_dir": "data/shop", "eer": 5.0},
    "m-1.json": {
        "image_size": [256, 128],
        "width": 1.0,
        "data_dir": ["data/shop", "data/market"],
        "val_identities": 50,
        "seed": 0,
        "step": 200,
        "validation": {"loss": 0.1, "threshold": 0.5},
    },
    "validation.json": {
        "suggested": {"step": 200, "checkpoint": "m-200.ckpt", "why": "highest"},
        "history": [{"step": 100, "loss": 0.5, "mAP": 10.0}, {"step": 200, "loss": 0.25}],
    },
    PREPARED: {"source": "/a", "stamp": "ab", "detected_kind": "own", "placed_as": "copies", "problems": ["x"]},
    NAMES: {"identities": {"1": "anna"}, "cameras": {"1": "door"}, "images": {"0001_c1s1_000001_00.jpg": "anna/1.jpg"}},
}


def use(folder, name):
    """Reads a file as the scripts do, and uses what was read."""
    if name == MANIFEST:
        manifest = read_manifest(folder, "reid")
        assert all(1 <= size for size in batch_sizes(manifest))
        [spec] = manifest["inputs"].values()
        assert all(isinstance(size, int) for size in spec["shape"])
        return {**manifest.get("source", {}), **manifest["built_for"], **manifest.get("preprocessing", {})}
    if name.endswith(".threshold.json"):
        return f"{checkpoint.stored_threshold(folder / 'm-1', {})['threshold']:.3f}"
    if name == "m-1.json":
        args = checkpoint.read_args(folder / "m-1")
        assert args.get("val_identities") is None or args["val_identities"] >= 0
        height, width = args.get("image_size") or (1, 1)
        assert all(isinstance(folder, str) for folder in data_dirs(args.get("data_dir")))
        return f"{height}x{width}", f"{checkpoint.stored_threshold(folder / 'm-1', args)['threshold']}"
    if name == "validation.json":
        found = checkpoint.read_validation(folder)
        rows = [row for row in found["history"] if row["step"] <= 100 and math.isfinite(row["loss"])]
        return len(rows), found["suggested"] and found["suggested"]["checkpoint"] + ".index"
    note = read_note(folder, name)
    return [name.upper() for name in note.get("images", {}).values()], "; ".join(note.get("problems", []))


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([2**80, -1, 0, 1e99]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


def places(value, path=()):
    """The paths of all values inside a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [path] if path else []
    for key, inner in items:
        found += places(inner, (*path, key))
    return found


@st.composite
def damaged(draw, name):
    """The text of a file in which a value is replaced or missing, or which is cut or spoilt."""
    content = json.loads(json.dumps(SOUND[name]))
    for _ in range(draw(st.integers(0, 2))):
        *path, last = draw(st.sampled_from(places(content)))
        inner = content
        for key in path:
            inner = inner[key]
        if draw(st.booleans()):
            inner[last] = draw(VALUES)
        else:
            del inner[last]
        if not places(content):
            break
    written = json.dumps(content).encode()
    cut = draw(st.integers(0, 3 * len(written)))
    return written[:cut] + draw(st.sampled_from([b"", b"", b"", b"\xff", b"{", b"["]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("json")
    (place / "saved_model.pb").touch()
    return place


@pytest.mark.parametrize("name", sorted(SOUND))
def test_sound_files_are_read(folder, name):
    (folder / name).write_text(json.dumps(SOUND[name]))
    assert use(folder, name)
    (folder / name).unlink()


@pytest.mark.parametrize("name", sorted(SOUND))
def test_damaged_files_fit_or_are_refused_in_one_sentence(folder, name):
    """TRIES=1000 tries more; the first tries of each run are the same."""
    tried = []
    refused = []

    @settings(
        max_examples=TRIES,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(damaged(name))
    def read(content):
        tried.append(content)
        (folder / name).write_bytes(content)
        try:
            use(folder, name)
        except InputError as error:
            refused.append(str(error))
            assert name in str(error) and "\n" not in str(error)
        finally:
            (folder / name).unlink()

    read()
    print(f"{name}: {len(tried)} tried, {len(refused)} refused in one sentence, no traceback")
    assert len(refused) > 20


def test_every_kind_of_damage_is_named(tmp_path):
    path = tmp_path / "f.json"
    fields = {
        "size": several(whole(1), lengths=(2,)),
        "share": optional(number(0, 1)),
        "kind": one_of("a", 1),
        "names": each(text),
        "in": mapping({"x": text}, needed=("x",)),
    }
    for content, words in (
        ("", "Expecting value"),
        ('{"size": [1, 2]', "Expecting"),
        ("[" * 100000, "recursion"),
        ('["size"]', "is no object"),
        ("{}", "size is missing"),
        ('{"size": [1, 2, 3]}', r"size: \[1, 2, 3\] is no such list"),
        ('{"size": [1, true]}', "size: true is no whole number from 1 to"),
        ('{"size": [1, 2.0]}', "2.0 is no whole number"),
        ('{"size": [1, 2], "share": NaN}', "share: NaN is no number from 0 to 1"),
        ('{"size": [1, 2], "share": "0.5"}', '"0.5" is no number'),
        ('{"size": [1, 2], "kind": true}', "kind: true is unknown"),
        ('{"size": [1, 2], "names": {"1": 2}}', "names: 1: 2 is no text"),
        ('{"size": [1, 2], "in": {}}', "in: x is missing"),
        ('{"size": [1, 2], "share": ' + "9" * 5000 + "}", ""),
    ):
        path.write_text(content)
        with pytest.raises(InputError, match=f"f.json is damaged .*{words}.*: copy it again"):
            read_json(path, fields, "copy it again", needed=("size",), wrong="is damaged")
    sound = {"size": [1, 2], "share": None, "kind": 1, "names": {"1": "x"}, "in": {"x": ""}, "other": [float("inf")]}
    path.write_text(json.dumps(sound))
    assert read_json(path, fields, "", needed=("size",)) == sound
    with pytest.raises(InputError, match="Is a directory"):
        read_json(tmp_path, fields, "")
    with open(path, "wb") as file:
        file.truncate(2**27)
    with pytest.raises(InputError, match="larger than 64 MB"):
        read_json(path, fields, "")
