"""The sixth list: reports in English from outside the United States; its author never saw the rules or the other lists but one."""

from __future__ import annotations

DATES = (
    "{d:02d}.{m:02d}.{yy:02d}",
    "{d}/{m}/{yy:02d}",
    "{wd} {d} {mon} '{yy:02d}",
    "{ordinal} of {name} {year}",
    "{d:02d}-{MON}-{year}",
    "{d:02d}{MON}{yy:02d}",
    "{year}.{m:02d}.{d:02d}",
    "{weekday}, {ordinal} {name}",
    "{d} {name}, {year}",
    "{d:02d} / {m:02d} / {year}",
    "{d}-{mon}-{yy:02d}",
    "{year}-{MON}-{d:02d}",
    "{d:02d}/{MON}/{year}",
    "{d}.{m}.{year}",
    "{name} of {year}",
    "{d}. {name} {year}",
    "{wd} {d}/{m}",
    "{ordinal} {mon} {yy:02d}",
    "{d:02d}-{m:02d}-{yy:02d}",
    "{year}/{m:02d}/{d:02d}",
    "{d:02d} {m:02d} {year}",
    "{weekday} {d} {mon}",
    "{ordinal} day of {name}, {year}",
    "{wd}. {d:02d}.{m:02d}.{year}",
    "{year}{m:02d}{d:02d}",
    "{d:02d}-{mon}. {year}",
    "{ordinal} {name}",
    "{d} / {mon} / {yy:02d}",
)  # fmt: skip
RECORD_NUMBERS = (
    "?#######?",
    "######-##-####",
    "#### #### ####",
    "784-####-#######-#",
    "#####-#######-#",
    "?######(#)",
    "???####",
    "######-####",
    "UHID/##/######",
    "?? ## ## ## ?",
    "####.##.###",
    "### ### ####",
    "########-####",
    "OP/####/##",
    "######?",
)  # fmt: skip
ACCESSION_NUMBERS = (
    "R??########",
    "CT/####/##-##",
    "##-??-####",
    "US-##/######",
    "??#.########",
    "####/##/#####",
    "?###-####-????",
    "######/MR/##",
    "RAD ## ######",
    "XR#######-##",
    "??##?######",
    "Lab-######/#",
)  # fmt: skip
PHONES = (
    "+44 (0)#### ######",
    "0#### ### ###",
    "020 #### ####",
    "+353-#-### ####",
    "00353 ## #######",
    "+91-###########",
    "03##-#######",
    "+65 #### ####",
    "01#-### ####",
    "(0#) #### ####",
    "04## ### ###",
    "0## ### ####",
    "+254 7## ### ###",
    "+234(0)80########",
    "+971-5#-#######",
    "(+356) #### ####",
    "06-########",
    "+47 ## ## ## ##",
    "0##-########/##",
    "1800-###-####",
)  # fmt: skip
HOSPITALS = (
    "{0} District General Hospital",
    "Royal {0} Infirmary",
    "{0} Teaching Hospitals NHS Foundation Trust",
    "Ysbyty {0}",
    "The {1} Surgery",
    "{1} Diagnostics & Imaging Centre",
    "Dr. {1}'s X-Ray and Scan Centre",
    "Hospital Sultanah {1}",
    "St Vincent's {0}",
    "{0} Base Hospital",
    "{1} & Partners Radiologists Inc.",
    "{0} County Referral Hospital",
    "Federal Medical Centre, {0}",
    "Al {1} Specialty Hospital",
    "{0} Universitair Medisch Centrum",
    "{0} sykehus",
    "{0} Polyclinic",
    "{1} Memorial Mission Hospital",
    "Our Lady's Hospital, {0}",
    "{0} Health Centre",
)  # fmt: skip

