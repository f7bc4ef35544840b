"""What is requested from live sources, and the messages for cameras that cannot be opened.

Cameras that this machine does not have are stand-ins, which record what is requested from them.
"""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from utils import device
from utils.errors import InputError
from utils.live import camera as module
from utils.live import gstreamer, latest_frame, sources
from utils.live.camera import Camera


@pytest.mark.parametrize(
    "source, shown",
    [
        ("rtsp://user:secret@camera:554/live", "rtsp://user:***@camera:554/live"),
        ("rtsp://user:se@cr:e/t@camera/live", "rtsp://user:***@camera/live"),
        ("http://camera/live?user=me&password=secret&channel=1", "http://camera/live?user=me&password=***&channel=1"),
        ("http://camera:8080/live?token=secret", "http://camera:8080/live?token=***"),
        ("rtsp://user@camera/live", "rtsp://user@camera/live"),
        ("csi://0", "csi://0"),
        ("a:b@c.mp4", "a:b@c.mp4"),
    ],
)
def test_without_password(source, shown):
    assert sources.without_password(source) == shown


@pytest.mark.parametrize(
    "source", ["rtsp://u:se@cret@127.0.0.1:1/x", "http://u:secret#@127.0.0.1:1/", "rtsp://u:1/secret@h/"]
)
def test_explain_no_stream_with_a_password_that_breaks_the_address(source):
    sentence = sources.explain_no_stream(source)
    assert "write an @ in a password as %40" in sentence and "cret" not in sentence


@pytest.mark.skipif(gstreamer.has_gstreamer(), reason="this OpenCV has GStreamer")
def test_csi_needs_gstreamer():
    with pytest.raises(InputError, match="needs an OpenCV with GStreamer, which JetPack provides"):
        Camera("csi://0")


def test_pipelines():
    assert gstreamer.csi_pipeline(1, width=640, height=480, fps=60, flip_method=2) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM), width=640, height=480, format=NV12, framerate=60/1 ! "
        "nvvidconv flip-method=2 ! video/x-raw, width=640, height=480, format=BGRx ! "
        "videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )
    assert gstreamer.csi_pipeline(0, mode=2).startswith("nvarguscamerasrc sensor-id=0 sensor-mode=2 ! video/x-raw(")
    quarter = gstreamer.csi_pipeline(0, fps=12.5, flip_method=3)
    assert "width=1280, height=720, format=NV12, framerate=25/2 !" in quarter
    assert "flip-method=3 ! video/x-raw, width=720, height=1280, format=BGRx" in quarter
    assert gstreamer.rtsp_pipeline("rtsp://me:p%40w@camera/live") == (
        'rtspsrc location="rtsp://me:p%40w@camera/live" latency=200 ! rtph264depay ! h264parse ! '
        "nvv4l2decoder ! nvvidconv ! video/x-raw, format=BGRx ! "
        "videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )
    assert "! rtph265depay ! h265parse ! nvv4l2decoder" in gstreamer.rtsp_pipeline("rtsp://camera/live", "h265")
    assert gstreamer.rtsp_pipeline('rtsp://c/" ! filesink').count('"') == 2  # the URL cannot end the quotation


def test_default_source(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "TEGRA_RELEASE", str(tmp_path / "release"))
    assert module.default_source() == "0"
    (tmp_path / "release").write_text("# R36")
    assert module.default_source() == "csi://0"


@pytest.fixture
def captures(monkeypatch, tmp_path):
    """Stands in for cv2.VideoCapture on a Jetson with GStreamer; a list of the captures that were opened.

    captures.works decides by (what, backend) whether one opens, captures.frame is what they give.
    """

    class Captures(list):
        works = staticmethod(lambda what, backend: True)
        frame = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)

    opened = Captures()

    class Capture:
        def __init__(self, what=None, backend=None, parameters=None):
            self.what = what
            self.backend = backend
            self.parameters = parameters
            self.settings = []
            self.released = threading.Event()
            opened.append(self)
            self.works = opened.works(what, backend)

        def isOpened(self):
            return self.works

        def read(self):
            self.released.wait(0.01)
            return True, opened.frame

        def set(self, setting, value):
            self.settings.append((setting, value))

        def get(self, setting):
            return 30.0

        def release(self):
            self.released.set()

    (tmp_path / "release").write_text("# R36")
    monkeypatch.setattr(device, "TEGRA_RELEASE", str(tmp_path / "release"))
    monkeypatch.setattr(gstreamer, "has_gstreamer", lambda: True)
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    return opened


