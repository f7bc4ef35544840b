"""File names, splits and the tf.data input."""

import os

import cv2
import numpy as np
import pytest
import tensorflow as tf

from utils import dataset
from utils.errors import InputError
from utils.training.images import TrainingImages
from utils.training.projector import write_projector


@pytest.mark.parametrize("name, identity, camera", [
    ("0002_c1s1_000451_03.jpg", 2, 1),  # Market-1501
    ("-1_c3s2_046153_00.jpg", -1, 3),
    ("0000_c6s3_094992_02.jpg", 0, 6),
    ("1501_c15s1_000001_00.jpg", 1501, 15),
    ("0005_c2_f0046985.jpg", 5, 2),  # DukeMTMC-reID
    ("7140_c8_f0013112.jpg", 7140, 8),
    ("0000_000_01_0303morning_0008_0.jpg", 1, 1),  # MSMT17, whose people are counted from 0
    ("3059_012_15_0114afternoon_1234_1_ex.jpg", 3060, 15),
    ("0001_c1_1.png", 1, 1),  # CUHK03-NP
    ("1467_c2_10.png", 1467, 2),
    ("1425_cam1_f1223.jpg", 1425, 1),
    ("12_cam10_f1.PNG", 12, 10),
])  # fmt: skip
def test_file_names(tmp_path, name, identity, camera):
    (tmp_path / name).touch()
    data = dataset.ImageDataset(tmp_path)
    assert (data.identities.tolist(), data.cameras.tolist()) == ([identity], [camera])


@pytest.mark.parametrize("name", ["person.jpg", "0001.jpg", "_c1.jpg", "abc_c1s1_000001_00.jpg", "0001_d1.jpg"])
def test_a_name_that_does_not_parse_is_an_error(tmp_path, name):
    (tmp_path / "0002_c1s1_000451_03.jpg").touch()
    (tmp_path / name).touch()
    with pytest.raises(InputError, match=f"{name}.*get_class_from_path"):
        dataset.ImageDataset(tmp_path)


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="no folder .*bounding_box_train"):
        dataset.open_split(tmp_path, "train")
    (tmp_path / "bounding_box_train").mkdir()
    (tmp_path / "bounding_box_train" / "Thumbs.db").touch()
    with pytest.raises(InputError, match="no .jpg or .png image in .*bounding_box_train"):
        dataset.open_split(tmp_path, "train")


def test_other_file_names_need_one_method(tmp_path):
    class Cows(dataset.ImageDataset):
        def get_class_from_path(self, path):
            return int(path.split("cow")[-1].split(".")[0])

    (tmp_path / "cow17.jpg").touch()
    cows = Cows(tmp_path)
    assert cows.identities.tolist() == [17] and cows.cameras.tolist() == [dataset.UNKNOWN_CAMERA]
    with pytest.raises(InputError, match="cannot read the camera .*cow17.jpg"):
        cows.require_cameras()


def test_hold_out_identities_of_a_smaller_number_are_among_those_of_a_larger():
    identities = np.repeat(np.arange(100), 3)
    few, many = (set(identities[dataset.hold_out_identities(identities, count, seed=1)]) for count in (5, 20))
    assert len(few) == 5 and few < many


def test_check_images_names_a_folder_and_a_dead_link(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "link.jpg").symlink_to("nowhere.jpg")
    for name in ("folder.jpg", "link.jpg"):
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            dataset.check_images([str(tmp_path / name)])


def test_markets_own_query_folder_is_accepted(tmp_path):
    (tmp_path / "query").mkdir()
    (tmp_path / "query" / "0002_c1s1_000451_03.jpg").touch()
    assert len(dataset.open_split(tmp_path, "query")) == 1


def test_people_are_neither_junk_nor_distractors(tmp_path):
    for name in ("-1_c1_1.jpg", "0000_c1_1.jpg", "0007_c1_1.jpg"):
        (tmp_path / name).touch()
    data = dataset.ImageDataset(tmp_path)
    assert [data.identities[index] for index in data.people()] == [7]


def test_hold_out_identities_and_images():
    identities = np.repeat(np.arange(10), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    held_out = dataset.hold_out_identities(identities, 4, seed=3)
    assert len(set(identities[held_out])) == 4 and not set(identities[held_out]) & set(identities[~held_out])
    np.testing.assert_array_equal(held_out, dataset.hold_out_identities(identities, 4, seed=3))
    assert (held_out != dataset.hold_out_identities(identities, 4, seed=4)).any()
    with pytest.raises(InputError, match="val_identities=9 leaves .* give --val_identities=2 to 8$"):
        dataset.hold_out_identities(identities, 9, seed=0)
    with pytest.raises(InputError, match="of the 4 training identities: give --val_identities=2$"):
        dataset.hold_out_identities(np.arange(4), 50, seed=0)
    with pytest.raises(InputError, match="of the 3 training identities: add people"):
        dataset.hold_out_identities(np.arange(3), 2, seed=0)
    kept = ~dataset.hold_out_images(identities, 2, seed=0)
    assert np.bincount(identities[kept]).tolist() == [1, 2, 2, 2, 3, 4, 5, 6, 7, 8]


def smooth_image(path, size=(90, 50), seed=0):
    image = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    cv2.imwrite(str(path), cv2.GaussianBlur(image, (0, 0), 3))
    return str(path)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("image_size", [(128, 64), (32, 32)])
def test_decode_and_resize_agrees_with_opencv(tmp_path, suffix, image_size):
    path = smooth_image(tmp_path / f"a.{suffix}")
    ours = dataset.decode_and_resize(path, image_size).numpy()
    theirs = cv2.resize(cv2.imread(path)[..., ::-1], image_size[::-1], interpolation=cv2.INTER_LINEAR)
    assert np.abs(ours - theirs).max() <= 1  # OpenCV rounds to whole numbers


def test_augment_depends_on_its_seed_alone_and_every_part_can_be_off():
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (64, 32, 3)), tf.float32)
    off = dict(flip=False, pad=0, random_erasing=0.0, color_jitter=0.0)
    np.testing.assert_array_equal(dataset.augment(image, tf.constant([1, 2]), **off), image)
    for part in (dict(flip=True), dict(pad=5), dict(random_erasing=1.0), dict(color_jitter=0.3)):
        options = {**off, **part}
        changed = [dataset.augment(image, tf.constant([1, number]), **options).numpy() for number in range(8)]
        np.testing.assert_array_equal(changed[3], dataset.augment(image, tf.constant([1, 3]), **options))
        assert len({one.tobytes() for one in changed}) >= 2, part
        assert all(one.shape == (64, 32, 3) and one.min() >= 0 and one.max() <= 255 for one in changed)


