"""How much memory the ServerApp takes: many sites, large updates, Flower's own push and pull.

    python benchmarks/server_memory.py --sites 20 --update-megabytes 100

A study of one stage runs in a process of its own, whose resident memory is read from the kernel: idle (everything
imported, nothing opened) and the highest moment of each phase. Messages go through the code that Flower's HTTP grid
uses to take messages apart and put them together (`push_objects`, `pull_objects`, `inflate_object_from_contents`),
with files in place of the network; sites live in another process. G is the fp32 size of the stage's groups; a reply is
the size of one encoded update. The figure to hold is: peak above idle <= 3 G + one reply, for any number of sites.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ |= {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "OMP_NUM_THREADS": "1"}

MEGABYTE = 1_000_000
#: A denoiser's tensors, roughly: one in four is four times as large as the others.
SHAPES = ((1024, 1024), (1024, 1024), (1024, 1024), (2048, 2048))


def shapes_of(parameters: int, prefix: str) -> dict[str, tuple[int, ...]]:
    """Tensors that add up to about so many parameters."""
    shapes: dict[str, tuple[int, ...]] = {}
    while parameters > 0:
        shape = SHAPES[len(shapes) % len(SHAPES)]
        shape = shape if shape[0] * shape[1] <= parameters else (1, parameters)
        shapes[f"{prefix}.{len(shapes):03d}.weight"] = shape
        parameters -= shape[0] * shape[1]
    return shapes


def write_inputs(folder: Path, options: argparse.Namespace) -> None:
    """A generator folder of the wanted size, and the study over it."""
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    parameters = int(options.update_megabytes * MEGABYTE / options.groups)
    flows = [f"ct{number}" for number in range(options.groups)]
    for flow in flows:
        path = folder / "generator" / "groups" / "diffusion" / f"{flow}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        shapes = shapes_of(parameters, f"diffusion.{flow}")
        save_file({name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}, path)
    (folder / "generator" / "config.json").write_text(json.dumps({"diffusion_subset": "attention"}))
    study = {
        "name": "memory",
        "flows": [{"name": flow} for flow in flows],
        "sites": [
            {"name": f"site-{number}", "flows": flows, "declared_patients": 100} for number in range(options.sites)
        ],
        "stages": [{"name": "diffuse", "rounds": options.rounds, "learning_rate": 1e-3}],
        "optimizer": {"name": options.optimizer},
        "federation": {"quorum": options.sites},
    }
    (folder / "study.json").write_text(json.dumps(study))


# --- the sites, in a process of their own -----------------------------------------------------------------------------


def play_sites(pipe: Connection, objects: Path, study_digest: str, shapes: dict[str, dict[str, Any]]) -> None:
    """Answer every question with an honest reply of the right size; its objects are left in `objects`."""
    import numpy as np
    from flwr.app import Message
    from flwr.supercore.inflatable.inflatable_object import get_object_tree, no_object_id_recompute
    from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents, push_objects

    from protocol.codes import Code
    from protocol.records import description_to_record, reply_to_record, train_request_from_record
    from protocol.requests import SiteDescription, TrainReply
    from protocol.version import VERSION

    identify()
    rng = np.random.default_rng(1)
    updates = {
        group: {name: 1e-3 * rng.standard_normal(shape, dtype=np.float32) for name, shape in arrays.items()}
        for group, arrays in shapes.items()  # as long as an honest update: a longer one is refused
    }
    while True:
        asked = pipe.recv()
        if asked is None:
            return
        message_id, site, kind, names = asked
        contents = {name: (objects / name).read_bytes() for name in names}
        message = inflate_object_from_contents(message_id, contents)
        message.metadata.__dict__["_message_id"] = message_id
        if kind == "query":
            answer = SiteDescription(site=site, versions={"fedm2g": VERSION}, studies=(study_digest,))
            record = description_to_record(answer)
        else:
            request = train_request_from_record(message.content, max_bytes=10**10)
            facts = {"site": site, "inputs_digest": request.inputs_digest}
            record = reply_to_record(TrainReply(code=Code.OK, updates=updates, **facts))
        reply = Message(record, reply_to=message)
        with no_object_id_recompute():
            reply.metadata.__dict__["_message_id"] = reply.object_id
            tree = get_object_tree(reply).SerializeToString()
            push_objects(nested(reply), lambda name, content: (objects / name).write_bytes(content) and None)
        pipe.send((reply.metadata.message_id, tree))
        del contents, message, reply, record


def nested(message: Any) -> dict[str, Any]:
    """All objects of a message, by id."""
    from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

    return get_all_nested_objects(message)


def identify() -> None:
    """Flower wants its processes to know who they are."""
    from flwr.supercore.task_identity import TaskIdentity

    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1


# --- the ServerApp, in the measured process ---------------------------------------------------------------------------


class Meter:
    """The highest resident memory of each phase, by the kernel's own high-water mark."""

    def __init__(self) -> None:
        self.peaks: dict[str, int] = {}
        self.name_of_phase = ""

    def phase(self, name: str) -> None:
        """What comes now is called `name`; what came before is written down."""
        Path("/proc/self/clear_refs").write_text("5")
        self.name_of_phase = name

    def note(self) -> None:
        """Remember the high-water mark of the running phase."""
        self.peaks[self.name_of_phase] = max(self.peaks.get(self.name_of_phase, 0), resident("VmHWM"))


