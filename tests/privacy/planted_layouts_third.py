"""The third list: written after the second was looked at, not looked at while tuning on the first two."""

from __future__ import annotations

DATES = (
    "{d:02d}.{m:02d}.{year} 08:14", "{name} {d}", "{weekday} {name} {d}, {year}", "{year}/{m}/{d}", "{d:02d}{mon}{yy:0"
                                                                                                    "2d}",
    "{m}-{d}-{yy:02d}", "{wd} {d:02d}/{m:02d}", "{d}th {mon} {year}", "{name} '{yy:02d}", "{mon}-{d:02d}-{year}",
    "{d:02d}-{m:02d}-{year} 16:05:22", "{m:02d}.{d:02d}.{yy:02d}", "{d}/{mon}/{year}", "{MON}-{yy:02d"
                                                                                       "}", "{year}-{mon}-{d:02d}",
    "{ordinal} day of {name}, {year}", "{d:02d}|{m:02d}|{year}", "{m}/{year}", "{name}, {year}", "{d} {name}, {year}",
)  # fmt: skip
RECORD_NUMBERS = (
    "#########",
    "0-###-###",
    "P#######",
    "###/##/####",
    "K##-#####",
    "##.##.###",
    "???-######",
    "##########",
)
ACCESSION_NUMBERS = (
    "A-##-######",
    "##########X",
    "MRI-####-###",
    "R.##.####",
    "#######-##",
    "XR ######",
    "EX########",
    "##-?#####",
)
PHONES = ("### ####", "+61 # #### ####", "(0#) #### ####", "+32 # ### ## ##", "0## #######", "###/###-###"
                                                                                             "#", "+# (###) ### ## ##",
          "1.###.###.####", "##-###-####", "x####")  # fmt: skip
HOSPITALS = ("{0} Base Hospital", "Our Lady of {0} Hospital", "{1} Orthopaedic Centre", "{0} Health Distric"
                                                                                        "t", "Mater {0}",
             "{1} Breast Imaging", "{0} Veterans Affairs Medical Center", "{1}-{1} Health", "Hospital {0}")  # fmt: skip

CLINICAL = (
    "Interval increase of the left perihilar mass, now 41 x 38 mm.",
    "Status post cholecystectomy with surgical clips in the gallbladder fossa.",
    "Type A aortic dissection is excluded; the ascending aorta measures 3.9 cm.",
    "Osteoarthritis of the first carpometacarpal joint, Eaton stage III.",
    "The Alberta stroke score is 8; hyperdense left MCA sign.",
    "Retrocardiac opacity is better seen on the lateral view.",
    "Nasogastric tube with its tip below the diaphragm.",
    "Agatston score 212, between the 50th and 75th percentile.",
    "Small hiatal hernia. Diverticulosis without diverticulitis.",
    "Gadolinium-enhanced T1 images show a 5 mm focus in the pons.",
    "Cobb angle of 23 degrees between T5 and T11.",
    "Tornwaldt cyst, an incidental finding.",
    "Salter-Harris II fracture of the distal radius.",
    "No lymphadenopathy by size criteria.",
    "Recommend MRI with MRCP in 6 weeks.",
)

