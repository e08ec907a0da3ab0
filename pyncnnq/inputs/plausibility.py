"""Numbers that are hardly meant: a mean of values from 0 to 1, a standard deviation that is given as norm, or a mean in
the order of other channels."""

from __future__ import annotations

from pyncnnq.inputs.preprocessing import Preprocessing, Values

_WHITE = 255
"""The largest pixel."""

_MOST_FACTOR = 0.1
"""A norm for pixels of 0 to 255 is 1, which leaves them as they are (Caffe), or at most this, which makes them smaller
than 26: those that networks are trained with are 1/255 to 1/50.  Values from 0 to 1 have standard deviations from this
to 0.5, and pixels from 0 to 255 such from 26 to 128."""


_IMAGENET_BGR = (104.0, 116.5, 123.5)
"""The mean of ImageNet's pixels, as Caffe (104, 117, 123) and PyTorch (103.53, 116.28, 123.675) state it."""
_AS_STATED = 1.0
"""How far from it a mean is stated, in steps of a pixel; the three are six apart at least."""


def doubts(preprocessing: Preprocessing) -> list[str]:
    """Return what a user is told of numbers that are hardly meant, each with what to give in their place."""
    found = (_doubtful_range(preprocessing.mean, preprocessing.norm), _doubtful_order(preprocessing))
    return [doubt for doubt in found if doubt]


def _doubtful_order(preprocessing: Preprocessing) -> str | None:
    """Return the doubt in a mean in the order B, G, R of pixels in the order R, G, B.

    The other way round it is right for PP-OCR.
    """
    mean = preprocessing.mean
    if preprocessing.pixel != "RGB" or any(
        abs(value - stated) > _AS_STATED for value, stated in zip(mean, _IMAGENET_BGR, strict=True)
    ):
        return None
    turned = _listed([f"{value:g}" for value in reversed(mean)])
    return (
        f"mean {_plain(mean)} is that of ImageNet in the order B, G, R, but pixel is RGB. "
        f'Do you mean `pixel="BGR"`, or `mean=({turned})` and norm in that order too?'
    )


def _doubtful_range(mean: Values, norm: Values) -> str | None:
    """Return the doubt in mean and norm that are not for pixels from 0 to 255."""
    of_unit = 0 < max(map(abs, mean)) <= 1
    reasons, advice = [], []
    if of_unit:
        reasons.append(f"mean {_plain(mean)} is that of values from 0 to 1")
        advice.append(f"`mean=({_listed([f'{value * _WHITE:.6g}' for value in mean])})`")
    divided = _divided(norm, of_unit=of_unit)
    if divided is not None:
        reason, divisors = divided
        reasons.append(f"norm {_plain(norm)} {reason}")
        fractions = [f"{'-' if divisor < 0 else ''}1/{abs(divisor):.6g}" for divisor in divisors]
        advice.append(f'`norm="{_listed(fractions)}"`')
    if not reasons:
        return None
    ends = [(pixel - m) * n for m, n in zip(mean, norm, strict=True) for pixel in (0, _WHITE)]
    return (
        f"{', and '.join(reasons)}; pixels are 0 to 255, so that (pixel - mean) * norm goes from {min(ends):.5g} to "
        f"{max(ends):.5g}. Do you mean {' '.join(advice)}?"
    )


def _divided(norm: Values, *, of_unit: bool) -> tuple[str, list[float]] | None:
    """Return what is wrong with norm, and what pixels should be divided by; None if nothing is.

    Args:
        norm: as in `Preprocessing`.
        of_unit: the mean is that of values from 0 to 1.
    """
    low, high = min(map(abs, norm)), max(map(abs, norm))
    if low == high == 1:
        return ("leaves pixels as they are", [_WHITE] * len(norm)) if of_unit else None
    if low > _MOST_FACTOR and high < 1:
        return (
            "looks like a standard deviation of values from 0 to 1, but is multiplied",
            [_WHITE * value for value in norm],
        )
    if low > 1 / _MOST_FACTOR:
        return "looks like a divisor, but is multiplied", list(norm)
    if low > 1:
        return "is for values from 0 to 1", [_WHITE / value for value in norm]
    return None


def _plain(values: Values) -> str:
    return _listed([f"{value:g}" for value in values], ",")


def _listed(texts: list[str], separator: str = ", ") -> str:
    """Return numbers as options take them: one for all channels where they are the same."""
    return texts[0] if len(set(texts)) == 1 else separator.join(texts)
