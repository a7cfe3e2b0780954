"""Run by test_ray_engine.py in a process of its own (Ray leaves threads and handles): one study on Ray and locally.

python ray_program.py GENERATOR_FOLDER OUT  ->  one line of JSON
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from protocol.codes import Code
from protocol.digests import digest_folder
from protocol.records import description_to_record, reply_to_record, train_request_from_record
from protocol.requests import SiteDescription, TrainReply
from protocol.study import Study
from protocol.version import VERSION
from server.app import run_study
from simulations.local_grid import LocalGrid
from simulations.ray_engine import run_study_on_ray

STUDY = {
    "name": "two",
    "flows": [{"name": "ct"}, {"name": "xray"}],
    "sites": [
        {"name": "north", "flows": ["ct"], "declared_patients": 60},
        {"name": "south", "flows": ["ct", "xray"], "declared_patients": 60},
    ],
    "stages": [{"name": "align", "rounds": 2, "learning_rate": 0.1}],
    "federation": {"quorum": 2, "deadline_seconds": 60.0},
}
FACTOR = "FEDM2G_TEST_FACTOR"


def make_app(names: list[str], study_digest: str) -> ClientApp:
    """A relay over no vault: it pulls every parameter to zero, by its place and by what the environment says."""
    app = ClientApp()

    @app.query()
    def query(message: Message, context: Context) -> Message:
        name = names[int(context.node_config["partition-id"])]
        answer = SiteDescription(site=name, versions={"fedm2g": VERSION}, studies=(study_digest,))
        return Message(description_to_record(answer), reply_to=message)

    @app.train()
    def train(message: Message, context: Context) -> Message:
        request = train_request_from_record(message.content, max_bytes=1_000_000)
        place = int(context.node_config["partition-id"])
        rate = np.float32(0.01 * (1 + place) * float(os.environ[FACTOR]))
        updates = {
            group: {name: -rate * array for name, array in request.groups[group].items()} for group in request.trains
        }
        reply = TrainReply(
            code=Code.OK,
            site=names[place],
            inputs_digest=request.inputs_digest,
            updates=updates,
            metrics={"process": float(os.getpid())},
        )
        return Message(reply_to_record(reply), reply_to=message)

    return app


def main(folder: Path, out: Path) -> None:
    """Both engines, the same study."""
    study = Study.from_dict(STUDY).with_generator(digest=digest_folder(folder))
    names = [site.name for site in study.sites]
    app = make_app(names, study.digest(version=VERSION))
    on_ray = run_study_on_ray(study, app, environment={FACTOR: "2.0"}, cpus=2, generator_folder=folder, out=out / "ray")
    restored = FACTOR not in os.environ
    os.environ[FACTOR] = "2.0"
    run_study(LocalGrid(dict.fromkeys(names, app)), study, generator_folder=folder, out=out / "local")
    processes = {outcome.metrics["process"] for record in on_ray.records for outcome in record.sites.values()}
    facts = {
        "completed": on_ray.completed,
        "rounds": [[record.stage, record.round_number, sorted(record.accepted)] for record in on_ray.records],
        "in_other_processes": float(os.getpid()) not in processes,
        "environment_restored": restored,
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
