"""Frames from files, folders and patterns, their size and flip, and the refusal of sources that give none."""

import functools
import re
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from tests.helpers import write_video
from utils.errors import InputError
from utils.live.camera import Camera
from utils.live.recorder import Outputs


def frame(number, size=(48, 64)):
    """(H, W, 3) uint8 BGR, whose brightness gives its number even after lossy compression."""
    return np.full((*size, 3), 20 + 20 * number, np.uint8)


def number_of(image):
    return round((image.mean() - 20) / 20)


@pytest.mark.parametrize("name, codec", [("v.avi", "MJPG"), ("v.mp4", "mp4v")])
def test_read_gives_every_frame_of_a_video_in_order(tmp_path, name, codec):
    write_video(tmp_path / name, [frame(number) for number in range(10)], codec, rate=12)
    with Camera(tmp_path / name) as camera:
        assert (camera.width, camera.height, camera.length, camera.live) == (64, 48, 10, False)
        assert camera.fps == pytest.approx(12)
        assert [number_of(image) for image in camera] == list(range(10))


def test_images_of_a_folder_by_name(tmp_path):
    for number in (3, 1, 2):
        cv2.imwrite(str(tmp_path / f"{number}.PNG"), frame(number))
    cv2.imwrite(str(tmp_path / "4.jpg"), frame(4, size=(96, 100)))  # another size is fitted to the first
    cv2.imwrite(str(tmp_path / "5.png"), frame(5)[..., 0])  # gray
    (tmp_path / "notes.txt").write_text("not an image")
    with Camera(str(tmp_path)) as camera:
        images = list(camera)
    assert camera.length == 5 and [number_of(image) for image in images] == [1, 2, 3, 4, 5]
    assert {image.shape for image in images} == {(48, 64, 3)}


def test_a_single_image(tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), frame(7))
    with Camera(tmp_path / "one.png") as camera:
        assert [number_of(image) for image in camera] == [7]


def test_sources_that_give_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "broken.jpg").write_text("not an image")
    for source, words in {
        tmp_path / "nowhere.mp4": "there is no source .*nowhere.mp4",
        tmp_path / "empty": "holds no images",
        tmp_path / "text.mp4": "text.mp4 cannot be decoded as a video",
        tmp_path / "broken.jpg": "broken.jpg cannot be read as an image",
        "97": "no camera at /dev/video97",
        "/dev/video97": "no camera at /dev/video97",
        "/dev/videofront": "does not name a camera",
        "csi://front": "does not name a CSI camera",
        "csi://0?mode=wide": "does not name a CSI camera",
        str(tmp_path / "*.png"): r"no image \(.jpg, .* matches .*quotes",
        "rtsp://127.0.0.1:1/live": "no frame from rtsp://127.0.0.1:1/live: 127.0.0.1:1 does not answer",
        "rtsp://127.0.0.1:many/live": "the port is not a number",
    }.items():
        with pytest.raises(InputError, match=words):
            Camera(source)
    with pytest.raises(InputError, match="both a width and a height"):
        Camera(tmp_path, width=640)
    with pytest.raises(InputError, match="flip method 8 does not exist"):
        Camera(tmp_path, flip_method=8)


def test_a_truncated_video(tmp_path):
    write_video(tmp_path / "whole.avi", [frame(number, size=(480, 640)) for number in range(10)])
    data = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    with Camera(tmp_path / "cut.avi") as camera:
        numbers = [number_of(image) for image in camera]
    assert numbers and numbers == list(range(len(numbers))) and len(numbers) < 10


def test_patterns_in_natural_order(tmp_path):
    for number in (10, 9, 1, 11):
        cv2.imwrite(str(tmp_path / f"walk{number}.png"), frame(number % 9))
    cv2.imwrite(str(tmp_path / "other.png"), frame(5))
    for pattern in ("walk*.png", "w*", "walk%d.png"):
        with Camera(tmp_path / pattern) as camera:
            assert camera.length == 4 and camera.name == pattern
            assert [number_of(image) for image in camera] == [1, 0, 1, 2]  # 1, 9, 10, 11
    with Camera(tmp_path / "walk%02d.png") as camera:
        assert camera.length == 2


