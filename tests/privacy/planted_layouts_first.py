"""The open list: the rules were tuned on it."""

from __future__ import annotations

DATES = (
    "{d:02d}/{m:02d}/{year}", "{m}/{d}/{yy:02d}", "{year}-{m:02d}-{d:02d}", "{d} {name} {year}", "{name} {d}, {year}",
    "{d:02d}-{MON}-{year}", "{ordinal} of {name} {year}", "{d:02d}.{m:02d}.{year}", "{mon} {d}, {year}",
    "{d:02d}-{mon}-{yy:02d}", "{weekday} {ordinal} {name} {year}", "{name} {year}", "{d} {mon}", "{wd} {d} {mon} {year"
                                                                                                 "}",
    "{year}/{m:02d}/{d:02d}", "{year}-{m:02d}-{d:02d}T09:15", "{d:02d}-{m:02d}-{yy:02d}",
    "{m:02d}/{d:02d}/{year} at 3:15 pm", "{d}. {name} {year}", "{name} of {year}",
)  # fmt: skip
RECORD_NUMBERS = ("######", "########", "MR#######", "?#####?", "###-##-###", "H-######", "#### ####", "??######")
ACCESSION_NUMBERS = ("ACC#######", "?#######", "##-###-#####", "##########", "CR-####-####", "#######A", "R##-#####")
PHONES = ("(###) ###-####", "###-###-####", "+1 ### ### ####", "+44 20 7### ####", "0### ######", "###.###.####",
          "###-####", "+33 # ## ## ## ##", "020 #### ####", "(###)###-#### ext. ###")  # fmt: skip
HOSPITALS = ("{0} General Hospital", "{0} Medical Center", "St. {1} Infirmary", "University Hospital of {0}",
             "{1} Clinic", "{0} Community Hospital NHS Trust", "{1} Imaging Associates", "{1} Children's Hospita"
                                                                                         "l")  # fmt: skip

CLINICAL = (
    "There is a 36 mm nodule in the right upper lobe with a T2 hyperintense rim.",
    "Degenerative change at L4-L5 and C3 without cord compression.",
    "No pleural effusion or pneumothorax.",
    "Mass of 12 x 10 x 8 mm in the left frontal lobe, 35 HU, with oedema.",
    "Chiari I malformation; the Sylvian fissures are symmetric.",
    "Follow-up CT in 3-6 months is advised; segments 4/5 are spared.",
    "Patchy bilateral ground-glass opacities, consistent with COVID-19 pneumonia.",
    "Endotracheal tube 3.2 cm above the carina.",
    "Schmorl nodes at T11 and T12. Scheuermann disease cannot be excluded.",
    "Lung-RADS 4A. SUVmax 5.3 in the subcarinal node.",
    "Weber B fracture of the left ankle with 3 mm displacement.",
    "Normal pressure hydrocephalus, Evans index 0.34.",
    "Hepatomegaly of 19.5 cm with diffuse steatosis; the spleen measures 11 cm.",
)

LAYOUTS = (
    "{hospital}\n{street}, {city}, {zip}\nTel: {phone1} Fax: {phone2}\n\nPatient Name: {p.comma}\nDOB: {date1}\nMRN: {"
    "mrn}\n"
    "Accession #: {acc}\nReferring Physician: Dr. {a.full}\nDate of exam: {date2}\n\n{body}\n{s1}\n\n"
    "Electronically signed by {b.full}, MD on {date3}",
    "Dear Dr {a.last},\n\nThank you for referring {p.full} ({date1}), of {street}, {city}, {zip}, who was seen on {dat"
    "e2}. "
    "{findings} Compared with {date3}, this is unchanged. {s1} {impression}\n\nYours sincerely,\nDr {b.full}\n"
    "Consultant Radiologist, {hospital}\n{phone1}   {email}",
    "RADIOLOGY REPORT\nNAME: {p.COMMA}    SEX: F    DOB: {date1}    MRN {mrn}\nORDERING: {a.FULL}, MD    ACC: {acc}\n{"
    "body}\n"
    "{s1} Findings were discussed with Dr. {b.full} by telephone at {time1} on {date2}.\nDictated by: {a.full}",
    "{findings} {s1}\n{impression}\n\n{a.full}\n{date1}",
    "{findings} {s1} {impression}\n{a.init} / {b.init}\n{date1} {time1}",
    "{p.caret}\t{mrn}\t{date1}\nStudy: {acc} performed {date2} at {hospital}\n{body}\n{s1}\nReport communicated to nur"
    "se {r.last}, "
    "pager {ext1}, {date3}.\nTranscribed by: {a.full}  {email}",
    "Re: {p.full}, NHS No: {nhs}, {street}\n{findings} Prof. {a.last} reviewed the images. {s1}\nMr {r.last} telephone"
    "d on "
    "{date1}; call back on {phone1}. {impression}\nVerified by {b.full}, FRCR, {date2}",
    "CLINICAL HISTORY: {age} year old female. Mrs. {p.last} fell at home on {date1}. {findings} Her daughter {r.first}"
    " was "
    "informed ({phone1}). {s1} Case discussed with {a.full} of {hospital}. {impression}",
    "{findings} i spoke to dr {a.Last} about mr {p.Last} on {date1}. {s1} Images from {date2} were sent by {hospital}. "
    "{impression} Contact: {email}, {phone1}. His wife {r.first} was present. Secretary: {b.full}",
    "{body} {s1} {a.last} agrees. {s2} Attending: {b.last}. Resident: {c.first} {c.last}",
    "{body} {s1}\nREAD BY: {a.last}, {a.first}\nCC: {b.init}, {c.full}\nWORKSTATION: {ip}\n{url}",
    "{findings} {s1} Mother ({r.full}) was present; she lives in {city}. {impression} Patient's own words recorded by "
    "{a.first}. "
    "{b.tail}",
    "Patient: {p.three}  Age: {age}  ID: {mrn}\nInsurance: {policy}  SSN: {ssn}\nNext of kin: {r.full} ({phone1})\n{bo"
    "dy}\n{s1}\n"
    "UID {uid}",
    "{body}\n{s1}\nThis study was interpreted by {a.full} and reviewed with {b.full} on {date1}. {c.last} was notified"
    " at "
    "{time1}. {s2}",
    "Seen at {hospital} by {a.middle} on {date1} for {p.last}, room 214, bed 3. {findings} {s1} {impression} "
    "Thank you, {b.first}",
    "{p.FULL}\nDOB {date1} MRN {mrn}\n{street}\n{city} {zip}\n\n{body}\n{s1}\n{a.FULL} MD\n{date2}",
    "{findings} Dr. {a.last}'s team ({b.last}, {c.last}) saw {p.first} on {date1}. {s1} {impression}",
    "EXAM: CT HEAD {date1}. REQUESTED BY {a.init}. {findings} {s1} {impression} SIGNED {b.full} {date2} {time1}",
)
