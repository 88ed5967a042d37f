"""Image files as people have them: what of a file is in the file of its result."""

from __future__ import annotations

import re
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from skimage.color import lab2rgb

from n2n_lib.denoiser.image_files import Kept, read_image
from n2n_lib.denoiser.images import load_image, save_image

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "using.md"

HEIGHT, WIDTH = 7, 9
DPI = (300, 200)
ALPHA, ORIENTATION = "alpha", 0x0112


def random(dtype: str, channels: int = 3, top: float | None = None) -> np.ndarray:
    shape = (HEIGHT, WIDTH, channels) if channels > 1 else (HEIGHT, WIDTH)
    unit = np.random.default_rng(channels).random(shape)
    unit.flat[:2] = 0, 1
    if np.dtype(dtype).kind == "f":
        return (unit * (top or 1)).astype(dtype)
    return (unit * (top or np.iinfo(dtype).max)).round().astype(dtype)


def rgb_profile() -> bytes:
    """A profile as Display P3's is: RGB, and not sRGB."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()[:-1] + b"\7"


def grey_profile() -> bytes:
    return rgb_profile()[:16] + b"GRAY" + rgb_profile()[20:]


INKS = {"white": (0, (255, 128, 128)), "cyan": (8, (150, 128, 128)), "black": (1, (0, 128, 128))}
"""Corners of the CMYK cube by their place in the table, and L*a*b* in bytes."""


def cmyk_profile() -> bytes:
    """A profile of a press whose cyan is a grey."""
    table = np.zeros((16, 3), np.uint8)
    table[:] = 0, 128, 128
    for place, lab in INKS.values():
        table[place] = lab
    matrix = struct.pack(">9i", *(65536 * (n in (0, 4, 8)) for n in range(9)))
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + 4 * ramp + table.tobytes() + 3 * ramp
    white = struct.pack(">3i", 63190, 65536, 54061)
    size = 128 + 4 + 12 + len(lut)
    head = struct.pack(">I4sI4s4s4s", size, b"none", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    head += bytes(12) + b"acsp" + bytes(28) + white
    return head.ljust(128, b"\0") + struct.pack(">I4sII", 1, b"A2B0", 144, len(lut)) + lut


def exif(orientation: int = 1) -> Image.Exif:
    noted = Image.Exif()
    noted[ORIENTATION], noted[0x010F] = orientation, "A maker of cameras"
    noted[0x8769] = {0x9003: "2026:01:02 03:04:05", 0xA002: WIDTH, 0xA003: HEIGHT}
    noted[0x8825] = {1: "N", 2: (47.0, 30.0, 1.5)}
    return noted


def by_pillow(values: np.ndarray | None, mode: str | None = None, **options) -> Callable:
    def write(path: Path) -> None:
        image = Image.fromarray(random("uint8") if values is None else values)
        (image.convert(mode) if mode else image).save(path, **options)

    return write


def chunk(kind: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def deep_png(channels: int, extras: bytes = b"") -> Callable:
    """Write a PNG file of 16 bits, in the simplest way that there is."""

    def write(path: Path) -> None:
        values = random("uint16", channels)
        colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
        head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 16, colour, 0, 0, 0)
        lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        pixels = chunk(b"IDAT", zlib.compress(lines))
        whole = chunk(b"IHDR", head) + extras + pixels + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + whole)

    return write


def deep_extras(orientation: int) -> bytes:
    packed = b"Profile\0\0" + zlib.compress(rgb_profile())
    meters = struct.pack(">IIB", *(round(n / 0.0254) for n in DPI), 1)
    noted = exif(orientation).tobytes()[6:]
    return chunk(b"iCCP", packed) + chunk(b"pHYs", meters) + chunk(b"eXIf", noted)


def tiff(values: np.ndarray, photometric: str, **options) -> Callable:
    def write(path: Path) -> None:
        tifffile.imwrite(path, values, photometric=photometric, **options)

    return write


def pages(path: Path) -> None:
    page = Image.fromarray(random("uint8"))
    page.save(path, save_all=True, append_images=[page, page])


ALL = {"icc_profile": rgb_profile(), "dpi": DPI}
TURNED = ALL | {"exif": exif(6).tobytes()}
PALETTE = Image.fromarray(random("uint8")).quantize(16)
TAGGED = {"iccprofile": rgb_profile(), "resolution": DPI, "resolutionunit": 2}
MINIS, MINISWHITE = "minisblack", "miniswhite"

KINDS: dict[str, tuple[str, Callable]] = {
    "JPEG, camera turned": ("a.jpg", by_pillow(None, quality=95, **TURNED)),
    "JPEG, grey": ("b.jpeg", by_pillow(None, "L", icc_profile=grey_profile())),
    "JPEG, CMYK with a profile": ("c.jpg", by_pillow(None, "CMYK", icc_profile=cmyk_profile())),
    "PNG": ("d.png", by_pillow(None, **TURNED)),
    "PNG, grey": ("e.png", by_pillow(None, "L", icc_profile=grey_profile())),
    "PNG, grey and alpha": ("f.png", by_pillow(random("uint8", 4), "LA")),
    "PNG, alpha": ("g.png", by_pillow(random("uint8", 4), **ALL)),
    "PNG, palette": ("h.png", lambda path: PALETTE.save(path)),
    "PNG, palette, transparent": ("i.png", lambda path: PALETTE.save(path, transparency=3)),
    "PNG, 1 bit": ("j.png", by_pillow(None, "1")),
    "PNG, 16 bits": ("k.png", deep_png(3, deep_extras(6))),
    "PNG, 16 bits, alpha": ("l.png", deep_png(4)),
    "PNG, 16 bits, grey": ("m.png", deep_png(1)),
    "PNG, 16 bits, grey and alpha": ("n.png", deep_png(2)),
    "TIFF": ("o.tif", by_pillow(None, **TURNED)),
    "TIFF, alpha, LZW": ("p.tif", by_pillow(random("uint8", 4), compression="tiff_lzw", **ALL)),
    "TIFF, 16 bits": ("q.tiff", tiff(random("uint16"), "rgb", **TAGGED)),
    "TIFF, 16 bits, ZIP": ("r.tif", tiff(random("uint16"), "rgb", compression="zlib", **TAGGED)),
    "TIFF, 16 bits, alpha": ("s.tif", tiff(random("uint16", 4), "rgb", extrasamples=[2])),
    "TIFF, 16 bits, planes": (
        "t.tif",
        tiff(random("uint16").transpose(2, 0, 1), "rgb", planarconfig="separate", **TAGGED),
    ),
    "TIFF, 16 bits, grey": ("u.tif", tiff(random("uint16", 1), MINIS)),
    "TIFF, 12 bits in 16": ("v.tif", tiff(random("uint16", 1, 4095), MINIS)),
    "TIFF, white is zero": ("w.tif", tiff(random("uint8", 1), MINISWHITE)),
    "TIFF, 16 bits, white is zero": ("x.tif", tiff(random("uint16", 1), MINISWHITE)),
    "TIFF, int32": ("y.tif", tiff(random("int32", 1, 1_000_000), MINIS)),
    "TIFF, float32, grey": ("z.tif", tiff(random("float32", 1, 5000), MINIS)),
    "TIFF, float32": ("A.tif", tiff(random("float32"), "rgb", **TAGGED)),
    "TIFF, float16": ("B.tif", tiff(random("float16"), "rgb")),
    "TIFF, several pages": ("C.tif", pages),
    "WebP, alpha": ("D.webp", by_pillow(random("uint8", 4), lossless=True, exact=True)),
    "BMP": ("E.bmp", by_pillow(None, dpi=DPI)),
    "PPM": ("F.ppm", by_pillow(None)),
    "GIF": ("G.gif", lambda path: PALETTE.save(path)),
}
"""Files by what they are: their names, and functions that write them."""


# --------------------------------------------------------------------------------------------------
# Independent looks into files


def chunks(path: Path) -> dict[bytes, bytes]:
    """The parts of a PNG file; the pixels are unpacked."""
    whole, found, place = path.read_bytes(), {}, 8
    while place < len(whole):
        size, kind = struct.unpack(">I4s", whole[place : place + 8])
        found[kind] = found.get(kind, b"") + whole[place + 8 : place + 8 + size]
        place += 12 + size
    found[b"IDAT"] = zlib.decompress(found[b"IDAT"])
    return found


PNG_KINDS = {0: "grey", 2: "RGB", 3: "palette", 4: "grey and alpha", 6: "RGB and alpha"}
MODES = {"L": "grey", "RGBA": "RGB and alpha", "P": "palette"}


def described(path: Path) -> str:
    """Format, type of numbers and channels of a file."""
    start = path.read_bytes()[:4]
    if start == b"\x89PNG":
        _, _, depth, colour = struct.unpack(">IIBB", chunks(path)[b"IHDR"][:10])
        return f"PNG, {depth} bits, {PNG_KINDS[colour]}"
    if start[:2] in (b"II", b"MM"):
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            colour = "RGB" if page.photometric == 2 else "grey"
            alpha = " and alpha" if page.extrasamples else ""
            bits = page.dtype.itemsize * 8
            kind = f"{bits} bits" if page.dtype.kind == "u" else page.dtype
            return f"TIFF, {kind}, {colour}{alpha}"
    with Image.open(path) as image:
        return f"{image.format}, 8 bits, {MODES.get(image.mode, image.mode)}"


def stored(path: Path) -> np.ndarray:
    """The numbers ``(H, W, C)`` in a file, by other decoders where we have our own."""
    start = path.read_bytes()[:4]
    if start == b"\x89PNG" and ", 16 bits" in described(path):
        found = chunks(path)
        width, height, _, colour = struct.unpack(">IIBB", found[b"IHDR"][:10])
        size = 2 * {0: 1, 4: 2, 2: 3, 6: 4}[colour]
        lines = np.frombuffer(found[b"IDAT"], np.uint8).reshape(height, -1)
        pixels = lines[:, 1:].reshape(height, width, size)
        assert set(lines[:, 0]) <= {0, 1}
        whole = [
            p.cumsum(0, np.uint8) if line[0] else p for line, p in zip(lines, pixels, strict=True)
        ]
        return np.ascontiguousarray(whole).view(">u2").astype(np.uint16)
    if start[:2] in (b"II", b"MM") and not path.name.startswith("p."):
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            values = page.asarray()
            if page.photometric == 0:
                values = np.iinfo(values.dtype).max - values
            return np.atleast_3d(np.moveaxis(values, 0, 2) if page.planarconfig == 2 else values)
    with Image.open(path) as image:
        if image.mode in ("P", "1"):
            image = image.convert(
                "RGBA" if "transparency" in image.info else "RGB" if image.mode == "P" else "L"
            )
        return np.atleast_3d(np.array(image))


def metadata(path: Path) -> dict[str, object]:
    """Profile, resolution and EXIF, by Pillow, which reads these of 16-bit and float files too."""
    try:
        image = Image.open(path)
    except OSError:
        with tifffile.TiffFile(path) as file:
            tags = file.pages.first.tags
            if 34675 not in tags:
                return {}
            dpi = [tags[tag].value[0] / tags[tag].value[1] for tag in (282, 283)]
            return {"profile": tags[34675].value, "resolution": tuple(map(round, dpi))}
    with image:
        found: dict[str, object] = {"profile": image.info.get("icc_profile")}
        if "dpi" in image.info and image.info["dpi"] != (1, 1):
            found["resolution"] = tuple(round(float(n)) for n in image.info["dpi"])
        noted = image.getexif()
        if 0x010F in noted:
            found["EXIF"] = (noted[0x010F], noted.get_ifd(0x8769)[0x9003], noted.get_ifd(0x8825))
            sizes = noted.get_ifd(0x8769)
            found["size"] = sizes[0xA002], sizes[0xA003]
        return {name: value for name, value in found.items() if value}


# --------------------------------------------------------------------------------------------------
# What is kept


def passed(path: Path) -> tuple[Path, Kept]:
    """What a denoiser that changes nothing makes of a file."""
    image, kept = read_image(path)
    assert image.dtype == (torch.uint8 if kept.dtype == "uint8" else torch.float32)
    result = path.with_name(f"{path.stem}-denoised{kept.suffix}")
    save_image(image, result, kept=kept)
    return result, kept


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict[str, tuple[Path, Path, Kept]]:
    folder, made = tmp_path_factory.mktemp("files"), {}
    for number, (kind, (name, write)) in enumerate(KINDS.items()):
        place = folder / str(number)
        place.mkdir()
        write(place / name)
        made[kind] = place / name, *passed(place / name)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_the_numbers_of_a_file_come_back(kind: str, results):
    source, result, kept = results[kind]
    before, after = stored(source), stored(result)
    if "turned" in kind or kind in ("PNG", "TIFF", "PNG, 16 bits"):
        before = np.rot90(before, -1)
    if "CMYK" in kind:
        return  # see below
    assert after.dtype == before.dtype or "1 bit" in kind
    assert after.shape == before.shape
    if result.suffix == ".jpg":
        assert np.abs(after.astype(float) - before).mean() < 8  # noise is hard on JPEG
    elif before.dtype.kind == "f":
        assert np.allclose(after, before, rtol=1e-3 if before.dtype == np.float16 else 1e-6)
    else:
        assert np.array_equal(after, before)


@pytest.mark.parametrize("kind", KINDS)
def test_profile_exif_and_resolution_come_back(kind: str, results):
    source, result, kept = results[kind]
    before, after = metadata(source), metadata(result)
    if "CMYK" in kind:
        before = {}
    if source.name[0] in "adko":  # taken with the camera turned, and turned back
        assert before["resolution"] == DPI and before["size"] == (WIDTH, HEIGHT)
        before |= {"resolution": DPI[::-1], "size": (HEIGHT, WIDTH)}
        assert "EXIF" in before
    assert after == before
    with result.open("rb") as file:
        try:
            assert Image.open(file).getexif().get(ORIENTATION, 1) == 1
        except OSError:  # float colours, which Pillow does not know
            assert kept.dtype.startswith("float")


def row(kind: str, source: Path, result: Path, kept: Kept) -> str:
    """A line of the table in the guide."""
    names = [name for name in ("profile", "EXIF", "resolution") if name in metadata(result)]
    return f"| {kind} | {described(result)} | {', '.join(names)} | {'; '.join(kept.remarks)} |"


def test_the_guide_tells_what_becomes_of_every_kind(results):
    lines = [row(kind, *made) for kind, made in results.items()]
    head = ["| your file | the result | carried over | said |", "|---|---|---|---|"]
    table = re.search(r"(?m)^\| your file .*\n(?:\|.*\n)+", GUIDE.read_text(encoding="utf-8"))
    assert table[0].splitlines() == head + lines, "\n".join(head + lines)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "b.tif", "deep.png", "deep.tif"])
def test_whichever_way_the_camera_was_held_the_result_is_upright(
    name: str, orientation: int, tmp_path: Path
):
    turned = {  # rows and columns of what is seen, from those of what is stored
        1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: np.rot90(a, 2), 4: lambda a: a[::-1],
        5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: np.rot90,
    }[orientation]  # fmt: skip
    path = tmp_path / name
    if name == "deep.png":
        deep_png(3, deep_extras(orientation))(path)
    elif name == "deep.tif":
        tag = (ORIENTATION, "H", 1, orientation)
        tifffile.imwrite(path, random("uint16"), photometric="rgb", extratags=[tag])
    else:  # alpha, without compression: such a file Pillow maps into memory
        values = random("uint8", 4 if name == "b.tif" else 3)
        Image.fromarray(values).save(path, exif=exif(orientation).tobytes())
    result, _ = passed(path)
    if name != "a.jpg":
        assert np.array_equal(stored(result), turned(stored(path)))
    with Image.open(result) as image:
        assert image.size == turned(np.zeros((HEIGHT, WIDTH))).T.shape
        assert image.getexif().get(ORIENTATION, 1) == 1


def test_white_is_zero_is_no_negative(results):
    for kind in ("TIFF, white is zero", "TIFF, 16 bits, white is zero"):
        source, *_ = results[kind]
        with tifffile.TiffFile(source) as file:
            values = file.pages.first.asarray()
        image, kept = read_image(source)
        assert values.flat[0] == 0 and image[0, 0, 0] == 255  # as stored, as seen
        assert values.flat[1] == np.iinfo(values.dtype).max and image[0, 0, 1] == 0


def test_cmyk_looks_as_its_profile_says(tmp_path: Path):
    for name, (place, lab) in INKS.items():
        inks = tuple(255 * (place >> bit & 1) for bit in (3, 2, 1, 0))
        path = tmp_path / f"{name}.tif"
        Image.new("CMYK", (8, 8), inks).save(path, icc_profile=cmyk_profile())
        colour = read_image(path)[0][:, 0, 0].numpy()
        expected = lab2rgb([lab[0] / 2.55, lab[1] - 128, lab[2] - 128]) * 255
        assert np.allclose(colour, expected, atol=2), name


def test_colours_multiplied_by_alpha_are_divided_by_it(tmp_path: Path):
    values = np.array([[[1000, 2000, 3000, 32768], [7, 7, 7, 0]]], np.uint16)
    for name, options in (("a.tif", {}), ("b.tif", {"planarconfig": "separate"})):
        held = values if not options else np.moveaxis(values, 2, 0)
        tifffile.imwrite(tmp_path / name, held, photometric="rgb", extrasamples=[1], **options)
        result, kept = passed(tmp_path / name)
        assert stored(result)[0].tolist() == [[2000, 4000, 6000, 32768], [7, 7, 7, 0]]


def test_a_colour_that_is_transparent_in_16_bits(tmp_path: Path):
    first = random("uint16")[2, 3]
    deep_png(3, chunk(b"tRNS", struct.pack(">3H", *first)))(tmp_path / "a.png")
    result, kept = passed(tmp_path / "a.png")
    clear = np.argwhere(stored(result)[..., 3] == 0).tolist()
    assert clear == [[2, 3]] and np.array_equal(stored(result)[..., :3], random("uint16"))


@pytest.mark.parametrize("white, said", [(255, ()), (1000, ("reduced to 8 bits",))])
def test_ppm_of_more_bits_is_reduced_and_said(white: int, said: tuple, tmp_path: Path):
    (tmp_path / "a.ppm").write_text(f"P3 1 1 {white} 0 {white} {white // 5}")
    image, kept = read_image(tmp_path / "a.ppm")
    assert image.flatten().tolist() == [0, 255, 51] and kept.remarks == said
    (tmp_path / "b.pbm").write_text("P1 2 1 0 1")
    assert read_image(tmp_path / "b.pbm")[0][0].tolist() == [[255, 0]]


def test_descriptions_that_count_pages_are_left_out(tmp_path: Path):
    pages = np.stack([random("uint16", 1)] * 3)
    tifffile.imwrite(tmp_path / "a.tif", pages, imagej=True)
    result, kept = passed(tmp_path / "a.tif")
    assert kept.remarks == ("the first of 3 pages",)
    with tifffile.TiffFile(result) as file:
        assert not file.is_imagej and file.asarray().shape == (HEIGHT, WIDTH)


def test_one_pixel_of_every_kind(tmp_path: Path):
    for dtype in ("uint8", "uint16", "int32", "float32"):
        for channels in (1, 3):
            for value in (0, 1):
                path = tmp_path / "a.tif"
                values = np.full((1, 1, 3) if channels == 3 else (1, 1), value, dtype)
                photometric = "rgb" if channels == 3 else MINIS
                tifffile.imwrite(path, values, photometric=photometric)
                result, _ = passed(path)
                assert np.array_equal(stored(result), np.atleast_3d(values))


@pytest.mark.parametrize(
    "low, high, white",
    [(0, 0.7, 1), (0, 200, 255), (0, 60000, 65535), (0, 5, 5), (0, 0.01, 0.01), (-2, 3, 3)],
)
def test_floats_have_a_range_that_is_said(low, high, white, tmp_path: Path):
    values = np.linspace(low, high, 63, dtype=np.float32).reshape(7, 9)
    tifffile.imwrite(tmp_path / "a.tif", values)
    image, kept = read_image(tmp_path / "a.tif")
    assert (kept.black, kept.white) == pytest.approx((low, white))
    assert kept.remarks == (f"values from {low} to {white} taken for black to white",)
    unit = (values - kept.black) / (kept.white - kept.black)
    assert np.allclose(image[0] / 255, unit, atol=1e-6)
    assert np.allclose(stored(passed(tmp_path / "a.tif")[0])[..., 0], values, atol=1e-6 * white)


@pytest.mark.parametrize("highest, white", [(900, 1023), (4095, 4095), (5000, 65535)])
def test_numbers_of_16_bits_that_fill_fewer(highest: int, white: int, tmp_path: Path):
    """A picture is hardly exposed to a sixteenth of what it could show, but often to a quarter."""
    values = random("uint16", 3, highest)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb")
    image, kept = read_image(tmp_path / "a.tif")
    assert image.max().item() == pytest.approx(255 * highest / white)
    said = f"values from 0 to {white} taken for black to white"
    assert kept.remarks == ((said,) if white < 65535 else ())
    assert np.array_equal(stored(passed(tmp_path / "a.tif")[0]), values)


def test_results_between_two_bytes_survive(tmp_path: Path):
    """Sixteen bits are not rounded to eight on the way out, either."""
    image = torch.full((3, 2, 2), 100.25)
    save_image(image, tmp_path / "a.png", kept=Kept(dtype="uint16", white=65535))
    assert (stored(tmp_path / "a.png") == round(100.25 * 257)).all()


# --------------------------------------------------------------------------------------------------
# What is refused


def cut_profile(path: Path) -> None:
    Image.new("CMYK", (8, 8)).save(path, icc_profile=cmyk_profile()[:200])


def lzw_floats(path: Path) -> None:
    """Floats whose compression is said to be LZW, which only much larger packages unpack."""
    tifffile.imwrite(path, random("float32"), photometric="rgb")
    whole = path.read_bytes()
    place = whole.index(struct.pack("<HHI", 259, 3, 1)) + 8
    path.write_bytes(whole[:place] + b"\5" + whole[place + 1 :])


def no_rows(path: Path) -> None:
    tifffile.imwrite(path, random("uint8"), photometric="rgb", rowsperstrip=HEIGHT)
    whole = path.read_bytes()
    place = whole.index(struct.pack("<HHI", 257, 4, 1)) + 8
    path.write_bytes(whole[:place] + bytes(4) + whole[place + 4 :])


def bomb(path: Path) -> None:
    """Nine by seven pixels that unpack to a gigabyte."""
    tifffile.imwrite(path, random("float32"), photometric="rgb", compression="zlib")
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(10**7)) for _ in range(100)) + packer.flush()
    whole = path.read_bytes()
    for tag, value in ((273, len(whole)), (279, len(packed))):
        found = re.search(struct.pack("<H", tag) + b"[\3\4]\0\1\0\0\0", whole)
        entry = struct.pack("<HHII", tag, 4, 1, value)
        whole = whole[: found.start()] + entry + whole[found.start() + 12 :]
    path.write_bytes(whole + packed)


NAN = np.full((7, 9), np.nan, np.float32)


@pytest.mark.parametrize(
    "name, write, message",
    [
        ("a.tif", tiff(NAN, MINIS), "finite values, got NaN"),
        ("b.tif", tiff(np.stack([NAN] * 3, 2), "rgb"), "finite values, got NaN"),
        ("c.jpg", by_pillow(None, "CMYK"), "expected CMYK with a colour profile"),
        ("d.tif", cut_profile, "got one that does not work"),
        ("e.tif", tiff(random("uint16", 5), MINIS, planarconfig="contig"), "got 5 channels"),
        ("f.tif", lzw_floats, "without compression or with ZIP, got LZW"),
        ("g.tif", bomb, "unreadable file"),
        ("h.tif", tiff(random("float32", 1).astype(complex), MINIS), "flat images of numbers"),
        ("i.tif", by_pillow(None, "LAB", icc_profile=None), "expected LAB with a colour profile"),
        ("k.tif", no_rows, "an image with pixels, got none"),
        ("j.tif", lambda path: path.write_bytes(b"II*\0\x08\0\0\0"), "unreadable file"),
    ],
)
def test_what_cannot_be_kept_is_refused(name: str, write: Callable, message: str, tmp_path: Path):
    write(tmp_path / name)
    with pytest.raises(ValueError, match=message) as refused:
        read_image(tmp_path / name)
    assert name in str(refused.value)


@pytest.mark.parametrize("kind", ["uint16", "float32"])
def test_too_many_pixels_of_many_bits(kind: str, tmp_path: Path, monkeypatch):
    tiff(random(kind), "rgb")(tmp_path / "a.tif")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(ValueError, match="at most 20 pixels, got more.*a.tif"):
        read_image(tmp_path / "a.tif")


def test_damaged_exif_is_left_out_and_said(tmp_path: Path):
    """The place is no numbers, but text."""
    numbers, text = struct.pack(">HHI", 2, 5, 3), struct.pack(">HHI", 2, 2, 3)
    damaged = exif().tobytes().replace(numbers, text)
    by_pillow(None, exif=damaged)(tmp_path / "a.jpg")
    result, kept = passed(tmp_path / "a.jpg")
    assert kept.remarks[-1] == "its EXIF left out, which is damaged" and kept.exif is None


@pytest.mark.parametrize(
    "name, kept, message",
    [
        ("a.jpg", Kept(dtype="uint16", white=65535.0), "ending in .png for uint16, got .*a.jpg"),
        ("a.png", Kept(".tif", dtype="float32", white=1.0), "ending in .tif for float32"),
        ("a.bmp", Kept(alpha=np.zeros((7, 9), np.uint8)), "for uint8 with alpha"),
        ("a.png", Kept(alpha=np.zeros((9, 7), np.uint8)), r"alpha of the size .*\(9, 7\)"),
    ],
)
def test_a_format_that_does_not_hold_what_was_kept(name: str, kept: Kept, message, tmp_path: Path):
    with pytest.raises(ValueError, match=message):
        save_image(torch.zeros(3, 7, 9), tmp_path / name, kept=kept)
    assert not list(tmp_path.iterdir())


# --------------------------------------------------------------------------------------------------
# Raw files


def test_a_raw_file_names_the_package_that_it_needs(tmp_path: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.tif")
    raw = (tmp_path / "a.tif").rename(tmp_path / "a.NEF")  # Pillow would show its small preview
    with pytest.raises(ValueError, match=r"rawpy.*got none .*'n2n-lib\[raw\]'.*a.NEF"):
        read_image(raw)


def dng(path: Path, sensor: np.ndarray) -> None:
    """Write what a sensor with red, green, green and blue pixels saw, 14 bits."""
    matrix = [(n, 10000) for n in (31339, -16169, -4906, -9785, 19160, 333, 719, -2290, 14052)]
    tags = [
        (271, "s", 0, "A maker", True),
        (272, "s", 0, "A model", True),
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, (0, 1, 1, 2), True),
        (50706, "B", 4, (1, 4, 0, 0), True),
        (50708, "s", 0, "A maker's model", True),
        (50714, "H", 1, 0, True),
        (50717, "I", 1, 16383, True),
        (50721, "2i", 9, [n for pair in matrix for n in pair], True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),
        (50778, "H", 1, 21, True),
    ]
    tifffile.imwrite(path, sensor, photometric="cfa", extratags=tags, metadata=None)


def test_a_raw_file_is_developed_to_16_bits(tmp_path: Path):
    pytest.importorskip("rawpy")
    sensor = np.full((64, 96), 4000, np.uint16)
    sensor[:, 48:] = 9000
    dng(tmp_path / "a.dng", sensor)
    image, kept = read_image(tmp_path / "a.dng")
    assert (kept.suffix, kept.dtype, kept.grey) == (".tif", "uint16", False)
    assert kept.remarks == ("developed, written as TIFF",)
    assert image.shape == (3, 64, 96)
    dark, bright = image[:, 32, 20], image[:, 32, 80]
    assert (bright > dark + 30).all() and (dark > 30).all()
    save_image(image, tmp_path / "b.tif", kept=kept)
    assert tifffile.imread(tmp_path / "b.tif").dtype == np.uint16
    with Image.open(tmp_path / "b.tif") as result:
        assert result.getexif()[271] == "A maker"


def test_a_damaged_raw_file(tmp_path: Path):
    pytest.importorskip("rawpy")
    (tmp_path / "a.cr2").write_bytes(b"II*\0" + bytes(100))
    with pytest.raises(ValueError, match=r"unreadable file.*a.cr2"):
        load_image(tmp_path / "a.cr2")