CLINICAL = (
    "Monteggia fracture-dislocation with 18 degrees of apex anterior angulation of the ulna.",
    "Bosniak IIF cyst in the left kidney, 34 x 29 mm, HU 14 to 22.",
    "Subcapital fracture of the right neck of femur, Garden IV.",
    "Hill-Sachs lesion with an osseous Bankart fragment of 7 mm.",
    "Biparietal diameter 88.4 mm, head circumference 319 mm, amniotic fluid index 12.6 cm.",
    "Modic type 2 change at L4/5 and a Schmorl's node in the superior endplate of L1.",
    "Fleischner follow-up is not needed for the 4 mm perifissural node.",
    "Riedel's lobe is noted; liver span 17.2 cm.",
    "Fazekas 2 white matter change, Scheltens score 3 on the right and 2 on the left.",
    "Cavitating consolidation in the right upper lobe, a Ghon focus and a Ranke complex on the left.",
    "Stanford B dissection from the left subclavian to the coeliac axis, maximum diameter 52 mm.",
    "PI-RADS 4 lesion in the left mid peripheral zone, prostate volume 61 mL, PSA density 0.14.",
    "Bilateral Baker's cysts, Kellgren-Lawrence grade 3 on the right.",
    "ICRP 103 effective dose 6.8 mSv, DLP 451 mGy.cm, CTDIvol 9.7 mGy.",
    "Hutch diverticulum, post-micturition residue 140 cc.",
    "T3b N1 M0 by TNM 8, CRM threatened at 10 o'clock.",
    "Hounsfield values of 980 in the 11 mm calculus at the left vesico-ureteric junction.",
    "Pott's disease at D10-D11 with a Gibbus of 35 degrees.",
    "BI-RADS 2 on the right, M3 U3 on the left at 2 o'clock, 6 cm from the nipple.",
    "Weber B fracture; the Böhler angle of the calcaneum is 31 degrees.",
)  # fmt: skip

