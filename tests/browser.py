"""A headless Chromium, driven through a pipe: no driver, no network port."""

import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest


class Browser:
    """One page; ``with Browser(folder) as page: page.open(url); page.value("document.title")``.

    It speaks the Chrome DevTools Protocol (https://chromedevtools.github.io/devtools-protocol/): JSON messages that end
    in a zero byte, on the file descriptors 3 and 4 of the browser.
    """

    def __init__(self, folder: Path):
        program = shutil.which("chromium") or shutil.which("google-chrome")
        if program is None:
            pytest.skip("there is no Chromium")
        self._folder, self._program = folder, program
        self._count, self._received, self._session = 0, b"", None

    def __enter__(self) -> "Browser":
        theirs, self._out = os.pipe()
        self._in, answers = os.pipe()
        options = "--headless --no-sandbox --disable-gpu --no-first-run --remote-debugging-pipe"
        shell = f'exec "$0" {options} "--user-data-dir=$1" about:blank 3<&{theirs} 4>&{answers}'
        command = ["bash", "-c", shell, self._program, str(self._folder / "browser")]
        self._process = subprocess.Popen(command, pass_fds=(theirs, answers), stderr=subprocess.DEVNULL)
        os.close(theirs)
        os.close(answers)
        page = next(each for each in self._ask("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self._session = self._ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)

    def open(self, url: str) -> None:
        """Go to an address."""
        self._ask("Page.navigate", url=url)

    def emulate(self, width: int, height: int, dark: bool = False, printed: bool = False) -> None:
        """Give the page the size of a screen, and the colors that its owner likes; or print it."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._ask("Emulation.setEmulatedMedia", media="print" if printed else "", features=features)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str, value: Any, seconds: float = 20) -> None:
        """Wait until an expression has this value."""
        end = time.monotonic() + seconds
        while (found := self.value(expression)) != value:
            assert time.monotonic() < end, f"{expression} is {found!r}, not {value!r}"
            time.sleep(0.05)

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._next())
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def _next(self) -> bytes:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._in], [], [], 30)
            more = os.read(self._in, 1 << 16) if ready else b""
            assert more, "Chromium does not answer"
            self._received += more
        message, _, self._received = self._received.partition(b"\0")
        return message