@pytest.mark.parametrize("name", ["v.avi", "images"])
def test_loop_starts_again_at_the_end(tmp_path, name):
    if name == "images":
        (tmp_path / name).mkdir()
        for number in range(3):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), frame(number))
    else:
        write_video(tmp_path / name, [frame(number) for number in range(3)])
    with Camera(tmp_path / name, loop=True) as camera:
        assert [number_of(camera.read()) for _ in range(8)] == [0, 1, 2, 0, 1, 2, 0, 1]
        assert camera.length is None and not camera.ended and not camera.live and camera.silent_for == 0
    assert camera.ended and camera.read() is None
    with Camera(tmp_path / name) as camera:
        assert camera.length == 3 and len(list(camera)) == 3
        assert camera.ended and camera.read() is None
    camera.release()  # a second call does nothing


# The table of NVIDIA's NvMediaTransform, which nvvidconv's flip-method follows: where the corners 0 1 / 2 3 end up.
CORNERS = {
    0: [[0, 1], [2, 3]],
    1: [[1, 3], [0, 2]],
    2: [[3, 2], [1, 0]],
    3: [[2, 0], [3, 1]],
    4: [[1, 0], [3, 2]],
    5: [[3, 1], [2, 0]],
    6: [[2, 3], [0, 1]],
    7: [[0, 2], [1, 3]],
}


@pytest.mark.parametrize("flip", range(8))
def test_flip_method_is_that_of_nvvidconv(tmp_path, flip):
    quarters = np.array([[0, 1], [2, 3]], np.uint8)
    image = np.repeat(np.repeat(quarters, 2, axis=0), 3, axis=1)  # (4, 6): each quarter 2 high, 3 wide
    cv2.imwrite(str(tmp_path / "one.png"), np.dstack([image, image + 50, image + 100]))
    with Camera(tmp_path / "one.png", flip_method=flip) as camera:
        flipped = camera.read()
    high, wide = (3, 2) if flip % 2 else (2, 3)  # size of a quarter
    expected = np.repeat(np.repeat(np.array(CORNERS[flip], np.uint8), high, axis=0), wide, axis=1)
    assert (camera.height, camera.width) == expected.shape
    assert (flipped == np.dstack([expected, expected + 50, expected + 100])).all()


def test_frames_are_resized_before_the_flip(tmp_path):
    left_white = np.zeros((40, 60, 3), np.uint8)
    left_white[:, :30] = 255
    cv2.imwrite(str(tmp_path / "one.png"), left_white)
    with Camera(tmp_path / "one.png", width=30, height=10, flip_method=3, fps=4) as camera:
        image = camera.read()
    assert image.shape == (30, 10, 3) and (camera.width, camera.height, camera.fps) == (10, 30, 4)
    assert (image[:14] == 255).all() and (image[16:] == 0).all()  # left is on top after a quarter turn clockwise


def test_a_video_behind_http_is_a_file(tmp_path):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    write_video(tmp_path / "v.avi", [frame(number) for number in range(10)])
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with Camera(f"http://127.0.0.1:{server.server_port}/v.avi") as camera:
            assert not camera.live
            assert [number_of(image) for image in camera] == list(range(10))
        with pytest.raises(InputError, match="answers, so check the path, the user and the password"):
            Camera(f"http://127.0.0.1:{server.server_port}/gone.avi")
    finally:
        server.shutdown()
        server.server_close()


def test_frame_numbers_and_times_of_a_file_that_starts_again(tmp_path):
    write_video(tmp_path / "v.avi", [frame(number) for number in range(3)], rate=10)
    with Camera(tmp_path / "v.avi", loop=True) as camera:
        found = []
        for _ in range(7):
            camera.read()
            found.append((camera.frame_number, camera.repeats, round(camera.seconds, 3)))
    assert found == [(1, 0, 0.1), (2, 0, 0.2), (3, 0, 0.3), (1, 1, 0.4), (2, 1, 0.5), (3, 1, 0.6), (1, 2, 0.7)]


