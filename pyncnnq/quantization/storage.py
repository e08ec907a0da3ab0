"""How a rewritten model stores a blob of the model that it was made from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class BlobStorage:
    """The values of a blob by the stored numbers: value = gain * stored + offset, channel by channel.

    Attributes:
        gain, offset: in the units of the blob, shape (channels,) each, or (1,) where all channels are alike.  The
            channels of a matrix are its columns, the channels of a vector its elements.
    """

    gain: Floats
    offset: Floats

    @property
    def is_plain(self) -> bool:
        """Whether the values themselves are stored."""
        return bool((self.gain == 1).all() and (self.offset == 0).all())

    def then(self, later: BlobStorage) -> BlobStorage:
        """Return the storage after another rewrite, which stores what this storage holds in its own way."""
        return BlobStorage(self.gain * later.gain, self.gain * later.offset + self.offset)


PLAIN = BlobStorage(np.ones(1), np.zeros(1))
"""The storage of a blob that is stored as it is."""