LAYOUTS = (
    # a CRIS header
    "{hospital} - Radiology\nSurname: {p.LAST}   Forename: {p.First}   D.O.B: {date1}\nNHS No: {nhs}   Hosp No: {mrn}   Event: {acc}\nReferrer: {a.last} (GP)   Loc: {city}\n\n{findings}\n{s1}\n{impression}\n\nReported by: {b.full}, Consultant Radiologist, GMC {policy}\nVerified: {date2} {time1}",
    # a letter to a GP
    "{a.full}\n{hospital}\n{street}\n{city}\n{zip}\n\nDear {a.first},\n\nRe: {p.full}, d.o.b. {date1}, of {street}, {city}\n\nMany thanks for sending along this pleasant lady. {findings} {s1} {s2} {impression}\n\nWith best wishes,\nYours sincerely\n\n\nDictated but not signed by {b.full}\nc.c. {c.full}, Community Midwife; patient",
    # a private centre in India
    "Patient Name : {p.FULL}    Age/Sex : {age}Y/M\nRef. By : Dr. {a.FULL} (MBBS, MD, DNB)\nUHID : {mrn}    Bill No : {acc}\nReg. Date : {date1}    Reported on : {date2} at {time1}\n\nUSG WHOLE ABDOMEN\n{findings}\n{s1}\nIMPRESSION : {impression}\n\nDr. {b.full}\nMD (Radio-diagnosis), Reg. No. {policy}\nTyped by: {c.First}\nAppointments {phone1}",
    # son of, daughter of, in Pakistan
    "Name: {p.full} S/O {r.full}\nCNIC: {mrn}\nCell: {phone1}\nAddress: {street}, near {hospital}, {city}\nAdvised by: Prof. {a.last} Sahib\n\n{findings} {s1}\nOpinion: {impression}\nNot valid for medico-legal purposes.\nDr {b.full}, FCPS, PMDC {policy}",
    # WhatsApp notes
    "[{date1}, {time1}] {a.full}: salam boss pls see {p.First} {p.Last} {mrn}, in resus\n[{date1}, {time1}] {b.full}: looking. {s1}\n[{date1}, {time1}] {b.full}: {s2} tell {c.First}\n[{date2}, {time1}] {a.full}: tq dr {b.Last}, family ({r.First}, the brother) informed. {impression}",
    "hi {a.First}, {b.Last} from xray. ur pt {p.Full}, {mrn}, cxr done. {findings} {s1} call me {phone1} or dr {c.Last} if i am in theatre. {impression}",
    # an MDT outcome
    "UPPER GI MDT OUTCOME - {date1} - {hospital}\nPresent: {a.last} (chair), {b.last}, {c.last}, {d.last}; apologies: {r.full}\nPatient: {p.comma} {nhs}\nRadiology ({b.inits}): {findings} {s1}\nHistology ({c.inits}): awaited\nOutcome: {impression} CNS {d.first} to ring the patient on {phone1}.",
    "Discussed at {city} sarcoma MDT, {date1}. Imaging shown by {a.init}. {s1} {s2} Mr {b.last} kindly offered an OPA on {date2}; Miss {c.last} disagrees and would biopsy first. {impression}\nPatient: {p.full}, CHI {mrn}.",
    # a discharge letter
    "DISCHARGE SUMMARY\n{p.full} ({age} years), admitted {date1}, discharged {date2}\nConsultant: {a.last}\nWard sister: {b.full}\nNext of kin: {r.full} (niece), {phone1}\n\nCT on admission: {findings} {s1}\nOn discharge: {impression}\nPackage of care arranged with {c.full}, social worker, {city} council. Key safe at {street}.",
    # a referral quoted in a report
    "Request states: \"Dear colleague, please scan {p.full}, teacher at {city} Girls' Secondary School, who saw {a.last} at {hospital} on {date1}. Ta, {b.first}\". Findings: {findings} {s1} Conclusion: {impression} Reported by {c.three}, FRANZCR.",
    # New Zealand, Australia
    "Dear Dr {a.last}\n\nRE: {p.LAST} {p.first} - DOB {date1} - NHI {mrn} - ACC claim {policy}\n{street}, {city} {zip}\n\nClinical: fell off a quad bike on the {r.last} farm, where she is employed.\n{findings} {s1}\nComment: {impression}\n\nThank you for your referral,\n{b.full} MBChB FRANZCR\nElectronically signed {date2}, {time1}\nCopies: {c.init}; {d.init}",
    "{hospital}\nMedicare no. {policy} Ref {acc}\nPt {p.COMMA} {date1}\nReferring: {a.COMMA} Prov {mrn}\nSonographer: {b.First} {b.Last}\n\n{findings}\n{s1}\n{impression}\n\nDr {c.tail}\nPatient portal {url}",
    # South Africa: scheme, dependants
    "Main member: {r.init} (father)   Dependant: {p.full}\nScheme no. {policy}   ID {mrn}\nSent by Drs {a.last}, {b.last} and {c.last}, {city}\n{findings}\n{s1}\n{impression}\nDr {d.last} Inc, practice no. {acc}, accounts {phone1}, {email}",
    # Kenya, Nigeria
    "NAME: {p.three}\nIP NO. {mrn}\nDATE: {date1}\nRESIDENCE: {city}\nEMPLOYER: {hospital}\nCHIEF COMPLAINT: brought by in-law {r.full}\n\n{findings} {s1}\nCONCLUSION: {impression}\nDr. {a.full}, Consultant Radiologist (Lic {policy})\nRadiographer: {b.full}, M-Pesa receipt to {phone1}",
    "Thank you, Chief Dr {a.full}, for referring Alhaji {p.last}. {findings} {s1} {s2} He came with his driver {r.full} from {city} on {date1}. {impression}\nSigned: Dr (Mrs) {b.full}, FWACS, for {hospital}",
    # the Gulf
    "Pt: {p.full} | File: {mrn} | Emirates ID: {ssn} | Mob: {phone1} | Insurer card: {policy}\nDr: {a.full} | Visit: {date1} {time1}\n{findings}\n{s1}\n{impression}\nSponsor: {r.full}. Reporting physician: {b.full}, DHA-{acc}.",
    # Singapore, Malaysia, Hong Kong
    "NAME {p.FULL} (NRIC {mrn}) / {acc} / {date1}\nOrdering: A/Prof {a.full}, MCR {policy}\n{findings}\n{s1}\n{impression}\nFindings texted to Dr {b.full} and acknowledged by SN {c.full} at {time1} hrs.\nFinalised by Adj Asst Prof {d.full}",
    "To: Pakar Radiologi, {hospital}\nEncik {p.full}, no. K/P {mrn}, tinggal di {street}, {city} {zip}\nWife: Puan {r.full}, h/p {phone1}\n{findings} {s1} {impression}\nRegards, {a.full} (MO), countersigned {b.full}, MMC {policy}",
    "Attending MO: {a.LAST} {a.first}\nPatient: {p.LAST} {p.first}   HKID: {mrn}   DOB: {date1}\nExam no.: {acc}\n{findings} {s1}\n{impression}\nEnd of report. Dr. {b.LAST}, {b.first} / Dr. {c.LAST}, {c.first}. Enquiries: {phone1} (Ms {d.last}).",
    # Ireland
    "Dear {a.first} and {b.first},\nThis man, {p.full}, is a brother-in-law of {r.full} whom ye will both remember from the practice in {city}. {findings} {s1} {impression} I have asked Mr {c.last} in {hospital} to see him on {date1}.\nSlán,\n{d.full}, IMC {policy}\nSecretary: {phone1}",
    # Malta
    "Name & Surname: {p.full}\nI.D. Card: {mrn}\nAddress: \"Dar {r.last}\", {street}, {city} {zip}\nConsultant firm: {a.last}\nHST i/c: {b.full}\n{findings} {s1}\n{impression}\nRad: {c.init} BST, {date1}",
    # Scandinavia and the Netherlands
    "Patient: {p.full}, personal no. {mrn}. Referring unit: {hospital}, dr {a.last}. Exam {date1} kl. {time1}.\n{findings}\n{s1}\n{impression}\nPrelim. answer: {b.full}, ST-läkare / Final signature: {c.full}, överläkare",
    "Dear colleague, dear {a.first},\nAbove-mentioned patient, Mrs {p.last} (born {date1}, BSN {mrn}), living at {street} in {city}, visited our outpatient clinic. {findings} {s1} {impression}\nWith collegial greetings, also on behalf of {b.full}, radiologist,\n{c.full}, AIOS, bleep via {phone1}",
    # translated
    "[Translation from the original. Sworn translator: {c.full}, {city}, {date2}]\nThe citizen {p.full}, born on {date1}, passport {policy}, was examined in {hospital}.\nDescription: {findings} {s1}\nConclusion: {impression}\nPhysician (signature illegible, stamp: {a.FULL}); head of department {b.full}.",
    # medico-legal and insurance
    "IN THE MATTER OF {p.FULL} v {r.FULL}\nI, {a.three}, consultant radiologist of {hospital}, instructed by {b.full} of {b.last} Solicitors (ref {acc}), reviewed the images dated {date1}.\n{findings} {s1} {s2}\n{impression}\nStatement of truth signed {date2}.",
    "Claim {policy} - assured: {p.full} - broker: {r.full}\nQuestion of the loss adjuster (Ms {a.last}): is the lesion older than {date1}? Answer: {findings} {s1} {impression} I have not treated Mr {p.last}. {b.full}, invoice to {email}.",
    "Police case: FIR {acc}, dated {date1}. Victim {p.full}, w/o {r.full}, r/o {street}, {city}. Brought by constable {a.full}, belt no. {policy}. X-ray skull: {findings} {s1} {impression} Identification marks not noted. MLO Dr. {b.full}.",
    # occupational health
    "PRE-EMPLOYMENT CHEST X-RAY\nEmployee: {p.Full}; payroll {mrn}; employer: {r.last} Shipping; line manager: {a.full}\nFilm of {date1} read to ILO 2011 by {b.full}: {s1} {findings} {impression} Fitness certificate goes to {email}. Next film {date2}.",
    # maternity
    "ANTENATAL SCAN - {hospital}\nMother: {p.full} ({mrn}); partner: {r.first}; booked under {a.last}; midwife {b.first} {b.last}\nLMP {date1}; EDD {date2}\n{s1} {findings} {impression}\nThe couple have chosen the name {d.first} for the baby. Scanned by {c.inits}, room line {phone1}.",
    "Twin 1 ({a.first}) and twin 2 ({b.first}) of {p.full}, born {date1} at {time1}: cranial ultrasound on the neonatal unit. {findings} {s1} {impression} Father {r.full} updated at the cotside by Staff Nurse {c.last}.",
    # ward rounds
    "WR {date1} Prof {a.last} / Reg {b.last} / SHO {c.first} / HO {d.first}\nBed by the window: {p.first} {p.last}, {age}, retired bus driver from {city}\nCT: {s1} {s2}\nPlan: {impression}\n- chase {d.last} re bloods\n- daughter {r.first} flying in on {date2}, wants to meet {a.last}",
    "PTWR ({a.inits}/{b.inits}) {time1}\n{p.COMMA}\n{nhs}\nO/E as before. Imaging - {findings} {s1}\nImp - {impression}\nDNAR discussed w son {r.full} by phone ({phone1}). {c.Full}, f1, gmc {policy}",
    # addenda, phone calls, safeguarding
    "{findings} {s1} {impression}\n\nADDENDUM ({date1}, {a.full}): reviewed at the request of Mr {b.last}. {s2} The wrong side was given in the first report by {c.last}; apologies to {p.last} and the family.\nADDENDUM 2 ({date2}, {c.full}): agree with {a.last}. {s3}",
    "SAFEGUARDING. Child {p.full}, pupil at {city} Primary, class of Mrs {a.last}. Accompanied by foster carer {r.full}, {street}. Skeletal survey {date1}, second read {b.full}: {findings} {s1} {impression} Strategy meeting with {c.full} (social care) and DC {d.last} (police).",
    # a teleradiology front sheet
    "From: {a.full} <{email}>\nTo: {b.full}\nSent: {date1} {time1}\nSubject: URGENT {p.LAST} {acc}\n\n{b.first},\n\n{s1} {findings}\nStudy UID {uid}, node {ip}, viewer {url}\n{impression}\n\nCheers\n{a.first}\n--\n{a.full}, night hawk, {city}",
    "MESSAGE HEADER|{hospital}|{date1}\nPID|{mrn}|{p.caret}|{date2}\nPV|{a.caret}|{b.caret}\nTXT|{findings}\nTXT|{s1}\nTXT|{impression}\nSIG|{c.caret}|HCPC {policy}",
    # prose with many places and people
    "Background: moved here from {city} in the spring; formerly under Dr {a.last} and then the {b.last} firm at {hospital}, where an MRI on {date1} was read by {c.full}. Comparison is made with it. {findings} {s1} {impression} {p.first} asks that her GP, {d.full}, and not her ex-husband {r.full}, be sent the result.",
    "Sister {a.last} rang at {time1} about {p.last} in side room: fell again. Portable film, {b.first} (radiographer) in attendance. {findings} {s1} {impression} Told to Dr {c.last}, who repeated it back. {d.full} SpR {ext1}",
    # signature blocks
    "{body}\n{s1}\n\n____________________\nDr {a.full}\nMBBS, DMRD, FRCR (UK), EDiR\nSr. Consultant & HOD\nRegn: {policy}\n\n____________________\nDr {b.FULL}\nMBChB, FC Rad Diag (SA), MMed\n\nChecked: {c.Full} / {date1}\nPt. {p.FULL}, {mrn}",
    "{body} {s1}\nReporting radiographer {a.full} (HCPC {policy}), audited by Dr {b.last}-{c.last}. Requested by ANP {d.full} for {p.full}, {nhs}. {s2}\npp {r.full}, dept secretary, {phone1} {ext1}",
    # a thank-you, a guarantor and a household
    "Patient {p.full} lives with her granddaughter {r.first} {r.last} at {street}, {city} ({zip}), and turned {age} on {date1}. Known to district nurse {a.first}. {findings} {s1} {impression} Transport booked by {b.full}, {phone1}. Carer: {c.full}.",
    "Overseas visitor, passport {policy}, guarantor {r.full} of {hospital}. Deposit taken by cashier {a.full} on {date1}. Scan of {p.commam}: {findings} {s1} {impression} Copy on CD handed to the embassy doctor, {b.full}. National ID {ssn}.",
)  # fmt: skip
