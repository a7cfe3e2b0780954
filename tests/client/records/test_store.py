"""The store gives back what was put in, to the bit, to its own site only, and forgets when told to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from client.records import filing
from client.records.blocks import RECORDS_PER_BLOCK
from client.records.errors import RecordMissing, StoreUnusable
from client.records.store import RecordRow, RecordStore
from privacy.keys import SiteKeys


def _image(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(-1024, 4096, (64, 64)).astype(np.int16)


def _row(number: int, patient: str = "p0", flow: str = "ct") -> RecordRow:
    return RecordRow(f"r{number}", patient, "study", flow, "chest", "", "PA", "")


def _filled(folder: Path, count: int, patients: int = 5) -> RecordStore:
    store = RecordStore.create(folder)
    store.add_many(images=[(_row(number, f"p{number % patients}"), _image(number)) for number in range(count)])
    return store


def _everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted((folder / "records").iterdir()))


def test_images_come_back_to_the_bit_in_the_order_of_ingest(tmp_path: Path) -> None:
    count = 2 * RECORDS_PER_BLOCK + 7
    _filled(tmp_path, count).close()
    store = RecordStore.open(tmp_path)
    ids, pseudonyms, images = store.read_flow("ct")
    assert ids == [f"r{number}" for number in range(count)]
    assert pseudonyms == [f"p{number % 5}" for number in range(count)]
    for number in range(count):
        np.testing.assert_array_equal(images[number], _image(number))
        np.testing.assert_array_equal(store.image(f"r{number}"), _image(number))
    assert store.patients() == [f"p{number}" for number in range(5)]
    assert [row.record_id for row in store.records("p1", "ct")] == [f"r{number}" for number in range(1, count, 5)]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes=st.lists(st.integers(0, 90), min_size=1, max_size=4))
def test_it_does_not_matter_in_what_portions_images_are_added(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("site")
    store, number = RecordStore.create(folder), 0
    for size in sizes:
        store.add_many(images=[(_row(number + place), _image(number + place)) for place in range(size)])
        number += size
    ids, _, images = store.read_flow("ct")
    assert ids == [f"r{place}" for place in range(number)]
    assert all((images[place] == _image(place)).all() for place in range(number))
    assert len(list((folder / "records").glob("*.block"))) == -(-number // RECORDS_PER_BLOCK)


def test_a_record_that_is_there_already_changes_nothing(tmp_path: Path) -> None:
    store = _filled(tmp_path, 3)
    assert store.add_many(images=[(_row(1), _image(99)), (_row(3), _image(3)), (_row(3), _image(98))]) == 1
    np.testing.assert_array_equal(store.image("r1"), _image(1))
    np.testing.assert_array_equal(store.image("r3"), _image(3))
    assert store.counts() == {"ct": 4}


def test_reports_come_back_and_stand_nowhere_in_clear(tmp_path: Path) -> None:
    store = RecordStore.create(tmp_path)
    store.add_report(RecordRow("t1", "p1", "s", "text", text_kind="report"), "No pneumothorax. Ünïcode.")
    assert store.text("t1") == "No pneumothorax. Ünïcode."
    assert b"pneumothorax" not in _everything(tmp_path)


def test_nothing_of_an_image_stands_in_clear(tmp_path: Path) -> None:
    _filled(tmp_path, 3)
    content = _everything(tmp_path)
    assert _image(0)[0].tobytes() not in content and _image(2)[10, :8].tobytes() not in content


def test_another_sites_keys_do_not_open_it(tmp_path: Path) -> None:
    _filled(tmp_path / "one", 2)
    RecordStore.create(tmp_path / "two")
    (tmp_path / "one" / "keys").rename(tmp_path / "old")
    (tmp_path / "two" / "keys").rename(tmp_path / "one" / "keys")
    with pytest.raises(StoreUnusable, match="keys"):
        RecordStore.open(tmp_path / "one").image("r0")


def test_a_block_that_was_altered_or_exchanged_is_noticed(tmp_path: Path) -> None:
    store = _filled(tmp_path, RECORDS_PER_BLOCK + 1)
    first, second = sorted((tmp_path / "records").glob("*.block"), key=lambda path: path.stat().st_size)
    whole = second.read_bytes()
    second.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(StoreUnusable):
        RecordStore.open(tmp_path).image("r0")
    second.write_bytes(first.read_bytes())
    with pytest.raises(StoreUnusable):
        RecordStore.open(tmp_path).image("r0")
    store.close()


def test_forgetting_erases_the_patient_and_nobody_else(tmp_path: Path) -> None:
    count = RECORDS_PER_BLOCK + 20
    store = _filled(tmp_path, count)
    store.add_report(RecordRow("t1", "p1", "s", "text"), "of p1")
    store.add_report(RecordRow("t2", "p2", "s", "text"), "of p2")
    store.add_many(files=[("digest-1", "p1"), ("digest-2", "p2")])
    before = {path.name for path in (tmp_path / "records").glob("*.block")}
    gone = store.forget(["p1", "p1", "nobody"])
    assert gone == len(range(1, count, 5)) + 1
    assert "p1" not in store.patients() and store.records("p1") == [] and store.known_files() == {"digest-2"}
    for number in range(count):
        if number % 5 == 1:
            with pytest.raises(RecordMissing):
                store.image(f"r{number}")
        else:
            np.testing.assert_array_equal(store.image(f"r{number}"), _image(number))
    with pytest.raises(RecordMissing):
        store.text("t1")
    assert store.text("t2") == "of p2"
    assert not before & {path.name for path in (tmp_path / "records").glob("*.block")}  # every block held p1
    assert b"digest-1" not in _everything(tmp_path)


def test_forgetting_everybody_leaves_an_empty_store(tmp_path: Path) -> None:
    store = _filled(tmp_path, 10)
    store.forget(store.patients())
    assert store.patients() == [] and not list((tmp_path / "records").glob("*.block"))
    store.add_image(_row(0), _image(0))
    np.testing.assert_array_equal(store.image("r0"), _image(0))


def test_a_crash_while_adding_leaves_the_store_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = _filled(tmp_path, 5)

    def crash(*_: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(filing, "_insert", crash)
        with pytest.raises(OSError, match="disk full"):
            store.add_many(images=[(_row(number), _image(number)) for number in range(5, 200)])
    assert store.counts() == {"ct": 5} and len(list((tmp_path / "records").glob("*.block"))) == 1
    np.testing.assert_array_equal(store.image("r4"), _image(4))


def test_a_reader_sees_what_another_connection_replaced(tmp_path: Path) -> None:
    writer = _filled(tmp_path, 5)
    reader = RecordStore.open(tmp_path)
    reader.image("r0")
    writer.forget(["p1"])
    np.testing.assert_array_equal(reader.image("r0"), _image(0))
    with pytest.raises(RecordMissing):
        reader.image("r1")


def test_the_store_says_what_is_wrong_with_a_folder(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="site ingest"):
        RecordStore.open(tmp_path)
    RecordStore.create(tmp_path).close()
    with pytest.raises(StoreUnusable, match="already"):
        RecordStore.create(tmp_path)
    with pytest.raises(StoreUnusable, match="64 pixels, not 32"):
        RecordStore.open_or_create(tmp_path, image_size=32)
    (tmp_path / "records" / "index.sqlite").write_bytes(b"not a database at all, however long it may be" * 40)
    with pytest.raises(StoreUnusable, match="damaged"):
        RecordStore.open(tmp_path)


def test_images_of_another_size_or_type_are_refused(tmp_path: Path) -> None:
    store = RecordStore.create(tmp_path)
    for array in (np.zeros((32, 32), np.int16), np.zeros((64, 64), np.float32)):
        with pytest.raises(ValueError, match="int16, 64 x 64"):
            store.add_image(_row(0), array)


def test_only_the_owner_may_read_the_store_and_it_prints_nothing(tmp_path: Path) -> None:
    store = _filled(tmp_path, 2)
    assert (tmp_path / "records").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "records").iterdir())
    assert "p0" not in repr(store) + repr(store.records("p0")) + repr(SiteKeys.open(tmp_path))
