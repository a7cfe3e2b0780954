"""The fifth list: written blind, by an author who saw neither the rules nor the first three lists."""

from __future__ import annotations

DATES = (
    "{m}/{d}",
    "{m}.{d}.{yy:02d}",
    "{m:02d}-{d:02d}-{yy:02d}",
    "{year}{m:02d}{d:02d}",
    "{year}{m:02d}{d:02d}143022-0500",
    "{year}{m:02d}{d:02d}1432",
    "{d:02d}{MON}{yy:02d}",
    "{d:02d}{MON}{year}",
    "{MON} {d:02d}, {year}@14:32",
    "{mon}. {d}, '{yy:02d}",
    "{name} of {year}",
    "{name} {ordinal}",
    "{name} {d} {year}",
    "the {ordinal} of {name}, {year}",
    "{weekday}, {name} {ordinal}",
    "{wd} {m}/{d}/{yy:02d}",
    "{wd} {mon} {d:02d} 14:32:07 EST {year}",
    "{m:02d}/{d:02d}/{year} 2:15 PM CDT",
    "{m}/{d}/{yy:02d} @ 0215h",
    "{year}-{m:02d}-{d:02d} 14:32:07.000",
    "{year}-{m:02d}-{d:02d}T14:32:07Z",
    "{year}-{MON}-{d:02d}",
    "{year}/{m}/{d}",
    "{d:02d}-{mon}-{yy:02d}",
    "{MON}-{d:02d}-{year}",
    "{m} / {d} / {year}",
    "{m}/{year}",
    "early {mon} {year}",
    "{name}{d},{year}",
    "{weekday} {m}/{d}",
    "{mon} {d}/{yy:02d}",
    "{d} {MON} {year} 1432 hrs",
)  # fmt: skip
RECORD_NUMBERS = (
    "E########",
    "##-##-##-#",
    "###-##-##",
    "?##?######",
    "??########",
    "M00#######",
    "####### (EPI)",
    "Z#######^^^MRN",
    "#,###,###",
    "### ### ###",
    "00000#######",
    "?######/#",
    "#?#-######",
)
ACCESSION_NUMBERS = (
    "##-??-##-######",
    "E##########",
    "######-####",
    "??-##-#######",
    "####??######",
    "#.########",
    "???########-#",
    "######-###@###",
    "R##-######",
    "####-#####-??",
    "??##_#######",
    "########^??",
)
PHONES = (
    "(###)###-####",
    "(###)-###-####",
    "###/###-####",
    "###.###.#### x####",
    "### ### #### ext. ###",
    "+1 (###) ###-####",
    "1-###-###-####",
    "1.###.###.####",
    "##########",
    "###-####",
    "x#-####",
    "### - ####",
    "DSN ###-###-####",
    "1 ### ### ####, option #",
    "###-###-#### (cell)",
    "(###) ###-####, pager ####",
)
HOSPITALS = (
    "{0} VA Medical Center",
    "{1} Memorial Hosp.",
    "Children's Hospital of {0}",
    "{0} Regional Med Ctr",
    "University of {0} Health Sciences Centre",
    "Our Lady of {0} Medical Center",
    "{1} & {1} Imaging Associates, P.C.",
    "Open MRI of {0}",
    "{0} General ED",
    "CHU de {0}",
    "{1} Family Cancer Pavilion",
    "Advent {0} Urgent Care",
    "{0} County Nursing & Rehab",
    "Hôpital {1}",
    "{1} Women's Imaging at {0}",
    "Mount {1} Radiology Group, LLC",
)

