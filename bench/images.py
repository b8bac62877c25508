"""A thumbnail of a photo of 12 megapixels: a step in a child, against the same call of libvips."""

import asyncio
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

from bench.measure import Row, compare, say
from bench.processors import step, workshop

WIDTH, QUALITY = 800, 80
RUNS = 15
JOBS = 24
ROUNDS = 3


def photo(path: Path) -> None:
    """Write something like a photo: soft shapes with grain, 4000 x 3000, as JPEG."""
    from PIL import Image

    small = Image.effect_noise((500, 375), 80).resize((4000, 3000)).convert("RGB")
    grain = Image.effect_noise((4000, 3000), 20)
    slope = Image.linear_gradient("L").resize((4000, 3000))
    shapes = Image.merge("RGB", (slope, Image.radial_gradient("L").resize((4000, 3000)), grain))
    Image.blend(small, shapes, 0.6).save(path, quality=88)


def direct(source: str, target: str) -> float:
    """The same call in this process, with nothing around it, in ms."""
    import pyvips  # noqa: PLC0415  in the pool's processes

    pyvips.concurrency_set(1)
    pyvips.cache_set_max(0)
    begun = time.perf_counter()
    image = pyvips.Image.thumbnail(source, WIDTH, height=10_000_000, size="down", fail_on="error")
    image.jpegsave(target, Q=QUALITY, optimize_coding=True, keep="none")
    return (time.perf_counter() - begun) * 1000


def by_pillow(source: str, target: str) -> float:
    """The same thumbnail by Pillow, which decodes a smaller one as well, in ms."""
    from PIL import Image, ImageOps

    begun = time.perf_counter()
    with Image.open(source) as image:
        image.draft("RGB", (WIDTH, WIDTH))
        upright = ImageOps.exif_transpose(image)
        upright.thumbnail((WIDTH, 10_000), Image.Resampling.LANCZOS)
        upright.save(target, "JPEG", quality=QUALITY, optimize=True)
    return (time.perf_counter() - begun) * 1000


async def rows() -> list[Row]:
    """Measure the rows of this bench."""
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(2, context) as pool:
        async with workshop() as (sandbox, folder):
            source, target = folder / "photo.jpg", str(folder / "direct.jpg")
            photo(source)
            loop = asyncio.get_running_loop()

            async def child() -> float:
                took, _, _ = await step(
                    sandbox, folder, "image.resize", source, "image/jpeg", width=WIDTH
                )
                return took

            async def plain(number: int) -> float:
                return await loop.run_in_executor(pool, direct, str(source), f"{target}-{number}")

            await asyncio.gather(child(), *(plain(number) for number in range(4)))
            ours, theirs, pillow = [], [], []
            for _ in range(RUNS):
                ours.append(await child())
                theirs.append(await plain(0))
                pillow.append(await loop.run_in_executor(pool, by_pillow, str(source), target))
            say(f"alone: child {median(ours):.1f} ms, direct {median(theirs):.1f} ms")
            rates, limits = [], []
            for _ in range(ROUNDS):
                begun = time.perf_counter()
                await asyncio.gather(*(child() for _ in range(JOBS)))
                rates.append(JOBS / (time.perf_counter() - begun))
                begun = time.perf_counter()
                await asyncio.gather(*(plain(number) for number in range(JOBS)))
                limits.append(JOBS / (time.perf_counter() - begun))
                say(f"under load: {rates[-1]:.1f} and {limits[-1]:.1f} a second")
    added = median(ours) - median(theirs)
    return [
        compare(
            "thumbnail of 12 MP, 4 children at a time",
            rates,
            limits,
            unit="per s",
            at_least=0.8,
            is_cost=False,
        ),
        Row(
            name="thumbnail of 12 MP alone, what a child adds",
            value=median(ours),
            limit=median(theirs),
            ratio=added,
            unit="ms, ms more",
            runs=RUNS,
            at_most=15,
        ),
        compare("thumbnail of 12 MP alone, of Pillow's", ours, pillow, unit="ms"),
    ]
