"""Phantoms: invented 3-D patients, rendered into every modality by physics, with reports and the truth.

`anatomy` says what is where, `draw` who the patients are, `physics` how each modality sees them, `report` what the
radiologist writes, `export` what a hospital's archive gives, and `cohorts` the same in memory.
"""

from simulations.phantoms.anatomy import Finding, Patient
from simulations.phantoms.cohorts import (
    PhantomRecords,
    cohort,
    cohort_of_hospitals,
    finding_label,
    labels_of,
    render_cohort,
)
from simulations.phantoms.draw import draw_patient
from simulations.phantoms.export import EVERYTHING, FLOWS_OF, IMAGE_FLOWS, export_hospital
from simulations.phantoms.facts import facts_of
from simulations.phantoms.physics import PhysicsConfig, render_all
from simulations.phantoms.population import CHEST_FINDINGS, HEAD_FINDINGS, POPULATIONS, Population, Scanner
from simulations.phantoms.public import POPULATION_NAMES, PUBLIC_HOSPITALS, public_hospital, public_hospitals

__all__ = [
    "CHEST_FINDINGS",
    "EVERYTHING",
    "FLOWS_OF",
    "HEAD_FINDINGS",
    "IMAGE_FLOWS",
    "POPULATIONS",
    "POPULATION_NAMES",
    "PUBLIC_HOSPITALS",
    "Finding",
    "Patient",
    "PhantomRecords",
    "PhysicsConfig",
    "Population",
    "Scanner",
    "cohort",
    "cohort_of_hospitals",
    "draw_patient",
    "export_hospital",
    "facts_of",
    "finding_label",
    "labels_of",
    "public_hospital",
    "public_hospitals",
    "render_all",
    "render_cohort",
]
