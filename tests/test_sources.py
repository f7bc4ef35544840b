"""What live sources are asked, and what a camera that cannot be had is refused with.

A camera that this machine has not got is a stand-in here, which notes what it is asked.
"""

import fcntl
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest

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
def test_passwords_are_not_shown(source, shown):
    assert sources.without_password(source) == shown


@pytest.mark.parametrize(
    "source", ["rtsp://u:se@cret@127.0.0.1:1/x", "http://u:secret#@127.0.0.1:1/", "rtsp://u:1/secret@h/"]
)
def test_a_password_that_breaks_the_address(source):
    sentence = sources.no_stream_picture(source)
    assert "write an @ in a password as %40" in sentence and "cret" not in sentence


@pytest.mark.skipif(gstreamer.has_gstreamer(), reason="this OpenCV has GStreamer")
def test_csi_needs_gstreamer():
    with pytest.raises(InputError, match="needs an OpenCV with GStreamer, as JetPack brings it"):
        Camera("csi://0")


def test_pipelines():
    assert gstreamer.csi_pipeline(1, width=640, height=480, rate=60, flip=2) == (
        "nvarguscamerasrc sensor-id=1 ! video/x-raw(memory:NVMM), width=640, height=480, format=NV12, framerate=60/1 ! "
        "nvvidconv flip-method=2 ! video/x-raw, width=640, height=480, format=BGRx ! "
        "videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )
    quarter = gstreamer.csi_pipeline(0, rate=12.5, flip=3)
    assert "width=1280, height=720, format=NV12, framerate=25/2 !" in quarter
    assert "flip-method=3 ! video/x-raw, width=720, height=1280, format=BGRx" in quarter
    assert gstreamer.rtsp_pipeline("rtsp://me:p%40w@camera/live") == (
        'rtspsrc location="rtsp://me:p%40w@camera/live" latency=200 ! rtph264depay ! h264parse ! '
        "nvv4l2decoder enable-max-performance=1 ! nvvidconv ! video/x-raw, format=BGRx ! "
        "videoconvert ! video/x-raw, format=BGR ! appsink drop=true max-buffers=1 sync=false"
    )
    assert "! rtph265depay ! h265parse ! nvv4l2decoder" in gstreamer.rtsp_pipeline("rtsp://camera/live", "h265")
    assert gstreamer.rtsp_pipeline('rtsp://c/" ! filesink').count('"') == 2  # nobody ends the quotation


def test_default_source(monkeypatch, tmp_path):
    monkeypatch.setattr(device, "TEGRA_RELEASE", str(tmp_path / "release"))
    assert module.default_source() == "0"
    (tmp_path / "release").write_text("# R36")
    assert module.default_source() == "csi://0"


@pytest.fixture
def captures(monkeypatch, tmp_path):
    """Stands in for cv2.VideoCapture on a Jetson with GStreamer; a list of the captures that were opened.

    captures.works decides by (what, backend) whether one gives pictures, captures.picture is what they give.
    """

    class Captures(list):
        works = staticmethod(lambda what, backend: True)
        picture = np.arange(48 * 64 * 3, dtype=np.uint8).reshape(48, 64, 3)

    opened = Captures()

    class Capture:
        def __init__(self, what=None, backend=None, parameters=None):
            self.what, self.backend, self.parameters, self.asked = what, backend, parameters, []
            self.released = threading.Event()
            opened.append(self)
            self.works = opened.works(what, backend)

        def isOpened(self):
            return self.works

        def read(self):
            self.released.wait(0.01)
            return True, opened.picture

        def set(self, setting, value):
            self.asked.append((setting, value))

        def get(self, setting):
            return 30.0

        def release(self):
            self.released.set()

    (tmp_path / "release").write_text("# R36")
    monkeypatch.setattr(device, "TEGRA_RELEASE", str(tmp_path / "release"))
    monkeypatch.setattr(gstreamer, "has_gstreamer", lambda: True)
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    return opened


def test_a_csi_camera_is_turned_by_nvvidconv_alone(captures):
    with Camera("csi://1", width=640, height=480, rate=60, flip=3) as camera:
        assert (camera.read() == captures.picture).all()
    (capture,) = captures
    pipeline = gstreamer.csi_pipeline(1, 640, 480, 60, 3)
    assert (capture.what, capture.backend, capture.parameters) == (pipeline, cv2.CAP_GSTREAMER, None)
    assert capture.released.is_set() and camera.live and camera.name == "csi://1"
    Camera("csi://0").release()
    assert captures[-1].what == gstreamer.csi_pipeline(0)  # 1280x720 at 30


def test_rtsp_on_a_jetson_tries_h265_after_h264(captures):
    captures.works = lambda what, backend: "h265parse" in what
    with Camera("rtsp://me:secret@camera/live", width=32, height=24, flip=2) as camera:
        assert camera.read().shape == (24, 32, 3)
        assert (camera.read() == cv2.resize(captures.picture, (32, 24))[::-1, ::-1]).all()
        assert camera.name == "rtsp://me:***@camera/live"
    pipelines = [gstreamer.rtsp_pipeline("rtsp://me:secret@camera/live", codec) for codec in ("h264", "h265")]
    assert [(capture.what, capture.backend) for capture in captures] == [
        (line, cv2.CAP_GSTREAMER) for line in pipelines
    ]
    assert all(capture.released.is_set() for capture in captures)


def test_rtsp_without_gstreamer_is_left_to_ffmpeg(captures, monkeypatch, capsys):
    monkeypatch.setattr(gstreamer, "has_gstreamer", lambda: False)
    Camera("rtsp://me:secret@camera/live").release()
    (capture,) = captures
    assert (capture.what, capture.backend) == ("rtsp://me:secret@camera/live", cv2.CAP_FFMPEG)
    limits = dict(zip(capture.parameters[::2], capture.parameters[1::2]))
    assert limits == {cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: 10000, cv2.CAP_PROP_READ_TIMEOUT_MSEC: 5000}
    said = capsys.readouterr().err
    assert "no GStreamer, so that the CPU decodes rtsp://me:***@camera/live" in said and "secret" not in said


@pytest.fixture
def usb(captures, monkeypatch):
    """As `captures`, on a machine that has a /dev/video3."""
    exists = sources.os.path.exists
    monkeypatch.setattr(sources.os.path, "exists", lambda path: path == "/dev/video3" or exists(path))
    monkeypatch.setattr(sources.os, "access", lambda path, mode: True)
    return captures


def test_what_is_asked_of_a_usb_camera(usb, capsys):
    motion_jpeg = cv2.VideoWriter_fourcc(*"MJPG")
    with Camera("3", width=1280, height=720, rate=30, flip=6) as camera:
        assert (camera.read() == usb.picture[::-1]).all()
    assert (usb[0].what, usb[0].backend) == (3, cv2.CAP_V4L2)
    size = [(cv2.CAP_PROP_FRAME_WIDTH, 1280), (cv2.CAP_PROP_FRAME_HEIGHT, 720), (cv2.CAP_PROP_FPS, 30)]
    assert usb[0].asked == [(cv2.CAP_PROP_FOURCC, motion_jpeg), *size]  # the size depends on the format
    assert "note: 3 gives 64x48, not 1280x720" in capsys.readouterr().err
    Camera("/dev/video3", width=640, height=480).release()
    assert (cv2.CAP_PROP_FOURCC, motion_jpeg) not in usb[1].asked  # small pictures go through uncompressed
    Camera("3").release()
    assert usb[2].asked == []


def test_usb_cameras_that_cannot_be_had(usb, monkeypatch):
    usb.works = lambda what, backend: False
    with pytest.raises(InputError, match="/dev/video3 gives no picture: .* sudo fuser -v /dev/video3 names it"):
        Camera("3")
    monkeypatch.setattr(sources, "holders", lambda device: ["guvcview (process 7)"])
    with pytest.raises(InputError, match=r"/dev/video3 is in use by guvcview \(process 7\): end that"):
        Camera("3")
    monkeypatch.setattr(sources, "pixel_formats", lambda device: ["RG10"])
    with pytest.raises(InputError, match=r"CSI camera whose raw picture \(RG10\) is of no use here: --source csi://0"):
        Camera("3")
    monkeypatch.setattr(sources, "pixel_formats", lambda device: ["YUYV", "BA81"])
    with pytest.raises(InputError, match="is in use by"):  # it has a format that is of use
        Camera("3")
    monkeypatch.setattr(sources.os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"usermod -aG video \$USER"):
        Camera("3")


def test_who_holds_a_device(tmp_path):
    device = tmp_path / "video0"
    device.write_text("")
    assert sources.holders(str(device)) == []
    hold = "import sys; file = open(sys.argv[1]); print(flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", hold, str(device)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        with open(device):  # our own hold is not worth a word
            (holder,) = sources.holders(str(device))
        assert holder.startswith("python") and holder.endswith(f"(process {process.pid})")
    finally:
        process.communicate(b"")


def test_pixel_formats_of_a_driver(tmp_path, monkeypatch):
    formats = [b"RG10", b"BA81"]

    def driver(opened, question, answer):
        """Answers as the kernel does, with struct v4l2_fmtdesc as it stands in linux/videodev2.h."""
        index = int.from_bytes(answer[:4], sys.byteorder)
        assert question == 0xC0405602 and len(answer) == 64 and answer[4] == 1
        if index >= len(formats):
            raise OSError(22, "Invalid argument")
        answer[44:48] = formats[index]

    (tmp_path / "video0").write_text("")
    assert sources.pixel_formats(str(tmp_path / "video0")) == []  # no driver answers
    monkeypatch.setattr(fcntl, "ioctl", driver)
    assert sources.pixel_formats(str(tmp_path / "video0")) == ["RG10", "BA81"]
    assert sources.pixel_formats(str(tmp_path / "gone")) == []


@pytest.mark.parametrize(
    "name", ["RG10", "BA81", "BG10", "GB10", "GBRG", "GRBG", "RGGB", "BYR2", "RG12", "GB16", "pRAA"]
)
def test_bayer_formats(name):
    assert sources.BAYER.fullmatch(name)


@pytest.mark.parametrize("name", ["YUYV", "MJPG", "UYVY", "H264", "GREY", "NV12", "RGB3", "BGR3", "RGBP"])
def test_formats_with_colours(name):
    assert not sources.BAYER.fullmatch(name)


def test_a_stuck_argus_daemon_is_not_waited_for(captures, monkeypatch, tmp_path, capsys):
    let_go = threading.Event()
    captures.works = lambda what, backend: let_go.wait(20) and False
    monkeypatch.setattr(latest_frame, "HANG_SECONDS", 0.3)
    monkeypatch.setattr(latest_frame, "PATIENCE", 0.1)
    monkeypatch.setattr(latest_frame, "WATCH_SECONDS", 0.05)
    monkeypatch.setattr(latest_frame, "RELEASE_SECONDS", 0.1)
    monkeypatch.setattr(gstreamer, "ARGUS_SOCKET", str(tmp_path / "argus_socket"))
    with pytest.raises(InputError, match="nvargus-daemon does not run here: sudo systemctl restart nvargus-daemon"):
        Camera("csi://0")
    (tmp_path / "argus_socket").write_text("")
    with pytest.raises(InputError, match="the daemon is stuck: sudo systemctl restart nvargus-daemon"):
        Camera("csi://0")
    assert capsys.readouterr().err.count("csi://0: waiting for the first picture") == 2
    let_go.set()
    for capture in captures:
        assert capture.released.wait(5)
