"""A browser that walks a folder of pages, and tells what it found there."""

import contextlib
import functools
import http.server
import json
import shutil
import subprocess
import threading

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WALK = """<!doctype html><body><script>
async function look(page, width) {
  const frame = document.createElement("iframe")
  Object.assign(frame, { src: "/" + page, width, height: 900 })
  const loaded = new Promise((resolve) => (frame.onload = resolve))
  document.body.append(frame)
  await loaded
  const root = frame.contentDocument.documentElement
  const images = [...frame.contentDocument.images]
  const found = {
    page,
    width,
    images: images.length,
    broken: images.filter((of) => !of.naturalWidth).map((of) => of.src),
    too_wide: root.scrollWidth > frame.contentWindow.innerWidth,
    letters: root.innerText.length,
  }
  frame.remove()
  return found
}
async function walk() {
  const found = []
  for (const page of PAGES) {
    for (const width of WIDTHS) found.push(await look(page, width))
  }
  await fetch("/found", { method: "POST", body: JSON.stringify(found) })
}
walk()
</script></body>"""


def find_browser():
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the pages and the one that walks them; takes what it found."""

    def do_GET(self):
        if self.path != "/walk.html":
            return super().do_GET()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.end_headers()
        self.wfile.write(self.server.walk.encode())

    def do_POST(self):
        size = int(self.headers["Content-Length"])
        self.server.found = json.loads(self.rfile.read(size))
        self.send_response(204)
        self.end_headers()
        self.server.is_done.set()

    def send_error(self, code, *args):
        if self.path != "/favicon.ico":
            self.server.missing.append(self.path)
        super().send_error(code, *args)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def served(folder, walk):
    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.walk, server.found, server.missing = walk, None, []
        server.is_done = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def walk(browser, folder, pages, widths, profile, seconds=300):
    """Look at all pages in frames of some widths, in one browser.

    Returns:
        What was found of each page and width, a list of dicts; what pages
        asked for and is not there; and the lines of the console.
    """
    script = WALK.replace("PAGES", json.dumps(list(pages)))
    script = script.replace("WIDTHS", json.dumps(list(widths)))
    options = ["--headless", "--no-sandbox", "--disable-gpu"]
    options += ["--enable-logging=stderr", f"--user-data-dir={profile}"]
    options += ["--remote-debugging-port=0"]  # Stay when it is loaded.
    with served(folder, script) as server:
        address = f"http://127.0.0.1:{server.server_port}/walk.html"
        process = subprocess.Popen(
            [browser, *options, address],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            server.is_done.wait(seconds)
        finally:
            process.terminate()
            console = process.communicate()[1]
        if server.found is None:
            raise TimeoutError(f"no page was found in {seconds} s: {console}")
        lines = [of for of in console.splitlines() if "CONSOLE" in of]
        return server.found, server.missing, lines
