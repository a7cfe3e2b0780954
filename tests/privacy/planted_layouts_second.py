"""The sealed list: written before the rules were tuned, not looked at while tuning, run against them afterwards."""

from __future__ import annotations

DATES = (
    "{weekday}, {d} {name} {year}", "{d}.{m}.{yy:02d}", "{year}.{m:02d}.{d:02d}", "{MON} {d:02d} {year}",
    "{ordinal} {name}, {year}", "{d:02d}{MON}{year}", "{m:02d}-{d:02d}-{year}", "{wd} {m}/{d}/{year}",
    "{name} {ordinal}, {year}", "{d}/{m}/{yy:02d}", "{year}-{m:02d}-{d:02d} 14:32:07", "{d}-{mon}-{year}",
    "{d:02d} / {m:02d} / {year}", "{name} {ordinal}", "the {ordinal} of {name} {year}", "{mon}. {d}, {year}",
    "{year}{m:02d}{d:02d}", "{wd}. {d} {mon} '{yy:02d}",
)  # fmt: skip
RECORD_NUMBERS = ("#######", "00######", "?######", "##-##-##", "###-####-#", "??-####-##", "E########", "#.###.###")
ACCESSION_NUMBERS = (
    "####-######",
    "CT########",
    "US-##-#####",
    "##X#####",
    "ACN#########",
    "########-#",
    "RAD/####/#####",
)
PHONES = ("(###) ###-####", "### ### ####", "+1-###-###-####", "0### ### ####", "+353 1 ### ####", "###.###.#### x###",
          "1-800-###-####", "(0##) ### ####", "+49 ## #######", "0#-## ## ## ##")  # fmt: skip
HOSPITALS = ("Saint {1} Hospital", "{0} Regional Health Centre", "{1} Memorial Hospital", "The {0} Clinic",
             "{0} County Imaging Center", "{1} & {1} Radiology, PLLC", "Royal {0} Infirmary", "{0} Diagnostic"
                                                                                              "s")  # fmt: skip

CLINICAL = (
    "There is a 7 x 9 mm spiculated nodule in segment 6 of the right lower lobe.",
    "The common bile duct measures 4 mm.",
    "Grade 2 anterolisthesis of L5 on S1 with bilateral pars defects.",
    "Scattered T2/FLAIR hyperintensities in the periventricular white matter.",
    "No evidence of acute intracranial hemorrhage, midline shift or hydrocephalus.",
    "Bosniak IIF cyst of the left kidney, 23 HU, unchanged.",
    "Tip of the right PICC projects over the cavoatrial junction.",
    "Mild Hill-Sachs deformity; the glenoid labrum is intact.",
    "Fleischner criteria suggest CT in 12 months.",
    "The cardiothoracic ratio is 0.56 with Kerley B lines at both bases.",
    "LI-RADS 3 observation in segment VII, 14 mm.",
    "Prostate volume is 48 cc with a PI-RADS 4 lesion at the left base.",
    "ASPECTS 9. No large vessel occlusion.",
    "Degenerative disc disease at C5-C6, worst at C6-C7.",
    "BI-RADS 2: benign.",
)