@pytest.mark.parametrize("spoilt", [(0,), (3, 4, 5), (2, 8)])
def test_frames_of_a_video_that_cannot_be_decoded_are_stepped_over(tmp_path, spoilt):
    """Motion JPEG, so that each frame stands alone; the last frames, and the places of all, stay."""
    frames = [np.full((48, 64, 3), 20 * number, np.uint8) for number in range(11)]
    write_video(tmp_path / "v.avi", frames)
    content = bytearray((tmp_path / "v.avi").read_bytes())
    starts = [found.start() for found in re.finditer(b"\xff\xd8\xff", content)]
    assert len(starts) == len(frames)
    for number in spoilt:
        end = starts[number + 1] - 16
        content[starts[number] : end] = bytes(end - starts[number])
    (tmp_path / "v.avi").write_bytes(content)
    with Camera(str(tmp_path / "v.avi")) as camera:
        seen = dict([(camera.frame_number, round(image.mean() / 20)) for image in camera])
    assert seen == {number + 1: number for number in range(11) if number not in spoilt}
    assert camera.unreadable == len(spoilt) and camera.ended


def test_a_video_that_gives_no_frame_says_why(tmp_path):
    write_video(tmp_path / "v.mp4", [np.zeros((48, 64, 3), np.uint8)] * 9, "mp4v")
    content = (tmp_path / "v.mp4").read_bytes()
    (tmp_path / "killed.mp4").write_bytes(content[: content.rindex(b"moov") - 4])
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "1.webp").touch()
    for name, reason in (
        ("killed.mp4", "is a recording that was never ended"),
        ("text.mp4", "cannot be decoded as a video"),
        ("new", "holds .webp, and only .jpg, .jpeg, .png are read: convert them"),
    ):
        with pytest.raises(InputError, match=reason):
            Camera(str(tmp_path / name))


def test_a_video_of_half_a_frame_a_second_keeps_its_time(tmp_path):
    write_video(tmp_path / "slow.avi", [frame(number) for number in range(3)], rate=0.5)
    with Camera(str(tmp_path / "slow.avi")) as camera:
        assert camera.fps == pytest.approx(0.5) and camera.read() is not None and camera.seconds == pytest.approx(2.0)
        with Outputs([camera], tmp_path / "out.mp4") as outputs:
            outputs.write_video(camera.read(), 0.0)
    with Camera(str(tmp_path / "out.mp4")) as camera:
        assert camera.fps == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["v.avi", "images"])
@pytest.mark.parametrize("every, wanted", [(1, [0, 1, 2, 3, 4, 5, 6]), (3, [0, 3, 6]), (4, [0, 4]), (9, [0])])
def test_every_nth_frame_at_its_own_time(tmp_path, name, every, wanted):
    if name == "images":
        (tmp_path / name).mkdir()
        for number in range(7):
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), frame(number))
    else:
        write_video(tmp_path / name, [frame(number) for number in range(7)], rate=10)
    with Camera(tmp_path / name, every=every) as camera:
        assert camera.length == len(wanted) and camera.fps == pytest.approx(10 / every)
        for number in wanted:
            assert number_of(camera.read()) == number
            assert camera.frame_number == number + 1 and camera.seconds == pytest.approx((number + 1) / 10)
        assert camera.read() is None
    with Camera(tmp_path / name, every=every, loop=True) as camera:
        assert [number_of(camera.read()) for _ in range(2 * len(wanted))] == 2 * wanted
        assert camera.seconds == pytest.approx((7 + wanted[-1] + 1) / 10)


def test_a_live_source_is_not_thinned_out():
    with pytest.raises(InputError, match="--every 3 is for files, and rtsp://127.0.0.1:1/live is live"):
        Camera("rtsp://127.0.0.1:1/live", every=3)
