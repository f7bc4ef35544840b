"""Frames from files, folders and a network stream on loopback; each source that gives none is refused in a sentence."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from utils import camera as module
from utils.camera import Camera
from utils.options import InputError


def frame(number, size=(48, 64)):
    """(H, W, 3) uint8 BGR, whose brightness tells its number even after lossy compression."""
    return np.full((*size, 3), 20 + 20 * number, np.uint8)


def number_of(picture):
    return round((picture.mean() - 20) / 20)


def write_video(path, frames, codec="MJPG", rate=12):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, frames[0].shape[1::-1])
    for picture in frames:
        writer.write(picture)
    writer.release()


@pytest.mark.parametrize("name, codec", [("v.avi", "MJPG"), ("v.mp4", "mp4v")])
def test_every_frame_of_a_video_in_order(tmp_path, name, codec):
    write_video(tmp_path / name, [frame(number) for number in range(10)], codec)
    with Camera(tmp_path / name) as camera:
        assert (camera.width, camera.height, camera.length, camera.live) == (64, 48, 10, False)
        assert camera.rate == pytest.approx(12)
        assert [number_of(picture) for picture in camera] == list(range(10))


def test_pictures_of_a_folder_by_name(tmp_path):
    for number in (3, 1, 2):
        cv2.imwrite(str(tmp_path / f"{number}.PNG"), frame(number))
    cv2.imwrite(str(tmp_path / "4.jpg"), frame(4, size=(96, 100)))  # another size is fitted to the first
    cv2.imwrite(str(tmp_path / "5.png"), frame(5)[..., 0])  # grey
    (tmp_path / "notes.txt").write_text("no picture")
    with Camera(str(tmp_path)) as camera:
        pictures = list(camera)
    assert camera.length == 5 and [number_of(picture) for picture in pictures] == [1, 2, 3, 4, 5]
    assert {picture.shape for picture in pictures} == {(48, 64, 3)}


def test_a_single_picture(tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), frame(7))
    with Camera(tmp_path / "one.png") as camera:
        assert [number_of(picture) for picture in camera] == [7]


class Stream(BaseHTTPRequestHandler):
    """An MJPEG camera that sends ten frames and goes away."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(10):
            picture = cv2.imencode(".jpg", frame(number))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")

    def log_message(self, *_):
        pass


def test_a_network_stream():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Stream)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with Camera(f"http://127.0.0.1:{server.server_port}/live.mjpg") as camera:
            assert camera.live and camera.length is None
            numbers = [number_of(picture) for picture in camera]
        assert numbers == sorted(numbers) and numbers[0] == 0 and len(numbers) >= 9  # then it ended, and so did we
    finally:
        server.shutdown()
        server.server_close()
    with pytest.raises(InputError, match="no picture from http://127.0.0.1"):
        Camera(f"http://127.0.0.1:{server.server_port}/live.mjpg")


def test_sources_that_give_nothing(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("this is no video")
    (tmp_path / "broken.jpg").write_text("this is no picture")
    for source, words in {
        tmp_path / "nowhere.mp4": "there is no source .*nowhere.mp4",
        tmp_path / "empty": "holds no pictures",
        tmp_path / "text.mp4": "text.mp4 cannot be decoded as a video",
        tmp_path / "broken.jpg": "broken.jpg cannot be read as a picture",
        "97": "no camera at /dev/video97",
        "/dev/video97": "no camera at /dev/video97",
        "/dev/videofront": "names no camera",
        "csi://front": "names no CSI camera",
    }.items():
        with pytest.raises(InputError, match=words):
            Camera(source)


def test_a_truncated_video(tmp_path):
    write_video(tmp_path / "whole.avi", [frame(number, size=(480, 640)) for number in range(10)])
    data = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    with Camera(tmp_path / "cut.avi") as camera:
        numbers = [number_of(picture) for picture in camera]
    assert numbers and numbers == list(range(len(numbers))) and len(numbers) < 10


@pytest.mark.skipif(module.has_gstreamer(), reason="this OpenCV has GStreamer")
def test_csi_needs_gstreamer():
    with pytest.raises(InputError, match="needs an OpenCV with GStreamer, as JetPack brings it"):
        Camera("csi://0")


def test_csi_pipeline_keeps_only_the_newest_frame():
    pipeline = module.csi_pipeline(1, width=640, height=480, rate=60, flip=2)
    assert pipeline.startswith("nvarguscamerasrc sensor-id=1 ! ") and "flip-method=2" in pipeline
    assert "width=640, height=480, format=NV12, framerate=60/1" in pipeline
    assert pipeline.endswith("video/x-raw, format=BGR ! appsink drop=true max-buffers=1 sync=false")


def test_default_source(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "TEGRA_RELEASE", str(tmp_path / "release"))
    assert module.default_source() == "0"
    (tmp_path / "release").write_text("# R36")
    assert module.default_source() == "csi://0"
