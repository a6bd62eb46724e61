"""How probable it is that a query is of no category that the collection has."""

from __future__ import annotations

import math

FALSE_ALARM = 0.01
"""Share of ordinary queries whose best score is so low that "none of these" becomes as probable as not."""


def none_of_these(best: float | None, usual_best: float, usual_spread: float) -> float:
    """Probability that the query is of no category of the collection, from its best score.

    f² / (f² + F²), where F is the share of ordinary queries whose best score is lower (a normal distribution)
    and f = `FALSE_ALARM`. The squares leave ordinary queries alone: their mean is 0.016.

    Args:
        best: score of the nearest item; None: there is none.
        usual_best: median best score of the collection's own items as queries.
        usual_spread: standard deviation below that median; positive.
    """
    if best is None:
        return 1.0
    lower = 0.5 * math.erfc((usual_best - best) / (usual_spread * math.sqrt(2)))
    return FALSE_ALARM**2 / (FALSE_ALARM**2 + lower**2)