LAYOUTS = (
    # 0 letterhead of a private practice
    "{hospital}\n{street}, {city} {zip}\nPh {phone1}   Fx {phone2}   {url}\n\nPATIENT ........ {p.commam}\nCHART # ..."
    ".... {mrn}\n"
    "DATE OF BIRTH . {date1}\nREFERRED BY ... {a.middle}, D.O.\nSERVICE DATE .. {date2}\n\n{body}\n{s1}\n\n{b.full}, M"
    ".D.\n"
    "Board Certified Radiologist",
    # 1 HL7-like export
    "PID|1||{mrn}^^^MRN||{p.caret}||{date1}|F|||{street}^^{city}||{phone1}\nOBR|1|{acc}||CT|||{date2}|||||||||"
    "{a.caret}\n"
    "OBX|1|TX|GDT||{findings} {s1}\nOBX|2|TX|GDT||{impression}",
    # 2 British clinic letter
    "Our ref: {b.last}/{mrn}\nYour ref: {nhs}\nDate dictated: {date1}   Date typed: {date2}\n\nDr {a.inits}\n{street}"
    "\n{city}\n{zip}\n\n"
    "Dear {a.last}\n\nRe: {p.full}, DoB {date3}, {nhs}\n\nMany thanks for asking me to see this pleasant lady. {findin"
    "gs} {s1} "
    "I have explained this to {p.first} and to her son {r.first}.\n{impression}\n\nWith kind regards\n\n{b.full}\n"
    "Consultant Neuroradiologist\nSecretary: {c.full}, tel {phone1}",
    # 3 terse worklist
    "{p.comma} ({mrn}) {date1} {acc} - {findings} {s1} IMP: {impression} //{a.last} {date2}",
    # 4 critical result
    "{findings} {s2}\nCRITICAL RESULT: conveyed by {a.init} to {b.full} RN at {time1} on {date1} with read-back. {impr"
    "ession}\n"
    "{s1} Call {phone1} for questions. Pager: {ext1}",
    # 5 signature without titles
    "{body} {s1}\n\nComparison was made with the outside study from {hospital} dated {date1}.\n\n{a.full}\n{date2} {ti"
    "me1}",
    # 6 addendum
    "{body}\n\nADDENDUM by {a.full} on {date1}: {s1} I agree with {b.last}. Images reviewed at the {hospital} conferen"
    "ce with "
    "{c.last} and {d.last}.\n\nADDENDUM #2 ({b.init}, {date2}): {s2}",
    # 7 history in prose
    "Clinical information: {age}-year-old retired teacher from {city}, known to Dr. {a.last} since {date1}; wife {r.fi"
    "rst} reports "
    "falls. Lives at {street}. {findings} {s1} {impression}",
    # 8 table of fields, tabs
    "Name\t{p.full}\nSex\tM\nBorn\t{date1}\nMRN\t{mrn}\nAcc. No.\t{acc}\nWard\t4B\nRequester\t{a.full}\nReported\t{b.f"
    "ull}\n"
    "Authorised\t{date2} {time1}\n\n{body}\n{s1}",
    # 9 lower-case chat
    "{findings} {s1} spoke w/ {a.Full} from neurosurg @ {time1}, will see mr {p.Last} today. {impression} call {phone1"
    "}",
    # 10 transcription trailer
    "{body} {s1} {s2}\nD: {date1} {time1}   T: {date2}   Job #: {mrn}\nDictating: {a.comma}\nTranscriptionist initials"
    ": xx\n"
    "cc: {b.full}; {c.full}; {d.init}",
    # 11 structured with insurance
    "Patient {p.three} | SSN {ssn} | Ins. {policy} | Guarantor {r.full} | e-mail {email} |"
    " Mobile {phone1}\n{findings}\n{s1}\n"
    "{impression}\nStudy Instance UID: {uid}",
    # 12 emergency note
    "Brought by ambulance from {city}. Accompanied by brother ({r.full}, {phone1}). Triage: {a.first}. {s1} {findings} "
    "Wet read by {b.last}, overread {c.init}. {impression} Seen {date1}.",
    # 13 teaching names in possessive
    "{p.last}'s prior MRI ({date1}) was reviewed. {findings} Per {a.last}'s note of {date2}, {s1} Ms. {p.last} was tol"
    "d by "
    "{b.first} {b.last}. {impression}",
    # 14 paper form
    "Form 27-B\nSurname: {p.last}   Forenames: {p.first}   Title: Mrs\nAddress: {street}, {city}, {zip}\nG.P.: {a.init"
    "}\n"
    "Tel. (home): {phone1}  (work): {phone2}\nX-ray No: {acc}\nRadiographer: {b.first}\n\nReport: {body} {s1}\n"
    "Signed: {c.init}   Date: {date1}",
    # 15 referral chain
    "Thank you, {a.first}, for referring {p.full} ({age} yrs), whom {b.full} of {hospital} saw in {city}. {findings} {"
    "s1} "
    "{impression} Kind regards, {c.first}",
    # 16 DICOM text page
    "PatientName={p.caret}; PatientID={mrn}; StudyDate={date1}; InstitutionName={hospital}; OperatorsName={a.full}; "
    "ReferringPhysicianName={b.comma}. {findings} {impression} {s1} host {ip}",
    # 17 no labels at top, names alone on lines
    "{p.COMMA}\n{date1}\n{mrn}\n{hospital}\n\n{findings}\n{s1}\n{impression}\n\n{a.FULL}\n{b.FULL}",
    # 18 tumour board
    "Tumor board {date1}. Present: {a.last}, {b.last}, {c.full}, {d.inits}. {findings} {s1} {s2} Plan: {b.last} to bio"
    "psy; "
    "{p.first} consented. {impression}",
    # 19 parentheses and slashes
    "{body} ({a.init}/{b.init}) {s1} Ref {acc}. [{c.last}, {date1}] Tel: {phone1}/{phone2}.",
)