def test_a_csi_camera_is_flipped_by_nvvidconv_alone(captures):
    with Camera("csi://1", width=640, height=480, fps=60, flip_method=3) as camera:
        assert (camera.read() == captures.frame).all()
    (capture,) = captures
    pipeline = gstreamer.csi_pipeline(1, 640, 480, 60, 3)
    assert (capture.what, capture.backend, capture.parameters) == (pipeline, cv2.CAP_GSTREAMER, None)
    assert capture.released.is_set() and camera.live and camera.name == "csi://1"
    Camera("csi://0").release()
    assert captures[-1].what == gstreamer.csi_pipeline(0)  # 1280x720 at 30
    Camera("csi://0?mode=2").release()
    assert captures[-1].what == gstreamer.csi_pipeline(0, mode=2)


def test_rtsp_on_a_jetson_tries_h265_after_h264(captures):
    captures.works = lambda what, backend: "h265parse" in what
    with Camera("rtsp://me:secret@camera/live", width=32, height=24, flip_method=2) as camera:
        assert camera.read().shape == (24, 32, 3)
        assert (camera.read() == cv2.resize(captures.frame, (32, 24))[::-1, ::-1]).all()
        assert camera.name == "rtsp://me:***@camera/live"
    pipelines = [gstreamer.rtsp_pipeline("rtsp://me:secret@camera/live", codec) for codec in ("h264", "h265")]
    assert [(capture.what, capture.backend) for capture in captures] == [
        (line, cv2.CAP_GSTREAMER) for line in pipelines
    ]
    assert all(capture.released.is_set() for capture in captures)


def test_rtsp_on_a_jetson_falls_back_to_ffmpeg(captures, capsys):
    captures.works = lambda what, backend: backend == cv2.CAP_FFMPEG
    Camera("rtsp://me:secret@camera/live").release()
    assert [capture.backend for capture in captures] == [cv2.CAP_GSTREAMER, cv2.CAP_GSTREAMER, cv2.CAP_FFMPEG]
    note = capsys.readouterr().err
    assert note.count("the hardware decoder does not open rtsp://me:***@camera/live, so the CPU decodes it") == 1


def test_rtsp_without_gstreamer_uses_ffmpeg(captures, monkeypatch, capsys):
    monkeypatch.setattr(gstreamer, "has_gstreamer", lambda: False)
    Camera("rtsp://me:secret@camera/live").release()
    (capture,) = captures
    assert (capture.what, capture.backend) == ("rtsp://me:secret@camera/live", cv2.CAP_FFMPEG)
    limits = dict(zip(capture.parameters[::2], capture.parameters[1::2]))
    assert limits == {cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: 10000, cv2.CAP_PROP_READ_TIMEOUT_MSEC: 5000}
    note = capsys.readouterr().err
    assert "no GStreamer, so the CPU decodes rtsp://me:***@camera/live" in note and "secret" not in note


@pytest.fixture
def usb(captures, monkeypatch):
    """As `captures`, on a machine with a /dev/video3."""
    exists = sources.os.path.exists
    monkeypatch.setattr(sources.os.path, "exists", lambda path: path == "/dev/video3" or exists(path))
    monkeypatch.setattr(sources.os, "access", lambda path, mode: True)
    return captures