def test_augment_mirrors_half_and_erases_2_to_40_percent():
    image = tf.constant(np.random.default_rng(0).integers(0, 100, (64, 32, 3)), tf.float32)
    flips = [dataset.augment(image, tf.constant([0, n]), pad=0, random_erasing=0.0).numpy() for n in range(100)]
    mirrored = sum(np.array_equal(one, image[:, ::-1]) for one in flips)
    assert 30 <= mirrored <= 70 and all(np.array_equal(p, image) or np.array_equal(p, image[:, ::-1]) for p in flips)
    erase = dict(flip=False, pad=0, random_erasing=1.0)
    erased = [dataset.augment(image, tf.constant([0, n]), **erase).numpy() for n in range(60)]
    shares = [np.mean(np.any(one != image, axis=-1)) for one in erased]
    assert 0.01 <= min(shares) < 0.12 and 0.3 < max(shares) <= 0.45  # rectangles end at pixel edges


def make_files(tmp_path, count):
    return [smooth_image(tmp_path / f"{number:04d}_c1_1.png", (32, 32), number) for number in range(count)]


def test_shuffled_batches_continue_where_they_stopped(tmp_path):
    paths = make_files(tmp_path, 7)
    files = tf.constant(paths)
    options = dict(batch_size=3, seed=5, augmentation={})

    def read(number):
        return dataset.load_image(files[number], (32, 32))

    endless = dataset.shuffled_batches(read, np.arange(7), **options)
    all_batches = [(images.numpy(), labels.numpy()) for images, labels in endless.take(7)]
    resumed = dataset.shuffled_batches(read, np.arange(7), first_batch=4, **options)
    for (images, labels), (images_after, labels_after) in zip(all_batches[4:], resumed):
        np.testing.assert_array_equal(labels, labels_after)
        np.testing.assert_array_equal(images, images_after)
    seen = np.concatenate([labels for _, labels in all_batches])
    assert sorted(seen[:7]) == sorted(seen[7:14]) == list(range(7)) and seen[:7].tolist() != seen[7:14].tolist()


def test_check_images_names_files_that_are_no_images(tmp_path):
    good = make_files(tmp_path, 2)
    dataset.check_images(good)
    whole = open(smooth_image(tmp_path / "a.jpg"), "rb").read()
    bad = (
        ("empty.jpg", b"", "is empty"),
        ("text.jpg", b"not an image", "is not a JPEG or PNG"),
        ("cut.jpg", whole[:400], "cut short"),
    )
    for name, content, reason in bad:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} .*{reason}"):
            dataset.check_images([*good, str(tmp_path / name)])
    (tmp_path / "padded.jpg").write_bytes(whole + b"\0" * 40)
    dataset.check_images([str(tmp_path / "padded.jpg")])


def test_decode_errors_named_names_the_file(tmp_path):
    paths = make_files(tmp_path, 3)
    (tmp_path / "0001_c1_1.png").write_bytes(b"gone")
    with pytest.raises(InputError, match="0001_c1_1.png"):
        with dataset.decode_errors_named(paths):
            list(dataset.image_batches(paths, (32, 32), 2))


def test_names_that_are_no_utf8_are_read(tmp_path):
    """As an old Windows or a Mac wrote them: in training, in its projector, and in messages."""
    for number in range(3):
        name = b"%04d_c1s1_caf\xe9_%d.png" % (number + 1, number)
        with open(os.path.join(os.fsencode(tmp_path), name), "wb") as file:
            file.write(cv2.imencode(".png", np.full((64, 32, 3), 80 * number, np.uint8))[1].tobytes())
    found = dataset.ImageDataset(tmp_path)
    assert found.identities.tolist() == [1, 2, 3]
    dataset.check_images(found.paths)
    [images] = dataset.image_batches(np.array(found.paths), (64, 32), 8)
    assert images.numpy().mean(axis=(1, 2, 3)).tolist() == [0, 80, 160]
    for cache in (0, 10**9):
        assert TrainingImages(found.paths, (64, 32), cache).read(tf.constant(2, tf.int64)).numpy().mean() == 160
    write_projector(tmp_path / "val", np.eye(3), found.paths, found.identities, found.cameras)
    assert b"caf\\udce9_2.png" in (tmp_path / "val" / "metadata.tsv").read_bytes()
    with open(found.paths[1], "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n cut short IEND")
    with pytest.raises(InputError, match="0002_c1s1_caf.* cannot be decoded"):
        with dataset.decode_errors_named(found.paths):
            list(dataset.image_batches(found.paths, (64, 32), 8))
