"""DICOM files per second against the loop that one writes with pydicom, on two cores; and memory over many files.

    OMP_NUM_THREADS=1 python benchmarks/ingest.py [PATIENTS] [--flat FILES]

The loop: `dcmread`, `pixel_array`, the modality's rescale, a resize to 64 px, `numpy.save`. Ours: `fedm2g site ingest`
with two workers, which also checks, finds faces and burned-in text, de-identifies, turns, encrypts and indexes. Between
them a loop that asks of every file what ours asks of it (`client/records/dicom.py`) and saves what is left, so that
what those checks cost and what processes gain stand apart. The same phantom export (512 px, as a scanner writes) for
all, in turns, medians of five. With --flat, memory of this process and its workers while so many
small files are ingested.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from client.records import dicom
from client.records.ingest import ingest
from client.records.reasons import Quarantined
from privacy.keys import SiteKeys
from simulations.phantoms.export import export_hospital

TURNS = 5


def by_pydicom(source: Path, into: Path) -> int:
    """Files of the export as arrays of 64 px. Returns how many."""
    import pydicom
    from pydicom.pixels import apply_modality_lut
    from scipy.ndimage import zoom

    done = 0
    into.mkdir()
    for path in sorted(source.rglob("*.dcm")):
        header = pydicom.dcmread(path)
        pixels = np.asarray(apply_modality_lut(header.pixel_array, header), np.float32)
        small = zoom(pixels, 64 / max(pixels.shape), order=1)
        np.save(into / f"{done}.npy", small.astype(np.int16))
        done += 1
    return done


def with_our_checks(source: Path, into: Path) -> int:
    """The same loop, of which every file is read as a hospital's."""
    done = 0
    into.mkdir()
    for path in sorted(source.rglob("*.dcm")):
        readings = dicom.read(path.read_bytes(), image_size=64)
        assert not isinstance(readings, Quarantined), readings
        for reading in readings:
            np.save(into / f"{done}.npy", reading.array)
            done += 1
    return done


def by_us(source: Path, into: Path) -> int:
    """The same export into a store."""
    SiteKeys.create(into)
    report = ingest(into, source, workers=2)
    assert report.quarantined == 0, report
    return report.ingested


WAYS = {"pydicom loop": by_pydicom, "with our checks": with_our_checks, "fedm2g site ingest": by_us}


def compare(source: Path, folder: Path) -> None:
    """All of them, in turns."""
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for turn in range(TURNS):
        for name, way in WAYS.items():
            into = folder / f"{turn}-{name[0]}"
            began = time.perf_counter()
            files = way(source, into)
            found[name].append(files / (time.perf_counter() - began))
            shutil.rmtree(into)
    ours = found["fedm2g site ingest"]
    for name, rates in found.items():
        times = statistics.median(own / other for own, other in zip(ours, rates, strict=True))
        print(f"{name:20} {statistics.median(rates):7.1f} files/s    ours {times:.2f}x")


def flat(folder: Path, files: int) -> None:
    """Peak memory of all processes at every tenth of an ingest of many small files."""
    source = folder / "many"
    export_hospital(folder / "one", patients=20, seed=5, population="hospital-ct", size=64)
    originals = sorted((folder / "one").rglob("*.dcm"))
    _multiply(originals, source, files)
    SiteKeys.create(folder / "site")
    seen: list[str] = []

    def look(done: int, total: int) -> None:
        if done % max(1, total // 10) == 0:
            seen.append(f"{done}: {_resident() / 2**20:.0f} MiB")

    began = time.perf_counter()
    report = ingest(folder / "site", source, workers=2, progress=look)
    print(f"{report.ingested} files in {time.perf_counter() - began:.0f} s; " + "; ".join(seen))


def _multiply(originals: list[Path], into: Path, files: int) -> None:
    """So many different files: copies with a changed instance number and one changed pixel."""
    import pydicom

    for number in range(files):
        folder = into / f"{number // 1000:04d}"
        folder.mkdir(parents=True, exist_ok=True)
        header = pydicom.dcmread(originals[number % len(originals)])
        header.PatientID = f"P{number // 50}"
        header.InstanceNumber = number
        pixels = header.pixel_array.copy()
        pixels.flat[number % pixels.size] ^= 1
        header.PixelData = pixels.tobytes()
        header.save_as(folder / f"{number}.dcm")


def _resident() -> float:
    """Bytes that this process and its children hold."""
    total = 0.0
    for pid in [str(os.getpid()), *Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        total += next((float(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")), 0.0)
    return total * 1024


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patients", nargs="?", type=int, default=40)
    parser.add_argument("--flat", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fedm2g-ingest-"))
    try:
        if options.flat:
            flat(folder, options.flat)
            return
        export_hospital(
            folder / "export", patients=options.patients, seed=3, population="hospital-university", size=512
        )
        compare(folder / "export", folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
