"""A real JupyterLab in a real browser: a graph is shown, opened, clicked and read."""

import base64
import importlib.util
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from importlib import import_module
from pathlib import Path

import pytest

NEEDED = ("anywidget", "jupyterlab", "nbconvert", "playwright")
BROWSER = os.environ.get("CHROMIUM") or shutil.which("chromium")
MISSING = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = [
    pytest.mark.skipif(
        bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (group browser)"
    ),
    pytest.mark.skipif(BROWSER is None, reason="no chromium; CHROMIUM names another"),
]
QUIET = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)
CODE = "import capsjax as cj\ngraph = cj.zoo.graph('resnet-50')\ngraph"
PICTURES = os.environ.get("CAPSJAX_SCREENSHOTS")


def notebook(folder: Path) -> Path:
    cell = {"cell_type": "code", "id": "first", "metadata": {}, "source": CODE}
    cell |= {"execution_count": None, "outputs": []}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    content = {"cells": [cell], "metadata": {"kernelspec": kernel}}
    content |= {"nbformat": 4, "nbformat_minor": 5}
    path = folder / "graph.ipynb"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    notebook(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = {name: str(folder / name.lower()) for name in ("HOME", "JUPYTER_CONFIG_DIR")}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--notebook-dir={folder}",
    ]
    command += ["--IdentityProvider.token=", "--ServerApp.password="]
    log = (folder / "log.txt").open("w")
    server = subprocess.Popen(
        command, env={**os.environ, **home}, stdout=log, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"{address}/api/status"):
                    break
            except OSError:
                time.sleep(0.25)
        else:
            raise TimeoutError((folder / "log.txt").read_text())
        yield address
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@pytest.fixture(scope="module")
def browser():
    # Not installed where only types are checked.
    with import_module("playwright.sync_api").sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=BROWSER, args=[*QUIET])
        yield made
        made.close()


def picture(page, name: str) -> None:
    if PICTURES:
        page.screenshot(path=str(Path(PICTURES) / f"{name}.png"))


def test_a_graph_in_jupyterlab(lab, browser):
    page = browser.new_page(viewport={"width": 1500, "height": 900})
    page.set_default_timeout(90_000)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{lab}/lab/tree/graph.ipynb?reset")
    page.locator(".jp-Notebook .jp-Cell").first.click()
    page.get_by_text("Python 3 ").first.wait_for()
    page.keyboard.press("Shift+Enter")
    explorer = page.locator(".capsjax-explorer")
    stage = explorer.locator("svg")
    stage.wait_for()
    picture(page, "lab-closed")

    def box(name: str):
        return explorer.get_by_role("button", name=name, exact=True)

    assert box("open stage1").count() == 1 and box("stage1/shortcut").count() == 0
    box("open stage1").click()
    box("stage1/shortcut").wait_for()
    assert box("close stage1").count() == 1
    picture(page, "lab-open")
    box("stage1/shortcut").hover()
    tip = explorer.locator(".capsjax-tip")
    assert "56 × 56 × 256" in tip.inner_text() and "FLOPs" in tip.inner_text()
    box("stage1/shortcut").click()
    panel = explorer.locator(".capsjax-panel")
    panel.get_by_role("heading", name="stage1/shortcut", exact=True).wait_for()
    words = panel.inner_text()
    assert "Y = standardize(W ∗ pool1)" in words.replace("*", "∗")
    assert "56 × 56 × 256" in words and "bytes an example" in words
    picture(page, "lab-clicked")

    explorer.get_by_role("searchbox").fill("stage3/block2/conv")
    assert (
        explorer.locator(".capsjax-found").get_attribute("aria-label") == "open stage3"
    )
    explorer.get_by_role("searchbox").fill("")
    box("close stage1").focus()
    page.keyboard.press("Enter")  # by the keyboard, too
    box("open stage1").wait_for()
    assert box("stage1/shortcut").count() == 0

    light = explorer.evaluate("e => getComputedStyle(e).backgroundColor")
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    dark = explorer.evaluate("e => getComputedStyle(e).backgroundColor")
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(21, 25, 30)")
    picture(page, "lab-dark")
    assert all(url.startswith((lab, "data:", "blob:")) for url in asked)
    page.close()


def test_exported_page_shows_the_drawing(tmp_path, browser):
    path = notebook(tmp_path)
    command = [sys.executable, "-m", "nbconvert", "--to", "html", "--execute"]
    # As JupyterLab saves a notebook: without the state of widgets.
    command += ["--ExecutePreprocessor.store_widget_state=False"]
    subprocess.run([*command, str(path)], check=True, capture_output=True)
    page = browser.new_page(viewport={"width": 1500, "height": 900})
    page.route("http*://**", lambda route: route.abort())
    page.goto(f"file://{path.with_suffix('.html')}")
    drawing = page.locator(".jp-RenderedSVG img")
    drawing.wait_for(timeout=20_000)
    assert drawing.evaluate("image => image.naturalHeight") > 1000
    source = (drawing.get_attribute("src") or "").split("base64,")[1]
    assert b">stage1<" in base64.b64decode(source)
    picture(page, "exported")
    page.close()
