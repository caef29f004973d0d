"""Average the weights of two training runs of which the second began with the first.

    python scripts/average_weights.py FIRST SECOND SHARE OUT

OUT holds ``(1 - SHARE) * FIRST + SHARE * SECOND`` and the card of SECOND. If the second run began with the weights of
the first, the mean is often better than both (arXiv 2109.01903, arXiv 2203.05482).
"""

import sys

import torch

from coralbay_core.models.loading import build, open_weights, save_weights


def main(first: str, second: str, share: float, out: str) -> None:
    """Write the mean of two files of weights."""
    (card, new), (_, old) = open_weights(second), open_weights(first)
    mean = {key: torch.lerp(old.state[key].float(), tensor.float(), share) for key, tensor in new.state.items()}
    save_weights(out, build(card, mean), card.to_toml())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4])
