"""Amazon Rekognition's picture operations, with small real models.

What is real: the labels, the text, the faces' boxes and the moderation score come from the picture's pixels. What is
not: the models know less than Rekognition's. Nothing is made up to fill the gap, so

* `Instances` of a label is always empty, as the label model gives no boxes, and there is no label for a person;
* a face has a box, a confidence and a quality, but no landmarks, pose or attributes; only frontal faces are found;
* moderation knows one label, `Explicit`, and no content types;
* what cannot be answered (image properties, face attributes, adapters, human review) is refused, and the error says so.

Names of labels are this project's; see `local/services/models/labels.csv`.

Sources, read 2026-11-23: "Guidelines and quotas in Amazon Rekognition", "Error handling" and "Using the image and video
moderation APIs", Amazon Rekognition Developer Guide; what each member means and defaults to: the documentation in
botocore's service model (1.43.106), which is the API Reference's text.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from local.services.pictures import HugePicture, Picture, UnreadablePicture
from local.services.wire import Caller, JsonService, ObjectUnavailable, Operation, ServiceError

if TYPE_CHECKING:
    from local.services.models.faces import Face
    from local.services.models.labels import Finding
    from local.services.models.text import Line, Point, Word

Request = Mapping[str, Any]
Members = dict[str, Any]

# Bytes in the request are limited to 5 MB by the service model itself, hence by the wire.
MAXIMUM_OBJECT_BYTES = 15 * 1024 * 1024
MINIMUM_SIDE = 80
# Documented for DetectLabels and DetectModerationLabels; here the other two keep to it too, for the memory's sake.
MAXIMUM_SIDE = 10_000

DEFAULT_LABEL_CONFIDENCE = 55.0
DEFAULT_MODERATION_CONFIDENCE = 50.0
DEFAULT_WORD_CONFIDENCE = 80.0
MAXIMUM_LABELS = 1000
MAXIMUM_FACES = 100
MAXIMUM_WORDS = 100
MAXIMUM_POLYGON_POINTS = 10

# No model looks at more pixels than these keep, and a large JPEG is decoded many times faster to a part of its size.
FACES_SHORTER_SIDE = 1080
MODERATION_SHORTER_SIDE = 512
TEXT_SHORTER_SIDE = 2000

_T = TypeVar("_T")


class Rekognition(JsonService):
    """DetectLabels, DetectText, DetectFaces and DetectModerationLabels."""

    name: ClassVar[str] = "rekognition"
    iam_namespace: ClassVar[str] = "rekognition"
    target_prefix: ClassVar[str] = "RekognitionService"

    def operations(self) -> Mapping[str, Operation]:
        """Served operations by their API name."""
        return {
            "DetectFaces": detect_faces,
            "DetectLabels": detect_labels,
            "DetectModerationLabels": detect_moderation_labels,
            "DetectText": detect_text,
        }


def detect_labels(request: Request, caller: Caller) -> Members:
    """Labels with at least MinConfidence (55 unless told), surest first, with all their ancestors.

    MaxLabels keeps the surest ones (1000 at most). A label filter keeps or drops labels by their exact name, a category
    filter by category; with both kinds of inclusion a label needs one of them, and an exclusion always wins. Raises
    ServiceError.
    """
    if "IMAGE_PROPERTIES" in request.get("Features", ()):
        raise _not_served("the IMAGE_PROPERTIES feature of DetectLabels")
    from local.services.models.labels import MODEL_VERSION, hierarchy, label_model

    picture = _picture(request["Image"], caller)
    probabilities = _decoding(lambda: label_model().classify_picture(picture))
    found = hierarchy().findings(probabilities, request.get("MinConfidence", DEFAULT_LABEL_CONFIDENCE))
    kept = _filtered(found, request.get("Settings", {}).get("GeneralLabels", {}))
    return {
        "Labels": [
            _label_members(one) for one in kept[: min(request.get("MaxLabels", MAXIMUM_LABELS), MAXIMUM_LABELS)]
        ],
        "LabelModelVersion": MODEL_VERSION,
    }


def detect_text(request: Request, caller: Caller) -> Members:
    """Lines in reading order, then their words: at most 100 words, and only lines that have one of them.

    WordFilter drops words below its MinConfidence (80 unless told) and smaller than its box; RegionsOfInterest keeps
    words of which more than half lies in one of the regions. Raises ServiceError.
    """
    from local.services.models.text import MODEL_VERSION, text_model

    filters = request.get("Filters", {})
    regions = [_region_corners(region) for region in filters.get("RegionsOfInterest", ())]
    picture = _picture(request["Image"], caller)
    pixels = _decoding(lambda: picture.decode(shorter_side=TEXT_SHORTER_SIDE))
    lines = text_model().read(pixels)
    kept = [
        (number, word)
        for number, line in enumerate(lines)
        for word in line.words
        if _passes(word, filters.get("WordFilter")) and (not regions or _lies_in(word, regions))
    ][:MAXIMUM_WORDS]
    identifiers = {number: identifier for identifier, number in enumerate(dict.fromkeys(number for number, _ in kept))}
    return {
        "TextDetections": [
            *(_text_members(lines[number], "LINE", identifier) for number, identifier in identifiers.items()),
            *(
                _text_members(word, "WORD", identifier) | {"ParentId": identifiers[number]}
                for identifier, (number, word) in enumerate(kept, start=len(identifiers))
            ),
        ],
        "TextModelVersion": MODEL_VERSION,
    }


def detect_faces(request: Request, caller: Caller) -> Members:
    """Frontal faces, the largest first, at most 100: each a box, a confidence and a quality. Raises ServiceError."""
    if unserved := sorted(set(request.get("Attributes", ())) - {"DEFAULT"}):
        raise _not_served(f"the face attributes {', '.join(unserved)} of DetectFaces")
    from local.services.models.faces import face_model

    picture = _picture(request["Image"], caller)
    pixels = _decoding(lambda: picture.decode(shorter_side=FACES_SHORTER_SIDE))
    faces = face_model().find(pixels)
    return {"FaceDetails": [_face_members(face) for face in faces[:MAXIMUM_FACES]]}


def detect_moderation_labels(request: Request, caller: Caller) -> Members:
    """The top-level label `Explicit` of taxonomy version 7, if at least MinConfidence (50 unless told) sure.

    The levels below it tell kinds of explicit content apart, which the model cannot. Raises ServiceError.
    """
    for member, what in (("HumanLoopConfig", "human review"), ("ProjectVersion", "an adapter")):
        if member in request:
            raise _not_served(f"{what} ({member}) in DetectModerationLabels")
    from local.services.models.moderation import MODEL_VERSION, moderation_model

    picture = _picture(request["Image"], caller)
    pixels = _decoding(lambda: picture.decode(shorter_side=MODERATION_SHORTER_SIDE))
    confidence = moderation_model().explicit(pixels)
    label = {"Name": "Explicit", "ParentName": "", "TaxonomyLevel": 1, "Confidence": confidence}
    wanted = confidence >= request.get("MinConfidence", DEFAULT_MODERATION_CONFIDENCE)
    return {"ModerationLabels": [label] if wanted else [], "ModerationModelVersion": MODEL_VERSION, "ContentTypes": []}


def _picture(image: Request, caller: Caller) -> Picture:
    if len(image) != 1:
        raise _invalid_parameters()
    picture = _opened(image["Bytes"] if "Bytes" in image else _read_object(image["S3Object"], caller))
    # Observed codes: ImageTooLargeException for more than 10,000 pixels, InvalidParameterException for fewer than 80
    # (boto/botocore issue 1366).
    if max(picture.width, picture.height) > MAXIMUM_SIDE:
        raise ServiceError(
            "ImageTooLargeException",
            f"Input image dimensions {picture.width} x {picture.height} exceed maximum dimension size of "
            f"{MAXIMUM_SIDE} pixels",
        )
    if min(picture.width, picture.height) < MINIMUM_SIDE:
        raise _invalid_parameters()
    return picture


def _opened(data: bytes) -> Picture:
    try:
        return Picture.open(data)
    except HugePicture as error:
        raise ServiceError("ImageTooLargeException", "Image dimensions exceed the maximum limit.") from error
    except UnreadablePicture as error:
        raise _invalid_format() from error


def _read_object(reference: Request, caller: Caller) -> bytes:
    if not {"Bucket", "Name"} <= reference.keys():
        raise ServiceError("InvalidS3ObjectException", "Request has invalid S3 object.")
    try:
        data = caller.read_object(reference["Bucket"], reference["Name"], reference.get("Version"))
    except ObjectUnavailable as error:
        # Rekognition does not tell a missing object from one that the caller may not read.
        raise ServiceError(
            "InvalidS3ObjectException",
            "Unable to get object metadata from S3. Check object key, region and/or access permissions.",
        ) from error
    if len(data) > MAXIMUM_OBJECT_BYTES:
        raise ServiceError("ImageTooLargeException", "Image size is too large.")
    return data


def _decoding(work: Callable[[], _T]) -> _T:
    try:
        return work()
    except UnreadablePicture as error:
        raise _invalid_format() from error


def _invalid_format() -> ServiceError:
    return ServiceError("InvalidImageFormatException", "Request has invalid image format")


def _invalid_parameters() -> ServiceError:
    return ServiceError("InvalidParameterException", "Request has invalid parameters")


def _not_served(what: str) -> ServiceError:
    return ServiceError("NotImplemented", f"This local cloud does not serve {what}: it has no model for it.", 501)


def _filtered(found: Iterable["Finding"], filters: Request) -> list["Finding"]:
    names, no_names = set(filters.get("LabelInclusionFilters", ())), set(filters.get("LabelExclusionFilters", ()))
    categories = set(filters.get("LabelCategoryInclusionFilters", ()))
    no_categories = set(filters.get("LabelCategoryExclusionFilters", ()))
    return [
        one
        for one in found
        if (not (names or categories) or one.label.name in names or categories & set(one.label.categories))
        and one.label.name not in no_names
        and not no_categories & set(one.label.categories)
    ]


def _label_members(one: "Finding") -> Members:
    return {
        "Name": one.label.name,
        "Confidence": one.confidence,
        "Instances": [],
        "Parents": [{"Name": name} for name in one.label.ancestors],
        "Aliases": [],
        "Categories": [{"Name": name} for name in one.label.categories],
    }


def _text_members(text: "Line | Word", kind: str, identifier: int) -> Members:
    return {
        "DetectedText": text.text,
        "Type": kind,
        "Id": identifier,
        "Confidence": text.confidence,
        "Geometry": {
            "BoundingBox": _bounding_box(text.polygon),
            "Polygon": [{"X": x, "Y": y} for x, y in text.polygon],
        },
    }


def _face_members(face: "Face") -> Members:
    return {
        "BoundingBox": {"Left": face.left, "Top": face.top, "Width": face.width, "Height": face.height},
        "Confidence": face.confidence,
        "Quality": {"Brightness": face.brightness, "Sharpness": face.sharpness},
    }


def _bounding_box(corners: Sequence["Point"]) -> dict[str, float]:
    left, top = (min(values) for values in zip(*corners, strict=True))
    right, bottom = (max(values) for values in zip(*corners, strict=True))
    return {"Left": left, "Top": top, "Width": right - left, "Height": bottom - top}


def _passes(word: "Word", word_filter: Request | None) -> bool:
    if word_filter is None:
        return True
    box = _bounding_box(word.polygon)
    lowest: float = word_filter.get("MinConfidence", DEFAULT_WORD_CONFIDENCE)
    height: float = word_filter.get("MinBoundingBoxHeight", 0)
    width: float = word_filter.get("MinBoundingBoxWidth", 0)
    return word.confidence >= lowest and box["Height"] >= height and box["Width"] >= width


def _region_corners(region: Request) -> list["Point"]:
    if region.keys() == {"BoundingBox"} and region["BoundingBox"].keys() == {"Left", "Top", "Width", "Height"}:
        box = region["BoundingBox"]
        left, top, right, bottom = box["Left"], box["Top"], box["Left"] + box["Width"], box["Top"] + box["Height"]
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    polygon = region.get("Polygon", ())
    if region.keys() != {"Polygon"} or not 3 <= len(polygon) <= MAXIMUM_POLYGON_POINTS:
        raise _invalid_parameters()
    if any(point.keys() != {"X", "Y"} for point in polygon):
        raise _invalid_parameters()
    return [(point["X"], point["Y"]) for point in polygon]


def _lies_in(word: "Word", regions: Iterable[Sequence["Point"]]) -> bool:
    """Whether more than half of the word's box lies in one region."""
    box = _bounding_box(word.polygon)
    half = box["Width"] * box["Height"] / 2
    return any(_area(_cut(corners, box)) > half for corners in regions)


def _cut(corners: Sequence["Point"], box: Mapping[str, float]) -> list["Point"]:
    """The part of a polygon inside an upright box (Sutherland and Hodgman's way: one side of the box after another)."""
    left, top, right, bottom = box["Left"], box["Top"], box["Left"] + box["Width"], box["Top"] + box["Height"]
    rest = list(corners)
    for axis, limit, sign in ((0, left, 1), (0, right, -1), (1, top, 1), (1, bottom, -1)):
        inside = [sign * (point[axis] - limit) for point in rest]
        kept: list[Point] = []
        for number, point in enumerate(rest):
            before, previous = inside[number - 1], rest[number - 1]
            if (before < 0) != (inside[number] < 0):
                share = before / (before - inside[number])
                kept.append(
                    (previous[0] + share * (point[0] - previous[0]), previous[1] + share * (point[1] - previous[1]))
                )
            if inside[number] >= 0:
                kept.append(point)
        rest = kept
    return rest


def _area(corners: Sequence["Point"]) -> float:
    pairs = zip(corners, [*corners[1:], *corners[:1]], strict=True)
    return abs(sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in pairs)) / 2