CLINICAL = (
    "Salter-Harris II fracture of the distal radius with 3 mm of dorsal displacement.",
    "LI-RADS 4 observation in segment VIII measuring 18 x 15 mm, with washout on the 3 minute delayed phase.",
    "Chance fracture of L1 with 30% loss of height and a TLICS score of 7.",
    "Agatston score 412, at the 88th percentile.",
    "Lung-RADS 4A: 9 mm solid nodule in the right upper lobe, series 4 image 112.",
    "PI-RADS 5 lesion in the left peripheral zone at the mid gland, ADC 620, previously Gleason 4+3=7.",
    "CTDIvol 12.3 mGy, DLP 456.7 mGy-cm, phantom 32 cm.",
    "Hill-Sachs deformity and a bony Bankart lesion involving 15-20% of the glenoid.",
    "ASPECTS 8 with a dense left M1 and a 6:1 mismatch on perfusion.",
    "May-Thurner configuration, with the left common iliac vein narrowed to 2.5 mm.",
    "Graf type IIb hip on the left, alpha angle 52 degrees.",
    "Per the Fleischner Society guidelines, repeat CT in 6-12 months for the 7 mm nodule.",
    "Scattered fibroglandular densities; grouped amorphous calcifications at 10:00, 4 cm from the nipple, BI-RADS 4B.",
    "Bosniak IIF cyst of the left kidney, 2.8 cm, 14 HU.",
    "Kerley B lines and a cardiothoracic ratio of 0.62.",
    "FDG-avid Virchow node with SUVmax 12.4, Deauville 5.",
    "Baker's cyst of 4.1 x 1.7 cm and Kellgren-Lawrence grade 3 osteoarthritis.",
    "Grade 1 anterolisthesis of L4 on L5 by 5 mm, with Schmorl's nodes at T11-T12.",
    "AAST grade III splenic laceration, 3.4 cm deep, without blush.",
    "Fetal biometry: BPD 47 mm, HC 176 mm, AC 152 mm, FL 33 mm, AFI 14.2 cm.",
    "Normal caliber appendix, 5 mm.",
    "Enteric tube tip projects over the gastric body; endotracheal tube 3.8 cm above the carina.",
)