LAYOUTS = (
    # 0 Australian letter
    "{hospital}\nProvider no. {mrn}\n\n{date1}\n\nDr {a.first} {a.last}\n{street}\n{city} {zip}\n\nDear {a.first},\n\n"
    "RE: Mr {p.full} - DOB: {date2} - UR {acc}\n\n"
    "{body}\n{s1}\n\nYours faithfully,\nDr. {b.middle}\nRadiologist\nT {phone1} | E {email}",
    # 1 impression only with a phone call
    "IMPRESSION\n1. {findings}\n2. {s1}\n3. {s2}\n\nThese results were called to {a.full}, NP, by {b.full} at {time1} "
    "on {date1}. {a.last} repeated them back.",
    # 2 brackets and at-signs
    "[{p.comma} / {mrn} / {date1}]\n{findings}\n{s1}\n{impression}\n@{a.last} please review. -- {b.first}",
    # 3 nursing note before the report
    "Pt {p.first} {p.last} arrived {time1} w/ husband {r.first}. Consent by {a.init}. IV placed by {b.first} {b.last}."
    " Allergies: none. "
    "{findings} {s1} {impression}",
    # 4 outside films
    "Outside images from {hospital}, {city}, labelled {p.tail}, {date1}, were submitted by {a.full} for a second opini"
    "on. {findings} {s1} "
    "{impression} Thank you for this consultation, Dr. {a.last}.",
    # 5 preliminary and final
    "*** PRELIMINARY ({a.full}, PGY-3, {date1}) ***\n{findings}\n{s1}\n*** FINAL ***\nI have personally reviewed the i"
    "mages and agree. {impression}\n"
    "{b.full}\nPager {ext1}",
    # 6 columns
    "Patient           {p.comma}\nPatient ID        {mrn}\nAccession         {acc}\nReferrer          {a.full}\nExam d"
    "ate         {date1}\n\n{body}\n{s1}\n\n"
    "Reading physician {b.full}\nApproved          {date2}",
    # 7 story
    "This {age} year old gentleman, Mr. {p.last}, a retired farmer from {city}, was seen in clinic by Dr {a.last} and "
    "by {b.last} last week. His "
    "daughter-in-law {r.full} can be reached on {phone1}. {findings} {s1} {impression}",
    # 8 mail thread
    "From: {a.full} <{email}>\nTo: {b.full}\nSent: {date1} {time1}\nSubject: {p.last} {mrn}\n\nHi {b.first},\n{finding"
    "s} {s1} {impression}\nBest,\n{a.first}\n"
    "--\n{a.full}\n{hospital}\n{phone1}",
    # 9 French-style salutation with English text
    "Cher confrère {a.last},\nI saw {p.full}, born {date1}, living at {street}, {city}. {findings} {s1} {impression}\n"
    "Bien confraternellement,\nDr {b.full}",
    # 10 comma-separated demographics
    "{p.last}, {p.first}, M, {date1}, {mrn}, {phone1}, {street}, {city}, {zip}. {findings} {s1} {impression} - {a.last"
    "}",
    # 11 quality assurance
    "Peer review: original reader {a.last}, second reader {b.last}, score 2. Discrepancy discussed {date1} ({c.first} "
    "{c.last} present). {findings} {s1} {impression}",
    # 12 shouting
    "{p.FULL} {mrn} {date1}\n{findings}\n{s1}\n{impression}\nREPORTED BY {a.FULL} / TYPED BY {b.INIT} / {date2}",
    # 13 mother and child
    "Newborn of {r.full}. Baby girl {p.last}, bed {ext1}, MRN {mrn}. {findings} {s1} Umbilical lines checked by {a.ful"
    "l}. {impression} Parents {r.first} and {c.first} informed.",
    # 14 device page
    "Station: {hospital}\nTech: {a.init}\nSerial no {acc}\nIP {ip}\nStudy {uid}\n{body} {s1}\nprotocol by {b.last}; co"
    "ntrast given by {c.full}, RT(R)",
    # 15 signature block with degrees
    "{body}\n{s1}\n\n{a.middle}, MD, PhD, FRCPC\nClinical Associate Professor\n{hospital}\nOffice: {phone1}  Cell: {ph"
    "one2}\nAssistant: {b.full}\n{url}",
    # 16 follow-up of the same doctor twice
    "Comparison: {date1} ({hospital}, Dr. {a.full}). {findings} As {a.last} noted, {s1} We asked Mrs {p.last} to retur"
    "n in {date2}. {impression} {b.last}/{c.last}",
    # 17 referral reply in prose with employer and plate
    "Referred by GP {a.full} ({city}). SSN {ssn}. Policy {policy}. Emergency contact {r.full}, sister, {phone1}. {find"
    "ings} {s1} {impression} Electronically verified "
    "{date1}, {b.full}",
)
