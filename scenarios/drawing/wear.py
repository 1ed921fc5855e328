"""Makes a clean page look like a bad scan: noise, tilt, blur, few pixels, JPEG artefacts, uneven light."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter


@dataclass(frozen=True)
class Wear:
    """What happens to a page. `tilt` is the steepest in degrees, `noise` in grey levels, `blur` in pixels."""

    name: str
    dpi: int = 200
    tilt: float = 0.0
    blur: float = 0.0
    noise: float = 0.0
    shade: float = 0.0
    jpeg: int | None = None


CLEAN = Wear("clean")
WEARS = (
    Wear("noisy", dpi=200, tilt=0.8, noise=14, blur=0.5),
    Wear("tilted", dpi=200, tilt=2.0, blur=0.6, noise=5),
    Wear("coarse", dpi=120, tilt=0.5, noise=4, jpeg=70),
    Wear("shaded", dpi=150, tilt=1.0, shade=0.45, noise=5, jpeg=60),
    Wear("faxed", dpi=100, tilt=1.2, blur=0.5, noise=8, jpeg=50),
)


def worn(page: Image.Image, wear: Wear, seed: int) -> Image.Image:
    """The page after its wear; the same seed wears it the same way. `page` is at the wear's resolution already."""
    chance = np.random.default_rng(seed)
    grey = page.convert("L")
    if wear.tilt:
        angle = float(chance.uniform(0.4, 1.0) * wear.tilt * chance.choice([-1, 1]))
        grey = grey.rotate(angle, resample=Image.Resampling.BICUBIC, fillcolor=255)
    if wear.blur:
        grey = grey.filter(ImageFilter.GaussianBlur(wear.blur))
    values = np.array(grey, dtype=np.float32)
    if wear.shade:
        rows, columns = np.mgrid[0 : values.shape[0], 0 : values.shape[1]]
        direction = chance.uniform(0, 2 * np.pi)
        slope = np.cos(direction) * columns / values.shape[1] + np.sin(direction) * rows / values.shape[0]
        slope = (slope - slope.min()) / max(float(np.ptp(slope)), 1e-6)
        values *= (1 - wear.shade * slope).astype(np.float32)
    if wear.noise:
        values = values * 0.94 + 8 + chance.normal(0, wear.noise, values.shape).astype(np.float32)
    result = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    if wear.jpeg:
        stream = io.BytesIO()
        result.save(stream, "JPEG", quality=wear.jpeg)
        result = Image.open(io.BytesIO(stream.getvalue()))
    return result.convert("RGB")
