"""A headless Chromium for tests, driven through the pipe of its DevTools protocol; standard library only.

https://chromedevtools.github.io/devtools-protocol: JSON messages that end in a zero byte, on file descriptors 3 and 4.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find():
    """The path of a browser, None where none is installed."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One page in its own browser, with the profile in `folder`; used in a `with`."""

    def __init__(self, folder, size=(1200, 800)):
        """size: (width, height) of the window in pixels."""
        self._received = b""
        self._count = 0  # of the commands sent
        self._ready = False  # whether the page has run its deferred scripts
        self.problems = []  # what the page complained about
        there, self._to = os.pipe()
        self._from, back = os.pipe()
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (there, back)]  # clear of 3 and 4 in the shell below
        os.close(there)
        os.close(back)
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        options += ["--remote-debugging-pipe", f"--user-data-dir={folder}", "about:blank"]
        shell = ["bash", "-c", f'exec "$@" 3<&{ends[0]} 4>&{ends[1]}', "bash"]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(shell + [find()] + options, pass_fds=ends, **quiet)
        for end in ends:
            os.close(end)
        self._session = None
        targets = self.call("Target.getTargets")["targetInfos"]
        target = next(one["targetId"] for one in targets if one["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.resize(*size)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)

    def call(self, method, **parameters):
        """Sends a command of the protocol and returns its result; errors of the page meanwhile go to `problems`."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._count:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._handle(answer)

    def _handle(self, event):
        method = event.get("method")
        content = event.get("params", {})
        if method == "Page.domContentEventFired":
            self._ready = True
        elif method == "Runtime.exceptionThrown":
            self.problems.append(content["exceptionDetails"])
        elif method == "Log.entryAdded" and content["entry"]["level"] == "error":
            self.problems.append(content["entry"]["text"])

    def _read(self, timeout=60):
        while b"\0" not in self._received:
            assert select.select([self._from], [], [], timeout)[0], "the browser does not answer"
            received = os.read(self._from, 1 << 16)
            assert received, "the browser has ended"
            self._received += received
        message, self._received = self._received.split(b"\0", 1)
        return json.loads(message)

    def resize(self, width, height, phone=False):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def scheme(self, name):
        """light or dark."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def open(self, url):
        """Returns once the page has run its deferred scripts."""
        self._ready = False
        self.call("Page.navigate", url=url)
        while not self._ready:
            self._handle(self._read())

    def run(self, script):
        """The value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, script, timeout=30):
        """Waits until an expression is true, or an element exists."""
        end = time.monotonic() + timeout
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < end, f"never true: {script}; the page says: {self.run('document.body.innerText')}"
            time.sleep(0.05)

    def click(self, selector):
        """Clicks the middle of an element with the mouse."""
        place = f"document.querySelector({json.dumps(selector)})"
        self.run(f"{place}.scrollIntoView({{block: 'center'}})")
        box = self.run(f"{place}.getBoundingClientRect().toJSON()")
        x = box["x"] + box["width"] / 2
        y = box["y"] + box["height"] / 2
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, text):
        """Types into the element that has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key, code):
        """Presses a key, given by its name and its virtual key code: ("Enter", 13)."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    def screenshot(self, path):
        """Writes a screenshot (PNG)."""
        answer = self.call("Page.captureScreenshot", format="png")
        with open(path, "wb") as file:
            file.write(base64.b64decode(answer["data"]))
