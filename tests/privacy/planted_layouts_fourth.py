"""The fourth list: written after the third was looked at; run once before the rules saw it, then tuned on as well."""

from __future__ import annotations

DATES = (
    "{wd}, {d} {mon} {year}", "{d}. {mon} {year}", "{year}, {name} {d}", "{mon} {yy:02d}", "{d:02d}-{m:02d}-{year}T{yy"
                                                                                           ":02d}:00",
    "{name} the {ordinal}", "{d:02d}:{m:02d}:{year}", "{m:02d}/{yy:02d}", "{weekday} the {ordinal}, {name} {year"
                                                                          "}", "{d}{name}{year}",
    "{d:02d}_{m:02d}_{year}", "{mon}/{d}/{year}", "{d:02d}/{m:02d}/{yy:02d} {d:02d}h{m:02d}", "mid-{name} {year"
                                                                                              "}", "{MON} {ordinal} {y"
                                                                                                   "ear}",
    "{year}{m:02d}{d:02d}T101500", "{d}/{m}-{year}", "{ordinal} {mon}", "{d:02d} {MON} {yy:02d}", "w/c {d} {name}",
)  # fmt: skip
RECORD_NUMBERS = (
    "## ## ##",
    "MRN-######",
    "#####/##",
    "?-####-?",
    "####-####",
    "(##)######",
    "H#?#####",
    "######-#",
    "000####",
)
ACCESSION_NUMBERS = (
    "?? ######",
    "######.#",
    "###-?-#####",
    "#####?#",
    "ACC:######",
    "##/####/??",
    "RX-####-##-#",
    "?#-######",
)
PHONES = ("+64 # ### ####", "(### ) ### - ####", "### - ### - ####", "0# ## ## ## ##", "####-######", "+91 ##### ####"
                                                                                                      "#", "###.####",
          "0800 ### ###", "tel:+1##########", "ext #####")  # fmt: skip
HOSPITALS = ("{0} Royal Hospital", "St {1}'s Hospital", "{1} Spine Institute", "{0} Community Care", "Holy Cross {0}",
             "{0} MRI Centre", "Centro Médico {1}", "{0}-{0} Hospital Group", "{1} Cardiology Partners, LL"
                                                                              "P")  # fmt: skip

CLINICAL = (
    "Comminuted fracture of the tibial plateau, Schatzker II.",
    "Ejection fraction is 45 % by Simpson's method.",
    "Bilateral hydronephrosis, worse on the right.",
    "No free air under the hemidiaphragms.",
    "Thyroid nodule of 1.2 x 0.9 cm, TI-RADS 3.",
    "Mediastinal nodes up to 11 mm in short axis.",
    "Old lacunar infarct in the left thalamus.",
    "Sternotomy wires and a mitral valve prosthesis.",
    "Grade III meniscal tear of the posterior horn.",
    "Femoral head with early Perthes disease.",
    "Meckel's diverticulum is not seen.",
    "Two 3 mm calcified granulomas.",
)

LAYOUTS = (
    "Name={p.full};DOB={date1};ID={mrn};Site={hospital};Reader={a.init}\n{body}\n{s1}",
    "{body} {s1}\nKind regards from all of us at {hospital}\n{a.first}\n{a.full} | Consultant | {phone1}\n{b.full} |"
    " Trainee",
    "Hello {a.first}, it is {b.last} here about your patient {p.full} ({mrn}). {findings} {s1} {impression} Ring me on"
    " {phone1}.",
    "MDT {date1}: {p.init}, {age}y. Chair {a.full}. {findings} {s1} Outcome: {b.last} and {c.last} to review in clinic"
    ". {impression}",
    "{findings} Discussed on the phone ({phone1}) with the wife, {r.full}, who lives with him at {street}, {city} {zip"
    "}. {s1} {impression}",
    "TO: {a.FULL}\nFROM: {b.FULL}\nRE: {p.COMMA} / {mrn} / {date1}\n{findings}\n{s1}\n{impression}",
    "Scan performed at {hospital} on {date1} by {a.full}; images sent to {b.full} for reporting; copy to {c.full}. {fi"
    "ndings} {s1} {impression}",
    "Indication: {p.last} is known to {a.last}'s clinic. Prior: {date1}, {hospital}. {findings} {s1} {impression}\nAut"
    "horised: {b.tail} {date2} {time1}",
    "Consent obtained by {a.full}, witnessed by {b.first} {b.last}, interpreter {c.full}. {findings} {s1} {impression}"
    " Card no {policy}; mail {email}.",
    "{p.full}, {date1}, {acc}\n\n{findings}\n\n{s1}\n\n{impression}\n\nDr {a.last} / Dr {b.last}\nSecretary {c.full} {"
    "ext1}",
    "Thanks {a.first}. {findings} {s1} I rang {b.full} on {date1} at {time1}, and told {p.first} and {r.first}. {impre"
    "ssion}\n{c.inits}",
    "Visit {acc}. Lives near {city}; works with {r.full}. Seen by {a.last}, {b.last} & {c.last}. {findings} {s1} {impr"
    "ession} See {url}",
)