LAYOUTS = (
    # HL7 v2, raw
    "MSH|^~\\&|RIS|{hospital}|EHR||{date2}||ORU^R01|{acc}|P|2.3\nPID|1||{mrn}||{p.CARET}||{date1}|F|||{street}^^{city}^^{"
    "zip}||{phone1}||ENG|M|||{ssn}\nNK1|1|{r.CARET}|SPO\nPV1|1|E|ED^12^A||||{a.CARET}^^^MD|{b.CARET}^^^DO\nOBR|1||{acc}|71"
    "260^CT CHEST W CONTRAST|||{date2}\nOBX|1|TX|GDT||{findings}\nOBX|2|TX|GDT||{s1}\nOBX|3|TX|IMP||{impression}",
    # escaped HL7 text, flattened by an interface engine
    "CT HEAD WO\\.br\\Pt: {p.commam}  ({mrn})  {date1}\\.br\\Ordered: {a.comma}\\.br\\\\.br\\FINDINGS: {findings} \\.br\\{s1"
    "} \\.br\\IMPRESSION: {impression} \\.br\\Electronically signed: {b.full}, M.D. {date2} {time1}",
    # Epic banner
    '{p.full} "{p.first}"  |  {age} y.o. F  |  DOB {date1}  |  MRN {mrn}  |  CSN {acc}\nPCP: {a.comma}, NP   Attending: {'
    "b.comma}, MD   Emergency contact: {r.full} (Son) {phone1}\nCoverage: Medicare / {policy}\n\n{findings}\n{s1}\n\n{impress"
    "ion}\n\nFinal result by {c.full}, MD ({date2} {time1})",
    # Cerner PowerChart footer
    "{body}\n{s1}\n\nResult type: XR Chest 2 Views\nResult date: {date1}\nResult status: Auth (Verified)\nResult title: XR"
    " Chest\nPerformed by: {a.Comma} on {date1}\nVerified by: {b.comma} on {date2}\nEncounter info: {acc}, {hospital}, Ou"
    "tpatient\n* Final Report *",
    # PowerScribe
    "EXAM: CT ABD/PELVIS W\nPATIENT NAME: {p.COMMAM}\nPATIENT ID: {mrn}\nACCESSION: {acc}\nREFERRING: {a.LAST}, {a.FIRST}\n\nF"
    "INDINGS: {findings} {s1}\n\nIMPRESSION: {impression}\n\nI, {b.full}, have personally reviewed the images and agree w"
    "ith the resident's ({c.full}) interpretation.\nWorkstation: {ip}\nSigned By: {b.FULL} on {date2} {time1}",
    # dictated addendum
    "{body}\n\n***ADDENDUM*** {date2}: I was contacted by {a.full}, PA-C for {b.last}, asking about the liver. {s1} Thes"
    "e findings were also discussed by our fellow, {c.first} {c.last}, with Mrs. {p.last} and her husband {r.first}. {s2}"
    "\n{d.full} MD, addendum dictated {time1}",
    # critical result
    "{findings} {s1}\n{impression}\nCRITICAL RESULT: Called to {a.first} {a.last} RN, 4 West, at {time1} on {date1} by {b"
    ".inits}; read back and verified x2 identifiers ({p.last}, {mrn}). Callback {phone1}. If no answer try Dr. {c.last} "
    "at {ext1}.",
    # critical result, terse
    "Red alert. {s1} {impression} Paged {a.init} {time1}, no response. Paged {b.init}. Spoke w/ {c.last} (neurosurg) who i"
    "s accepting {p.last} in transfer to {hospital}. {s2}",
    # tumor board
    "Thoracic Tumor Board {date1}\nPresent: {a.last}, {b.last}, {c.last} (surgery); {d.full} (path)\n1) {p.comma} {mrn} - {a"
    ".last} pt. Retired, lives in {city} with sister {r.full}. Bx at {hospital} {date2}. {findings} {s1}\nPlan: {b.last} to"
    " see for SBRT, {c.last} disagrees. {impression}",
    # emergency department, run-on
    "ed pt {p.Full} mrn {mrn} fell at home {street} in {city} bib ems, daughter {r.Full} at bedside says on eliquis, dr"
    " {a.Last} wants ct head and c spine asap, call {phone1} w wet read. {findings} {s1} {impression} wet read to {a.Firs"
    "t} {a.Last} at {time1} thx {b.Full}",
    # neonate
    "BABY GIRL {p.LAST} (mother: {r.COMMA}), twin B, born {date1} at {hospital}, transported by our team. Mom's MRN {mrn}"
    ". NICU attending {a.full}; neonatal fellow {b.first} {b.last}. {findings} {s1} {impression} Parents updated at bedsi"
    "de, dad's cell {phone1}.",
    # pediatrics, non-accidental trauma
    "Skeletal survey. {p.first} is a 4 month old in foster care with {r.full} of {street}, {city} {zip}. CPS worker: {a.f"
    "ull}, {phone1}. Detective {b.last} was given a copy of the images on {date1}. {findings} {s1} {impression} Child prot"
    "ection pediatrician Dr. {c.three} notified {date2}.",
    # nighthawk prelim
    "*** PRELIMINARY TELERADIOLOGY REPORT ***\nFacility: {hospital}   Fax: {phone1}\nPt: {p.FULL}   DOB: {date1}   ID# {mr"
    "n}\nReceived {date2} {time1}. Reading radiologist: {a.full}, MD, reading from {city}.\n{findings} {s1}\n{impression}\nFin"
    "al over-read to follow from {b.last} or {c.last} in the morning. Discrepancies: {email}",
    # VA CPRS
    "{p.COMMA}  {ssn}   DOB-{date1}   M\nExm Date: {date2}\nReq Phys: {a.COMMA}              Pat Loc: ORTHO/TEAM 3 (Req'g Lo"
    "c)\n                                     Img Loc: RADIOLOGY MAIN\n                                     Service: Unkno"
    "wn\n\n{hospital}\n{city}, {zip}\n\n(Case {acc} COMPLETE)\n    Report:\n      {findings} {s1}\n    Impression:\n      {impression"
    "}\nPrimary Interpreting Staff:\n  {b.COMMA}, STAFF RADIOLOGIST (Verifier)\n/{c.INITS}",
    # trauma alias
    "TRAUMA ACTIVATION, arrived as unknown male, now identified as {p.three} by wallet (DOB {date1}, SSN {ssn}); merge into {m"
    "rn}. Trauma chief: {a.last}. Scribe: {b.full}. Wife {r.first} {r.last} en route from {city}. FAST by {c.init}. {find"
    "ings} {s1} {impression} {s2}",
    # mammography letter to the patient
    "{hospital}\n{street}\n{city} {zip}\n\n{date1}\n\nMs. {p.full}\n\nDear Ms. {p.last}:\n\nThank you for your recent visit on {dat"
    "e2}. {s1} We have sent this report to {a.full}, CNM. If you have moved or have questions, {p.first}, please phone o"
    "ur nurse navigator {b.first} at {phone1} or log in to {url}.\n\nSincerely,\n\n{c.full}\nMedical Director",
    # outside comparison
    "COMPARISON: CT from {hospital} dated {date1} (outside accession {acc}, read by {a.init}); chest radiograph {date2}."
    '\n{findings} As noted by {a.last} on the outside report, {s1}\nIMPRESSION: {impression} Outside CD labeled "{p.Comma}" '
    "returned to patient's son {r.full}.",
    # technologist comment
    "Tech notes ({a.inits}, {time1}): pt verified name {p.first} {p.middle} {p.last} and bday {date1}. 20g LAC by {b.firs"
    "t} RN. Pt c/o L sided pain x3d, works nights w/ {r.first} {r.last} at {hospital}. Moved for 2nd scan, {c.first} help"
    "ed hold. Sent to PACS under wrong acc, fixed to {acc}. {findings} {s1} {impression}",
    # signature block, transcriptionist initials
    "{body} {s1}\n\n____________________\n{a.full}, M.D., F.R.C.P.C.\n{a.INITS}/{b.inits}\nD: {date1} {time1}\nT: {date2}\nJob "
    "#: {acc}\ncc: {c.full}, M.D.\n    {d.comma}, DPM, {hospital}\n    Chart {mrn}",
    # older typewritten style
    "{p.LAST}, {p.FIRST}\n{mrn}\n{date1}\n\n{findings}  {s1}  {impression}\n\nThank you, Dr. {a.last}, for referring this ple"
    "asant {age}-year-old lady from {city}.\n\n{b.tail}\nDictated but not read, {c.inits}",
    # pipe export on one line
    "{acc}|{mrn}|{p.COMMA}|{date1}|F|MR BRAIN W WO|{a.COMMA}|{hospital}|{findings}|{s1}|{impression}|{b.COMMA}|{date2}|{"
    "time1}|F",
    # CSV with quotes
    'pat_name,pat_id,dob,ordering,attending,addr,report\n"{p.comma}",{mrn},{date1},"{a.comma}","{b.comma}","{street}, {city'
    '}, {zip}","{findings} {s1} {impression} -- {c.full} {date2}"',
    # XML, CDA-like
    "<id extension='{acc}'/><patient id='{mrn}'><name>{p.full}</name><birthTime value='{date1}'/><addr>{street}, {city} {zip}"
    "</addr></patient><author>{a.full}</author><informant relationship='MTH'>{r.full}</informant><study uid='{uid}'/><time"
    ">{date2}</time><text>{findings}<br/>{s1}<br/>{impression}</text><legalAuthenticator>{b.full}</legalAuthenticator>",
    # DICOM dump on top of the text
    "(0008,0050) SH [{acc}]\n(0008,0080) LO [{hospital}]\n(0008,0090) PN [{a.CARET}]\n(0008,1070) PN [{b.caret}]\n(0010,0010"
    ") PN [{p.CARET}]\n(0010,0020) LO [{mrn}]\n(0010,1040) LO [{street}]\n(0020,000d) UI [{uid}]\n\n{findings}\n{s1}\n{impressi"
    "on}",
    # Canadian consultation letter
    "{date1}\n\nDr. {a.full}\n{hospital}\n\nDear {a.first},\n\nRe: {p.three}, DOB {date2}, health card {nhs}\n\nI reviewed the MRI"
    " of this retired teacher from {city} together with our resident {b.last}. {findings} {s1} {impression} I have asked"
    " my assistant {c.first} ({ext1}) to book the biopsy; his brother {r.first} can be reached at {phone1}.\n\nYours truly"
    ",\n{d.first}\n{d.full}, MD FRCPC",
    # workers' compensation
    "WORK COMP. Claimant: {p.COMMA}. Claim no. {policy}. Employer: {hospital}, foreman {r.full}. DOI {date1}. Adjuster {a"
    ".first} {a.last} (fax {phone1}). Records sent by attorney {b.full}. {findings} {s1} Dr. {c.last}'s IME of {date2} is"
    " noted. {impression}",
    # nursing home, portable
    "PORTABLE at {hospital}, rm 12B. Resident {p.init}, age {age}. POA niece {r.full} {phone1}. Ordered by {a.full} ARNP"
    " t.o. {b.first} {b.last} LPN. {findings} {s1} {impression} Results faxed to {b.last} {date1} {time1}.",
    # secure chat pasted in
    "[{time1}] {a.first} {a.last}: hey can you look at {p.last} {mrn}\n[{time1}] {b.first} {b.last}: which one, there are "
    "two {p.last}s on the list\n[{time1}] {a.first} {a.last}: {p.first}, dob {date1}\n[{time1}] {b.first} {b.last}: {s1} {s"
    "2}\n[{time1}] {a.first} {a.last}: ty {b.first}, cc {c.full} {email}\n\n{findings} {impression}",
    # interventional procedure
    "OPERATORS: {a.full} (attending), {b.full} (fellow), {c.first} {c.last} RT(R)\nTime out at {time1} confirmed {p.full},"
    " {date1}, wristband {mrn}. Verbal consent from health care proxy {r.full} by phone ({phone1}), {d.last} RN witness."
    "\n{findings} {s1} Dr. {a.last} was present for all key portions; {b.last} closed.\n{impression}",
    # names in small letters, voice recognition without punctuation
    "this is doctor {a.Full} dictating on patient {p.Full} medical record number {mrn} date of exam {date1} comparison"
    " is from {hospital} clinical history per doctor {b.Last} {findings} {s1} {impression} please send a copy to doctor "
    "{c.First} {c.Last} end of dictation",
    # peer review
    "RADPEER 3a. Original reader {a.INITS}, case {acc}, {date1}. Reviewed by {b.full}. {s1} {a.last} was shown the case a"
    "nd agrees; Mr. {p.last} and PCP {c.last} were phoned {date2} ({phone1}). {findings} {impression}",
    # obstetrics
    "OB US. {p.FIRST} {p.LAST} G2P1, LMP {date1}, EDD {date2}. FOB {r.first} {r.last} present. Midwife {a.full}, transfer"
    "ring from {hospital}; sonographer {b.first} {b.last}, RDMS. Pt prefers results through portal {email}. {findings} {"
    "s1} {impression} Reviewed with {c.last}, MFM.",
    # MRI safety and lost header
    "Cont'd pg 2 of 2 - {p.Comma} - {mrn}\n{s1} Implant card: device registered to {p.full}, {street}, {city}; cleared by"
    " {a.full} (MR safety officer) and Medtronic rep {b.first} {b.last} {phone1} on {date1}. {findings} {impression}\nPri"
    "nted by {c.COMMA} from {ip} {date2} {time1}",
    # history with family and places
    "HISTORY: Farmer outside {city}, struck by a tractor driven by his brother {r.first}. Seen first by {a.first} {a.last}"
    ", then airlifted from {hospital} {date1}. Mr. {p.last}'s wife asks that Dr. {b.last} call her at {phone1}.\n{findings"
    "} {s1}\n{impression} Case d/w {b.last}/{c.last} at {time1}.",
    # DICOM SR style key-value, no spacing
    "PatientName:{p.FULL};PatientID:{mrn};Acc:{acc};ReqPhys:{a.LAST}^{a.FIRST};Inst:{hospital};Date:{date1};Text:{findings"
    "} {s1} {impression};Verif:{b.LAST}^{b.FIRST};Trans:{c.INITS};InsID:{policy}",
    # letter to a lawyer / release of images
    "Images of {p.full} (SSN {ssn}, DOB {date1}) released to {r.full}, spouse, ID shown, by file clerk {a.first} {a.last}"
    " on {date2}. Study UID {uid}. {findings} {s1} {impression} Questions: {b.full}, Health Information Mgmt, {hospital},"
    " {phone1}, {email}.",
)
