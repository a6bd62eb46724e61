"""The relation of two images, from the evidence in their pixels, with the reasons in words.

The limits were chosen on copies and hard negatives from one half of the images of `bench.duplicates`; what
they achieve on the other half is in docs/duplicates.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lookalike.duplicates.alignment import align, refine, starts
from lookalike.duplicates.evidence import TEXTURE, Evidence, measure
from lookalike.duplicates.original import Traces
from lookalike.duplicates.samples import Edges, Luma, Sample, levels_of
from lookalike.duplicates.tone import Tone

Relation = Literal["same", "variant", "similar"]
Flags = NDArray[np.bool_]

MIN_GLANCE_FIT = 0.4
"""Correlation of two images, or of one with the middle of the other, at 16 × 16 pixels. Of 1,240 copies of
photos, one was below; of pairs of other photos, over 90 %."""
MIN_FIT = 0.85
"""Correlation of aligned images below which they have no structure in common."""
MIN_COVERED = 0.95
"""Share of one of the images that the other must contain."""
MIN_OVERLAP = 0.5
"""Share of the other one."""
MAX_BITS = 31
"""PDQ's own limit, here for the hashes of the common parts, without a label. A watermark is seen
through, so it counts: other content in the middle changes more bits."""
MIN_STRUCTURE = 0.65
MIN_DETAIL = 0.45
MAX_COLOUR = 13.0
MAX_LIGHT = 12.5
"""Limits for each block. A JPEG of quality 10 stays within them."""
TONED_COLOUR, TONED_LIGHT, TONED_DETAIL = 7.0, 8.0, 0.6
"""The same in a drawing, or on white, if one is brighter: it may be a variant in a darker colour."""
SHADE_GAIN = 1.04
MIN_SHADES = 0.1
"""Share of the even area that has another colour than the rest, if a drawing was made brighter."""
PHOTO_TEXTURE = 0.7
PHOTO_WHITE = 0.3
"""A photo has fine detail nearly everywhere, which no other photo repeats; a drawing has not. Only in photos
may a part differ, because all other parts prove that it is the same photo."""
MAX_STRAY = 0.01
"""Share of differing blocks of a photo that need no explanation."""
STRAY_SLACK = 1.25
"""In a drawing, these blocks must stay within limits that are wider by this factor."""
MAX_LABEL = 0.14
"""Share of blocks that a label may cover, near the edge of a photo."""
MAX_CAPTION = 0.14
MIN_CAPTION_WIDTH = 0.95
"""Height and width of a strip with a caption, which a drawing may have, too."""
MIN_CAPTIONED = 0.2
"""Share of blocks with fine detail in the rest of it."""
EDGE = 0.22
"""Share of width and height, on each side, that is near the edge."""
MAX_MARK = 0.13
MIN_MARK_DETAIL = 0.2
MAX_MARK_CHANGE = 50.0
MIN_ONE_SIDED = 0.85
"""A watermark only adds light, or only takes it, and the photo is seen through it."""
VARIANT_AGREEMENT = 0.75
"""Share of the blocks with edges that variants have in common."""
GREY, COLOURED = 3.0, 8.0
"""Mean colourfulness below which an image is black and white, and above which it is not."""
NO_COLOUR, TINTED = 1.0, 2.5
"""The same for an image without any colour: compression leaves a tint where there was one."""
MIRROR_FIT = 0.9
HIDDEN = ("label", "caption")
"""Changes behind which the picture is not seen."""
CLIPPED_GAIN = 1.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """What two images are to each other.

    Attributes:
        relation: `same`, `variant` or `similar`.
        reasons: in words, for people.
        traces: of editing, in the first and in the second image.
    """

    relation: Relation
    reasons: tuple[str, ...]
    traces: tuple[Traces, Traces] = (Traces(), Traces())

    def swapped(self) -> Verdict:
        """The verdict of the second image and the first."""
        return Verdict(self.relation, self.reasons, (self.traces[1], self.traces[0]))


def judge(a: Sample, b: Sample) -> Verdict:
    """Compare two images."""
    evidence = compare(a, b)
    if evidence is not None:
        verdict = _judged(a, b, evidence)
        if verdict.relation != "similar":
            return verdict
    else:
        verdict = Verdict("similar", ("other structure",))
    return Verdict("variant", ("mirrored",)) if _is_mirrored(a, b) else verdict


def compare(a: Sample, b: Sample) -> Evidence | None:
    """The evidence of two images; None: they have no structure in common."""
    if not _may_match(a, b):
        return None
    alignment = align(a.levels, b.levels, starts(a.content, b.content))
    if alignment is None or alignment.fit < MIN_FIT:
        return None
    evidence = measure(a, b, alignment)
    if evidence is None or evidence.tone.is_none:
        return evidence
    # Clipped tones pull an alignment that knows of gain and offset only.
    return measure(a, b, refine(*_toned_levels(a, b, evidence.tone), alignment)) or evidence


def _toned_levels(a: Sample, b: Sample, tone: Tone) -> tuple[list[Luma], list[Luma]]:
    """Both images in the tone of the brighter one, for an alignment."""
    if tone.gain >= 1:
        return levels_of(a.image.point(tone.table().tolist() * 3).convert("L")), b.levels
    return a.levels, levels_of(b.image.point(tone.inverse().table().tolist() * 3).convert("L"))


def _may_match(a: Sample, b: Sample) -> bool:
    """Whether it is worth while to align two images: a hundred times faster than doing it."""
    whole_a, whole_b = a.glances[0], b.glances[0]
    if not whole_a.any() or not whole_b.any():
        return True
    best = max((a.glances @ whole_b).max(), (b.glances @ whole_a).max(), a.glances[-1] @ b.glances[-1])
    return bool(best >= MIN_GLANCE_FIT)


def _judged(a: Sample, b: Sample, evidence: Evidence) -> Verdict:
    structural, coloured = _differing(evidence)
    differing = structural | coloured
    covered = sorted(_area(edges) for edges in evidence.overlap)
    if covered[1] < MIN_COVERED or covered[0] < MIN_OVERLAP:
        return Verdict("similar", ("only a part in common",))
    if _lost_colour(*evidence.saturation) and structural.mean() <= MAX_STRAY:
        return Verdict("variant", (_structure_words(evidence.bits()), "one is black and white"))
    change = _change(evidence, differing)
    if change is not None:
        bits = evidence.bits(differing if change in HIDDEN else None)
        if bits is None or bits <= MAX_BITS:
            if _is_other_shade(evidence):
                return Verdict("variant", (_structure_words(bits), "one colour, in another shade"))
            return _same(a, b, evidence, bits, change, differing)
    edges = np.maximum(*evidence.edges) > TEXTURE**2
    # Another colour has another contrast, so only the correlation counts.
    correlated = evidence.detail >= MIN_DETAIL
    agreeing = float(correlated[edges].mean()) if edges.any() else 0.0
    where = f"{_percent(differing)} of the area"
    what = "colours" if (~correlated).mean() < coloured.mean() / 2 else "details"
    difference = f"other {what} in {where}"
    if agreeing >= VARIANT_AGREEMENT:
        bits = evidence.bits()
        alike = bits is None or bits <= MAX_BITS
        return Verdict("variant", (_structure_words(bits) if alike else "same outline", difference))
    return Verdict("similar", (difference,))


def _lost_colour(one: float, other: float) -> bool:
    """Whether one of two colourfulnesses is that of a black and white image, and the other is not."""
    least, most = sorted((one, other))
    return (least < GREY and most > COLOURED) or (least < NO_COLOUR and most > TINTED)


def _is_other_shade(evidence: Evidence) -> bool:
    """Whether a drawing has only one colour, and that is brighter in one of both: a variant in grey, say."""
    gain = evidence.tone.gain
    return max(gain, 1 / gain) > SHADE_GAIN and evidence.shades < MIN_SHADES and not _is_photo(evidence)


def _differing(evidence: Evidence, slack: float = 1.0) -> tuple[Flags, Flags]:
    """Blocks that differ in structure, and blocks that differ in colour or brightness.

    Args:
        slack: more than 1 widens the limits.
    """
    strict = evidence.tone.gain != 1 and not _is_photo(evidence)
    structural = evidence.structure < MIN_STRUCTURE / slack
    structural |= evidence.detail < (TONED_DETAIL if strict else MIN_DETAIL) / slack
    coloured = evidence.wide_colour > TONED_COLOUR * slack if strict else evidence.colour > MAX_COLOUR * slack
    coloured |= evidence.light > (TONED_LIGHT if strict else MAX_LIGHT) * slack
    return structural, coloured


def _change(evidence: Evidence, differing: Flags) -> str | None:
    """What explains differing blocks: as in `Traces.edits`; "": none differ; None: other content."""
    share = float(differing.mean())
    if share <= MAX_STRAY and (_is_photo(evidence) or _is_nearly_equal(evidence)):
        return ""
    if _is_caption(evidence, differing):
        return "caption"
    return _photo_change(evidence, differing, share) if _is_photo(evidence) else None


def _is_nearly_equal(evidence: Evidence) -> bool:
    """Whether no block differs by more than compression may bring it over a limit."""
    return not np.logical_or(*_differing(evidence, STRAY_SLACK)).any()


def _photo_change(evidence: Evidence, differing: Flags, share: float) -> str | None:
    inner = differing & _inner(differing.shape)
    if not inner.any() and share <= MAX_LABEL:
        return "label"
    strongest = max(float(each[differing].max()) for each in (evidence.light, evidence.colour))
    seen = float(evidence.detail[differing].mean()) >= MIN_MARK_DETAIL and strongest <= MAX_MARK_CHANGE
    if share <= MAX_MARK and seen and evidence.one_sided >= MIN_ONE_SIDED:
        return "watermark"
    return None


def _is_caption(evidence: Evidence, differing: Flags) -> bool:
    """Whether all that differs is a strip along the whole upper or lower edge, of a detailed picture."""
    count = max(1, round(MAX_CAPTION * len(differing)))
    for rows, rest in ((slice(None, count), slice(count, None)), (slice(-count, None), slice(None, -count))):
        if not differing[rest].any():
            edge = differing[0] if rows.start is None else differing[-1]
            fine = np.minimum(*evidence.edges)[rest] > TEXTURE**2
            return bool(edge.mean() >= MIN_CAPTION_WIDTH and fine.mean() >= MIN_CAPTIONED)
    return False


def _is_photo(evidence: Evidence) -> bool:
    return evidence.texture >= PHOTO_TEXTURE and evidence.white <= PHOTO_WHITE


def _same(
    a: Sample, b: Sample, evidence: Evidence, bits: int | None, change: str, differing: Flags
) -> Verdict:
    edits: tuple[set[str], set[str]] = (set(), set())
    words = [_structure_words(bits)]
    gain = evidence.tone.gain
    if abs(gain - 1) < 0.03 and abs(evidence.tone.offset) < 3:
        words.append("same colours")
    else:
        words.append("same colours, brighter or darker")
        bright = 1 if gain > 1 else 0
        if max(gain, 1 / gain) > CLIPPED_GAIN and (a, b)[bright].clipped > (a, b)[1 - bright].clipped + 0.005:
            edits[bright].add("clipped tones")
    if change:
        words.append(f"one has a {change}")
        sums = [float(edges[differing].sum()) for edges in evidence.edges]
        edits[int(sums[1] > sums[0])].add(f"a {change}")
    _add_frame(a, b, evidence, words, edits)
    traces = tuple(
        Traces(frozenset(edit), sample.facts.camera, sample.facts.quantisation)
        for edit, sample in zip(edits, (a, b), strict=True)
    )
    return Verdict("same", tuple(words), traces)  # type: ignore[arg-type]  # a pair


def _add_frame(
    a: Sample, b: Sample, evidence: Evidence, words: list[str], edits: tuple[set[str], set[str]]
) -> None:
    """Note that one is cropped, or has a border around it."""
    for larger, sample in ((0, a), (1, b)):
        edges = evidence.overlap[larger]
        if _area(edges) >= 0.97 or _area(edges) >= _area(evidence.overlap[1 - larger]):
            continue
        # The rest of the larger one is of one colour: a border was added. Else the smaller one is a crop.
        if sample.is_plain_outside(edges):
            words.append("one has a border")
            edits[larger].add("a border")
        else:
            words.append(f"one is cropped to {_area(edges):.0%} of the other")
            edits[1 - larger].add("cropped")


def _is_mirrored(a: Sample, b: Sample) -> bool:
    mirrored = a.mirrored()
    if not _may_match(mirrored, b):
        return False
    alignment = align(mirrored.levels, b.levels, [(1.0, 1.0, 0.0, 0.0)])
    if alignment is None or alignment.fit < MIRROR_FIT:
        return False
    evidence = measure(mirrored, b, alignment)
    return evidence is not None and _judged(mirrored, b, evidence).relation == "same"


def _structure_words(bits: int | None) -> str:
    return "same structure" if bits is None else f"same structure ({bits} of 256 bits differ)"


def _inner(shape: tuple[int, ...]) -> Flags:
    inner = np.zeros(shape, bool)
    rows, columns = (max(1, round(EDGE * length)) for length in shape)
    inner[rows : shape[0] - rows, columns : shape[1] - columns] = True
    return inner


def _area(edges: Edges) -> float:
    return (edges[2] - edges[0]) * (edges[3] - edges[1])


def _percent(flags: Flags) -> str:
    share = float(flags.mean())
    return f"{share:.0%}" if share >= 0.01 else "less than 1%"