def resident(field: str = "VmRSS") -> int:
    """Bytes of this process, as the kernel counts them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise RuntimeError(field)


def serve(folder: Path, pipe: Connection, objects: Path, out: Path) -> dict[str, Any]:
    """Run the study and return what it took."""
    from flwr.app import Message
    from flwr.proto.message_pb2 import ObjectTree
    from flwr.proto.node_pb2 import NodeInfo
    from flwr.serverapp import Grid
    from flwr.supercore.inflatable.inflatable_object import (
        get_object_tree,
        iterate_object_tree,
        no_object_id_recompute,
    )
    from flwr.supercore.inflatable.inflatable_utils import inflate_object_from_contents, pull_objects, push_objects

    import server.app
    from protocol.study import Study
    from server.memory import give_memory_back

    give_memory_back()  # as the ServerApp's entry point does
    identify()
    meter = Meter()
    study = Study.from_dict(json.loads((folder / "study.json").read_text()))
    names = {number: site.name for number, site in enumerate(study.sites, start=2)}

    class FileGrid(Grid):
        """`HttpGrid`, with files in place of requests."""

        def __init__(self) -> None:
            self._asked: dict[str, Any] = {}

        def set_run(self, run: Any) -> None: ...
        @property
        def run(self) -> Any: ...
        def create_message(self, *_: Any, **__: Any) -> Any: ...
        def send_and_receive(self, *_: Any, **__: Any) -> Any: ...
        def get_node_ids(self) -> Iterable[int]:
            return list(names)

        def get_nodes(self) -> Iterable[NodeInfo]:
            return [NodeInfo(node_id=node, name=name, status="online") for node, name in names.items()]

        def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
            meter.phase("push")
            everything: dict[str, Any] = {}
            message_ids = []
            with no_object_id_recompute():
                for message in messages:
                    message.metadata.__dict__["_message_id"] = message.object_id
                    everything.update(nested(message))
                    tree = [each.object_id for each in iterate_object_tree(get_object_tree(message))]
                    where = (names[message.metadata.dst_node_id], message.metadata.message_type, tree)
                    self._asked[message.metadata.message_id] = where
                    message_ids.append(message.metadata.message_id)
                push_objects(everything, lambda name, content: (objects / name).write_bytes(content) and None)
            meter.note()
            return message_ids

        def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
            for message_id in message_ids:
                if (asked := self._asked.pop(message_id, None)) is None:
                    return []
                meter.note()
                meter.phase("pull and fold")
                pipe.send((message_id, *asked))
                reply_id, tree = pipe.recv()
                order = [each.object_id for each in iterate_object_tree(ObjectTree.FromString(tree))]
                contents = pull_objects(order, lambda name: (objects / name).read_bytes())
                message = inflate_object_from_contents(reply_id, contents)
                message.metadata.__dict__["_message_id"] = reply_id
                meter.note()
                return [message]
            return []

    apply = server.app.RunState.apply

    def measured(*arguments: Any, **options: Any) -> None:
        meter.note()
        meter.phase("apply and checkpoint")
        apply(*arguments, **options)
        meter.note()

    server.app.RunState.apply = measured  # type: ignore[method-assign]
    time.sleep(0.2)
    idle = resident()
    meter.phase("start")
    began = time.monotonic()
    result = server.app.run_study(FileGrid(), study, generator_folder=folder / "generator", out=out)
    meter.note()
    assert result.completed and all(len(record.accepted) == len(study.sites) for record in result.records)
    seconds = [record.seconds for record in result.records]
    return {"idle": idle, "peaks": meter.peaks, "seconds": time.monotonic() - began, "rounds": seconds}


def measured_process(folder: Path, pipe: Connection, results: Connection, objects: Path) -> None:
    """Entry of the measured process."""
    results.send(serve(folder, pipe, objects, folder / "run"))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=20)
    parser.add_argument(
        "--update-megabytes", type=float, default=100.0, help="of one reply on the wire (8 bits a number)"
    )
    parser.add_argument("--groups", type=int, default=1, help="groups that share it")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fedm2g-memory-"))
    try:
        write_inputs(folder, options)
        figures = measure(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    group = 4 * options.update_megabytes * MEGABYTE
    reply = options.update_megabytes * MEGABYTE
    if options.json:
        print(json.dumps(figures | {"groups": group, "reply": reply}))
        return
    allowed, peak = 3 * group + reply, max(figures["peaks"].values()) - figures["idle"]
    print(
        f"{options.sites} sites, updates of {options.update_megabytes:g} MB in {options.groups} group(s), "
        f"{options.optimizer}, {options.rounds} rounds: {figures['seconds']:.0f} s"
    )
    print(f"{'':24} {'MB above idle':>14} {'of G':>6}")
    for phase, bytes_ in figures["peaks"].items():
        print(f"{phase:24} {(bytes_ - figures['idle']) / MEGABYTE:14.0f} {(bytes_ - figures['idle']) / group:6.2f}")
    print(f"{'peak':24} {peak / MEGABYTE:14.0f} {peak / group:6.2f}")
    print(f"{'allowed: 3 G + reply':24} {allowed / MEGABYTE:14.0f} {allowed / group:6.2f}")
    print(
        f"idle {figures['idle'] / MEGABYTE:.0f} MB; G {group / MEGABYTE:.0f} MB; "
        f"{'holds' if peak <= allowed else 'DOES NOT HOLD'}"
    )


def measure(folder: Path) -> dict[str, Any]:
    """Start sites and ServerApp, wait, and return the ServerApp's figures."""
    from protocol.digests import digest_folder
    from protocol.study import Study
    from protocol.version import VERSION

    study = Study.from_dict(json.loads((folder / "study.json").read_text()))
    digest = study.with_generator(digest=digest_folder(folder / "generator")).digest(version=VERSION)
    objects = folder / "objects"
    objects.mkdir()
    groups = {
        f"diffusion/{path.stem}": json_shapes(path)
        for path in sorted((folder / "generator" / "groups" / "diffusion").glob("*"))
    }
    spawn = multiprocessing.get_context("spawn")
    site_end, server_end = spawn.Pipe()
    results, sending = spawn.Pipe(duplex=False)
    sites = spawn.Process(target=play_sites, args=(site_end, objects, digest, groups))
    measured = spawn.Process(target=measured_process, args=(folder, server_end, sending, objects))
    sites.start()
    measured.start()
    sending.close()
    try:
        return dict(results.recv())
    finally:
        measured.join(timeout=10)
        sites.terminate()
        sites.join()


def json_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shapes in a safetensors header."""
    with path.open("rb") as stream:
        header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
    return {name: tuple(entry["shape"]) for name, entry in header.items() if name != "__metadata__"}


if __name__ == "__main__":
    main()
