"""Text from models and prompts, made safe to show: in terminals, pictures, files and file names.

Nothing here escapes markup; that is the business of whoever writes markup. What leaves these
functions holds no control character, so it can neither drive a terminal nor break an XML file.
"""

from __future__ import annotations

import re
from hashlib import blake2b

# CSI, OSC and its kin (one that never ends hides no text), and the two-character escapes, in their
# 7- and 8-bit forms.
_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]P^_X]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_LINE_BREAK = re.compile("\r\n?|[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_UNSAFE = re.compile(
    "["
    "\x00-\x08\x0e-\x1f\x7f-\x9f"
    # direction marks, overrides and isolates: they reorder what stands around them ("Trojan Source")
    "\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069"
    # lone surrogates, and what XML does not allow
    "\ud800-\udfff\ufdd0-\ufdef"
    + "".join(chr(plane << 16 | last) for plane in range(17) for last in (0xFFFE, 0xFFFF))
    + "]"
)


def printable(text: str) -> str:
    """`text` with line breaks and tabs, but without any other control character or escape sequence."""
    if text.isascii() and text.isprintable():
        return text
    return _UNSAFE.sub("", _LINE_BREAK.sub("\n", _ANSI.sub("", text)))


def one_line(text: str, width: int = 80) -> str:
    """The start of `text` as one printable line of at most `width` characters."""
    # Whatever is cut off need not be cleaned; escapes and blanks may shorten what is left.
    line = " ".join(printable(text[: 20 * width + 200]).split())
    return line if len(line) <= width else line[: max(0, width - 1)].rstrip() + "…"


def last_line(text: str, width: int = 80) -> str:
    """The last line of `text` that says something: where most responses keep their answer."""
    for line in reversed(text[-20 * width - 200 :].splitlines()):
        if said := one_line(line, width):
            return said
    return ""


def file_stem(name: str) -> str:
    """A file name for anything named `name`: plain ASCII, different for different names."""
    stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:80].strip("._") or "_"
    if stem == name and not re.fullmatch(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\..*)?", stem):
        return stem
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()
    return f"{stem}-{digest}"
