"""Opens the page of a web export."""

import time

from browser_helpers import watch


def open_page(browser, address, permissions=(), script="", **options):
    """Returns the page, and what `browser_helpers.watch` notes of it. script: runs before the page's own."""
    context = browser.new_context(permissions=list(permissions), **options)
    page = context.new_page()
    page.add_init_script(script)
    seen = watch(page)
    page.goto(f"{address}/index.html")
    return page, seen


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def wait_until_ready(page):
    wait_for(lambda: page.inner_text("#status").startswith("Ready"))
