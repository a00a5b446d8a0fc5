"""What native libraries print when they start, and a watcher that shows it if they end the process.

`python native_notes.py NUMBER` waits on standard input. If that ends without a byte, the process at its other
end has died, and the file of this descriptor has what it printed. The lines that are no noise go to stderr.
It needs nothing but Python.
"""

import os
import re
import sys

MAX_BYTES = 1 << 20  # of notes that are read
# Lines that say nothing about a failure: levels I and W, and what each start prints on usual machines.
NOISE = re.compile(
    r"^\s*$"
    r"|^[IW]\d{4} \d\d:\d\d:"
    r"|^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: [IW] "
    r"|^(INFO|VERBOSE|WARNING):"
    r"|^\[ ?(INFO|WARN)[:@]"
    r"|Unable to register cu\w+ factory"
    r"|computation placer already registered"
    r"|^To enable the following instructions:"
    r"|^Skipping registering GPU devices"
)


def without_noise(text):
    """Returns the lines of text that may say why something failed."""
    return "\n".join(line for line in text.splitlines() if not NOISE.search(line))


def read(descriptor):
    """Returns what an open file holds so far, as text without noise."""
    return without_noise(os.pread(descriptor, MAX_BYTES, 0).decode("utf-8", "replace"))


def watch(descriptor):
    """Shows the notes in the file of a descriptor if standard input ends without a byte."""
    if not os.read(0, 1) and (text := read(descriptor)):
        os.write(2, f"{text}\n".encode())


if __name__ == "__main__":
    watch(int(sys.argv[1]))