def test_settings_of_a_usb_camera(usb, capsys):
    motion_jpeg = cv2.VideoWriter_fourcc(*"MJPG")
    with Camera("3", width=1280, height=720, fps=30, flip_method=6) as camera:
        assert (camera.read() == usb.frame[::-1]).all()
    assert (usb[0].what, usb[0].backend) == (3, cv2.CAP_V4L2)
    size = [(cv2.CAP_PROP_FRAME_WIDTH, 1280), (cv2.CAP_PROP_FRAME_HEIGHT, 720), (cv2.CAP_PROP_FPS, 30)]
    assert usb[0].settings == [(cv2.CAP_PROP_FOURCC, motion_jpeg), *size]  # the size depends on the format
    assert "note: 3 gives 64x48, not 1280x720" in capsys.readouterr().err
    Camera("/dev/video3", width=640, height=480).release()
    assert (cv2.CAP_PROP_FOURCC, motion_jpeg) not in usb[1].settings  # small frames are sent uncompressed
    Camera("3").release()
    assert usb[2].settings == []


def test_usb_cameras_that_cannot_be_opened(usb, monkeypatch):
    usb.works = lambda what, backend: False
    with pytest.raises(InputError, match=r"/dev/video3 gives no frame: .*sudo fuser -v /dev/video3 .* csi://0"):
        Camera("3")
    monkeypatch.setattr(sources.os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"usermod -aG video \$USER"):
        Camera("3")


def test_a_stuck_argus_daemon_is_not_waited_for(captures, monkeypatch, tmp_path, capsys):
    let_go = threading.Event()
    captures.works = lambda what, backend: let_go.wait(20) and False
    monkeypatch.setattr(latest_frame, "FIRST_FRAME_SECONDS", 0.3)
    monkeypatch.setattr(latest_frame, "NOTE_SECONDS", 0.1)
    monkeypatch.setattr(latest_frame, "RELEASE_SECONDS", 0.1)
    monkeypatch.setattr(gstreamer, "ARGUS_SOCKET", str(tmp_path / "argus_socket"))
    with pytest.raises(InputError, match="nvargus-daemon is not running: sudo systemctl restart nvargus-daemon"):
        Camera("csi://0")
    (tmp_path / "argus_socket").write_text("")
    with pytest.raises(InputError, match="the daemon is stuck: sudo systemctl restart nvargus-daemon"):
        Camera("csi://0")
    assert capsys.readouterr().err.count("csi://0: waiting for the first frame") == 2
    let_go.set()
    for capture in captures:
        assert capture.released.wait(20)


def test_the_second_node_of_a_camera_names_the_first(captures, monkeypatch, tmp_path):
    """As Linux shows two cameras: nodes 2 and 3 are one, node 0 is another."""
    for number, (index, camera) in {0: (0, "usb-a"), 2: (0, "usb-b"), 3: (1, "usb-b")}.items():
        node = tmp_path / "nodes" / f"video{number}"
        node.mkdir(parents=True)
        (tmp_path / camera).mkdir(exist_ok=True)
        (node / "index").write_text(f"{index}\n")
        (node / "device").symlink_to(tmp_path / camera)
    monkeypatch.setattr(sources, "VIDEO_NODES", tmp_path / "nodes")
    assert "gives data about images and no images: name /dev/video2" in sources._explain_no_usb_frame("/dev/video3")
    for device_name in ("/dev/video2", "/dev/video9"):
        assert f"the camera {device_name} gives no frame" in sources._explain_no_usb_frame(device_name)


@pytest.mark.parametrize("source", ["http://h/a.mpg", "https://h/b.TS?x=1", "http://h/c.wmv#t", "rtsp://h/d.vob"])
def test_a_video_at_an_address_is_a_file(source):
    assert sources.live_source(source, None, None, None, 0) is None


def test_a_web_page_is_no_video():
    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8" if "watch" in self.path else "video/mp4")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}"
        page = sources.explain_no_stream(f"{address}/watch?v=1")
        assert "this is a web page and no video: give the address of the video itself, or save" in page
        assert "answers, so check the path" in sources.explain_no_stream(f"{address}/stream")
        server.shutdown()
