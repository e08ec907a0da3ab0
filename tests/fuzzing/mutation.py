"""Inputs like given ones, and other: words, lines and bytes are moved, lost, doubled, replaced by odd ones."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from random import Random

MOST_BYTES = 1 << 20

_TOKEN = re.compile(rb"""\s+|[^\s,=:;."'\[\]{}()]+|.""", re.DOTALL)

_NUMBERS = """
0 1 -1 2 3 7 31 32 33 127 128 255 256 65535 65536 1000000 2147483647 2147483648 -2147483648 -2147483649 4294967295
4294967296 9223372036854775807 9223372036854775808 -9223372036854775808 18446744073709551616 1e999 -1e999 1e-999 1e38
3.5e38 3.4028235e38 1e-45 1e308 1e309 nan inf -inf NaN Infinity 0x10 0b1 1_000 +1 -0 00 01 .5 5. . - + 1e 1e+ --1 1,5
0.1 0.5 -0.5 1.0 -23300 -23301 -23331 -23332 -233 999999999 1000000000
"""
_TEXTS = ["\uff11\uff12", "\u0661", "\u00b2", "\u2028", "\u0085", "\u00a0", "\ufeff", "e\u0301", "\U0001f600", "\u00df"]
_BYTES = [
    *(b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f", b"\x85", b"\r", b"\v", b"\f", b"\x1c", b"\x1b[2J"),
    *(
        b"\n",
        b"\r\n",
        b"\t",
        b" ",
        b'"',
        b"'",
        b'"""',
        b"'''",
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"#",
        b"=",
        b",",
        b".",
        b"/",
        b"..",
    ),
    *(
        b"[",
        b"]",
        b"[[",
        b"]]",
        b"{",
        b"}",
        b"(",
        b")",
        b":",
        b";",
        b"*",
        b"%s",
        b"%99999999d",
        b"{0}",
        b"a" * 300,
        b"9" * 20,
    ),
    *(b"9" * 310, b"9" * 5000, b"0." + b"3" * 400, b"true", b"false", b"null", b"1979-05-27", b"\xef\xbb\xbf"),
]
ODD = [*_NUMBERS.encode().split(), *(text.encode() for text in _TEXTS), *_BYTES]
_COMMON = b" \t\n\r=,.[]{}#\"'0a-"
_LENGTHS = (2, 3, 10, 40, 300, 1200, 20000)


class Mutator:
    """Makes inputs; what it makes depends on the seed and the given inputs alone."""

    def __init__(self, seeds: Sequence[bytes], random: Random) -> None:
        self.random = random
        self._others = list(seeds)
        words = {word for seed in seeds if len(seed) < 10000 for word in _TOKEN.findall(seed) if not word.isspace()}
        self._words = sorted(words) or ODD

    def make(self) -> bytes:
        """Return a new input."""
        return self.mutate(self.random.choice(self._others))

    def mutate(self, data: bytes) -> bytes:
        """Return an input that some changes lead to."""
        for _ in range(self.random.choice((1, 1, 1, 2, 2, 3, 4, 8))):
            data = self.random.choice(_CHANGES)(self, data)
        return data[:MOST_BYTES]

    def _word(self) -> bytes:
        return self.random.choice(self._words if self.random.random() < 0.5 else ODD)

    def _count(self) -> int:
        """Return how often something is repeated: seldom a number at which the squares of lengths are felt."""
        return self.random.randrange(1, self.random.choices(_LENGTHS, (100, 100, 60, 20, 6, 3, 1))[0])

    def _tokens(self, data: bytes) -> list[bytes]:
        if len(data) > 4096:  # near some place in it
            start = self.random.randrange(len(data) - 1024)
            return [data[:start], *_TOKEN.findall(data, start, start + 1024), data[start + 1024 :]]
        return _TOKEN.findall(data) or [b""]

    def change_token(self, data: bytes) -> bytes:
        tokens = self._tokens(data)
        place = self.random.randrange(len(tokens))
        match self.random.randrange(7):
            case 0:
                tokens[place] = self._word()
            case 1:
                tokens.insert(place, self._word())
            case 2:
                tokens[place] = b""
            case 3:
                other = self.random.randrange(len(tokens))
                tokens[place], tokens[other] = tokens[other], tokens[place]
            case 4:
                tokens[place] = tokens[self.random.randrange(len(tokens))]
            case 5:
                tokens[place] *= self._count() + 1 if len(tokens[place]) < 100 else 1
            case _:
                tokens[place] += self.random.choice((b" ", b"", b",", b"=", b".", b"\n")) + self._word()
        return b"".join(tokens)

    def change_line(self, data: bytes) -> bytes:
        lines = data.splitlines(keepends=True) or [b""]
        place, other = self.random.randrange(len(lines)), self.random.randrange(len(lines))
        match self.random.randrange(5):
            case 0:
                del lines[place]
            case 1:
                lines.insert(place, lines[other])
            case 2:
                lines[place], lines[other] = lines[other], lines[place]
            case 3:
                lines[place] *= self._count() if len(lines[place]) < 100 else 2
            case _:
                others = self.random.choice(self._others).splitlines(keepends=True)
                lines.insert(place, self.random.choice(others) if others else b"\n")
        return b"".join(lines)

    def change_bytes(self, data: bytes) -> bytes:
        place = self.random.randrange(len(data) + 1)
        end = min(len(data), place + self._count())
        match self.random.randrange(6):
            case 0:
                return data[:place] + self.random.randbytes(1) + data[place + 1 :]
            case 1:
                return data[:place] + data[end:]
            case 2:
                return data[:place] + data[place:end] + data[place:]
            case 3:
                size = self.random.choice("bhiq")
                most = 1 << (8 * struct.calcsize(size) - 1)
                number = self.random.choice((0, 1, 2, 16, most - 1, -most, -1, most // 2))
                code = struct.pack(self.random.choice("<>") + size, number)
                return data[:place] + code + data[place + len(code) :]
            case 4 if data:
                flipped = bytearray(data)
                flipped[place % len(data)] ^= 1 << self.random.randrange(8)
                return bytes(flipped)
            case _:
                return data[:place] + self._word() + data[place:]

    def repeat(self, data: bytes) -> bytes:
        """Repeat a word many times, or put something into many brackets."""
        place = self.random.randrange(len(data) + 1)
        count = self._count()
        word = bytes([self.random.choice(_COMMON)]) if self.random.random() < 0.5 else self._word()[:40]
        if self.random.random() < 0.5:
            return data[:place] + word * count + data[place:]
        opening, closing = self.random.choice(
            ((b"[", b"]"), (b"{", b"}"), (b"(", b")"), (b'{"a":', b"}"), (b"a.", b""))
        )
        return data[:place] + opening * count + word + closing * count + data[place:]

    def cross(self, data: bytes) -> bytes:
        other = self.random.choice(self._others)
        return data[: self.random.randrange(len(data) + 1)] + other[self.random.randrange(len(other) + 1) :]

    def cut(self, data: bytes) -> bytes:
        return data[: self.random.randrange(len(data) + 1)]

    def encode(self, data: bytes) -> bytes:
        """Take another encoding or other line ends."""
        ends = self.random.choice(
            (b"\r", b"\r\n", b"\v", b"\f", b"\xc2\x85", b"\n\n", b"\x1c", b"\xe2\x80\xa8", b" \n")
        )
        choices: list[Callable[[], bytes]] = [
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data.decode("latin-1").encode("utf-16"),
            lambda: data.replace(b"\n", ends),
            lambda: data.decode("latin-1").encode("utf-8"),
        ]
        return self.random.choice(choices)()


_CHANGES: tuple[Callable[[Mutator, bytes], bytes], ...] = (
    *[Mutator.change_token] * 8,
    *[Mutator.change_line] * 4,
    *[Mutator.change_bytes] * 4,
    Mutator.repeat,
    Mutator.cross,
    Mutator.cut,
    Mutator.encode,
)
