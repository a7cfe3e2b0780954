"""The ninth list: written blind, by an author who saw neither the rules nor any list but the seventh.

What exports of ordinary departments look like: teleradiology firms, private chains, district hospitals, breast
screening units, cardiology and nuclear medicine, in eight English-speaking countries.
"""

from __future__ import annotations

DATES = (
    "{d}/{m}/{year}",
    "{m}/{d}/{year}",
    "{d:02d}/{m:02d}/{yy:02d}",
    "{m:02d}/{d:02d}/{yy:02d}",
    "{d:02d}/{mon}/{year}",
    "{d:02d}/{MON}/{yy:02d}",
    "{d:02d}-{mon}-{year}",
    "{d:02d}-{m:02d}-{year}",
    "{m:02d}-{d:02d}-{year}",
    "{m}-{d}-{yy:02d}",
    "{d}.{m}.{year}",
    "{d:02d}.{m:02d}.{yy:02d}",
    "{year}{m:02d}{d:02d}",
    "{year}.{m:02d}.{d:02d}",
    "{year}-{mon}-{d:02d}",
    "{year}-{MON}-{d:02d}",
    "{year}-{m:02d}-{d:02d} 00:00:00",
    "{year}-{m:02d}-{d:02d}T08:31:00",
    "{MON} {d:02d}, {year}@09:42",
    "{MON} {d:02d} {year}",
    "{mon} {d}, {year}",
    "{mon} {d:02d} {year}",
    "{d:02d} {MON} {year}",
    "{d} {mon} {yy:02d}",
    "{d:02d}{MON}{yy:02d}",
    "{d:02d}-{MON}-{yy:02d}",
    "{ordinal} {mon} {year}",
    "{ordinal} of {name}, {year}",
    "{name} {ordinal}, {year}",
    "{weekday} {d} {name} {year}",
    "{weekday} {ordinal} {name} {year}",
    "{wd}, {mon} {d}, {year}",
    "{wd} {m}/{d}/{year}",
    "{wd} {d:02d}-{mon}-{yy:02d}",
    "{name}, {year}",
    "{mon}-{year}",
    "{m}/{year}",
    "mid-{name} {year}",
    "{weekday} {d} {name}",
)
RECORD_NUMBERS = (
    "######",
    "#########",
    "???####",
    "?########",
    "M00#######",
    "##/######",
    "##-######",
    "####-####",
    "#-###-###",
    "MR-######",
    "########/#",
    "OP#######",
    "?######?",
    "## ## ##",
    "##.##.####",
    "UHID########",
    "8003 60## #### ####",
)
ACCESSION_NUMBERS = (
    "############",
    "E########",
    "RBK##########",
    "##MR######",
    "US-##-######",
    "###-???-#####",
    "####-##-#####",
    "A-#######",
    "??.######.#",
    "RIS/####/######",
    "RX######-##",
    "##?-####-#",
    "##########-#",
    "???-##-####",
    "#.#######",
)
PHONES = (
    "###.###.####",
    "+1 (###) ###-####",
    "1-###-###-####",
    "(###)###-####",
    "### ###-####",
    "0#### ######",
    "07### ######",
    "(01##) ### ####",
    "+44 1### ######",
    "(0#) #### ####",
    "04## ### ###",
    "+61 (0)3 #### ####",
    "1800 ### ###",
    "+64 9 ### ####",
    "02# ### ####",
    "(0##) ### ####",
    "+353 (0)87 ### ####",
    "+91-##########",
    "0##-########",
    "011 ### ####",
    "+27 (0)82 ### ####",
)
HOSPITALS = (
    "{0} Base Hospital",
    "{0} Private Hospital",
    "{0} Provincial Hospital",
    "{0} and District Hospitals NHS Trust",
    "{0} Cottage Hospital",
    "{0} Community Health Centre",
    "{0} Breast Screening Unit",
    "{1} Radiology Partners, PLLC",
    "{1} Imaging Associates of {0}",
    "{1} Scan Centre and Nursing Home",
    "{1} Family Medical Practice",
    "Drs {1} and Associates",
    "St Luke's Hospital, {0}",
    "Sacred Heart Medical Center, {0}",
    "University of {0} Health Sciences Centre",
    "The {1} Heart Institute",
    "{0} Urgent Care",
    "{0} Open MRI and CT",
    "Mater Private {0}",
    "{0} Medical Imaging",
)

CLINICAL = (
    "Schatzker type II fracture of the tibial plateau with 6 mm of depression of the lateral articular surface.",
    "LVEF 38% by biplane Simpson's with moderate functional mitral regurgitation, EROA 0.24 cm2.",
    "Summed stress score 11 and summed rest score 3, with a TID ratio of 1.24.",
    "Thyroid nodule of 19 x 14 x 12 mm, taller than wide, ACR TI-RADS 4.",
    "Multilocular cyst of the left ovary, 6.2 cm, without papillary projections, O-RADS 3.",
    "CAD-RADS 3 with a 50-69% stenosis of the mid LAD; the circumflex is non-dominant.",
    "Solid nodule of 9 mm in the right lower lobe, Lung-RADS 4A, image 187 of series 4.",
    "Cobb angle 34 degrees from T5 to T11, convex to the right, Risser 2, Lenke type 1.",
    "Left hydronephrosis, SFU grade 3, with an AP renal pelvis of 17 mm and cortical thickness of 7 mm.",
    "Spetzler-Martin grade III malformation with a 2.8 cm nidus and deep drainage into the vein of Galen.",
    "Gallbladder ejection fraction 22% at 30 minutes after sincalide (normal above 38%).",
    "Technetium uptake 11.2% at 20 minutes with a homogeneous gland, in keeping with Graves' disease.",
    "Peak systolic velocity 312 cm/s and an ICA/CCA ratio of 4.6, equivalent to a 70-89% stenosis.",
    "Grouped fine pleomorphic calcifications over 22 mm at 11 o'clock, 6 cm from the nipple, ACR density C.",
    "Neer three-part fracture of the proximal humerus with 20 degrees of varus angulation.",
    "Kerley B lines, small bilateral effusions and a cardiothoracic ratio of 0.61.",
    "Lisfranc injury with 4 mm of diastasis between the first and second metatarsal bases and a fleck sign.",
    "Horizontal tear of the posterior horn of the medial meniscus; Outerbridge 2 chondral loss; small Baker cyst.",
    "Balthazar grade E pancreatitis with about 30% necrosis, CT severity index 8.",
    "Umbilical artery PI 1.42, above the 95th centile; EFW 1,480 g (Hadlock 4).",
    "Mirels score 9 for the lytic lesion of the right subtrochanteric femur.",
    "Trans-sphincteric fistula at 6 o'clock, internal opening 28 mm above the anal verge, St James's grade 4.",
    "Medial temporal atrophy, Scheltens 2 on the right and 3 on the left; prominent Virchow-Robin spaces.",
    "Todani type I choledochal cyst, common duct 19 mm, no stone on the 3D MRCP.",
)

LAYOUTS = (
    # Teleradiology firms
    "FINAL REPORT - TELERADIOLOGY\nClient site: {hospital}     Site fax: {phone1}\nPatient name: {p.COMMA}     Sex: F"
    "     D.O.B.: {date1}\nSite patient ID: {mrn}     Order no: {acc}\nImages received: {date2} {time1}    "
    " Turnaround: 31 min\n\nEXAM: CT abdomen and pelvis with IV contrast.\nREASON FOR STUDY: LLQ pain, r/o"
    " diverticulitis.\nPRIOR STUDIES: None transmitted.\n\nFINDINGS:\n{findings}\n{s1}\n\nIMPRESSION:\n1."
    " {impression}\n2. No free air.\n\nInterpreting physician: {a.full}, MD\nThis report was electronically"
    " finalized. If you have received this fax in error, please destroy it.",
    "After-hours reporting for {hospital}\nUR {mrn}   {p.LAST}, {p.first}   M\n\nCT BRAIN\n\nClinical notes:"
    " Unwitnessed fall on warfarin, INR 3.1. ?ICH\n\nReport:\n{findings} {s1}\n\nConclusion:\n{impression}\n\n"
    "Reported offsite by Dr {a.full}, FRANZCR, {date1} {time1}.\nED registrar {b.last} phoned on completion.",
    "This examination has been reported by an independent radiologist on behalf of {hospital}. Please direct any"
    " query to the reporting desk on {phone1}, quoting {acc}.\n\nMRI Lumbar spine\n\nClinical history: Back pain with"
    " right L5 radiculopathy, failed physiotherapy.\n\nFindings:\n{findings}\n\n{s1}\n\nOpinion:\n{impression}\n\n"
    "Reporting radiologist: Dr {a.full} MBBS FRCR\nDate reported: {date1}",
    "RADIOLOGY DISCREPANCY NOTICE\nExam: CT chest angiogram   Acc: {acc}\nPrelim by: {a.full}, DO (contract"
    " reader)\nFinal by: {b.full}, MD\nCategory: minor, change in management unlikely\n\nPRELIMINARY: No pulmonary"
    " embolism. {s1}\n\nFINAL: {findings}\n{impression}\n\nED physician Dr. {c.last} was sent a secure message at"
    " {time1} on {date1}. The patient, {p.full}, was called at {phone1} and asked to see her PCP.",
    "Report Status: FINAL\nReading Location: home office\n\nCT CERVICAL SPINE WITHOUT CONTRAST {date1}\n\nINDICATION:"
    " Restrained driver, midline tenderness, fails NEXUS.\n\nCOMPARISON: Radiographs of the cervical spine"
    " {date2}.\n\n{findings}\n\n{s1} {s2}\n\nIMPRESSION: {impression}\n\nSigned (Electronic Signature): {a.full},"
    " M.D. {date3} {time1}",
    # Private imaging chains and practices
    "{hospital}\n{street}\n{city}, {zip}\nP: {phone1}  |  F: {phone2}\n\nPATIENT: {p.full}\nDOB: {date1}\nCHART:"
    " {mrn}\nDOS: {date2}\nREF: {a.full}, NP\n\nMRI LEFT KNEE WITHOUT CONTRAST\n\nHISTORY: Twisting injury 3 weeks"
    " ago, medial joint line pain.\n\nTECHNIQUE: Sagittal PD and T2 FS, coronal T1 and STIR, axial PD FS on a 1.5T"
    " magnet.\n\nFINDINGS: {findings} {s1}\n\nIMPRESSION: {impression}\n\nThank you for this kind referral.\n"
    "{b.full}, MD\nBoard Certified Radiologist",
    "Patient: {p.full}\n         {street}, {city}\nDOB: {date1}   Medicare: {policy}\n\nDear Dr {a.last}\n\n"
    "ULTRASOUND RIGHT SHOULDER AND SUBACROMIAL INJECTION\n\nClinical: ?Supraspinatus tear.\n\n{findings}\n{s1}\n\n"
    "Under aseptic technique 1 mL Celestone and 3 mL ropivacaine were placed in the bursa. Pain went from 7/10 to"
    " 2/10.\n\nComment: {impression}\n\nWith thanks,\nDr {b.full}\n\nCopies: Dr {c.full} (physio group), My Health"
    " Record",
    "NHI: {mrn}   {p.comma}   born {date1}\nReferrer: {a.full}, {hospital}\nAcc no. {acc}\n\nX-RAY LEFT ANKLE"
    " {date2}\n\nClinical details: Inversion injury at netball. ACC claim. Ottawa positive.\n\n{findings} {s1}\n\n"
    "Impression: {impression}\n\nReported by Dr {b.full}. Images are on the regional archive.",
    "Tax invoice and report enclosed\nMember: {p.init}   Medical aid no.: {policy}   Dep. code: 01\nPatient cell:"
    " {phone1}\nRef. doctor: Dr {a.tail}\nICD-10: M54.5\n\nX-RAY LUMBAR SPINE AP, LATERAL AND CONED VIEW OF L5/S1\n"
    "\n{findings}\n{s1}\n\nCOMMENT\n{impression}\n\nDr {b.full}\nRadiologist, {hospital}",
    "Name      : {p.FULL}\nAge/Sex   : 46 Yrs / M\nUHID/OP   : {mrn}\nBill Dt.  : {date1}\nRef. Dr.  : {a.FULL}, MS"
    " (Ortho)\nMob. No.  : {phone1}\n\nMRI SCAN OF WHOLE SPINE SCREENING\n\nProtocol: T1W, T2W sagittal, axial T2W,"
    " STIR coronal.\n\nOBSERVATIONS:\n- {findings}\n- {s1}\n- Cord shows normal signal.\n\nIMPRESSION:\n*"
    " {impression}\n\nSuggested clinical correlation.\n\nDr {b.FULL} MDRD                         Typed by: {c.first}",
    "PHN: {policy}\nPatient: {p.comma}   Home ph: {phone1}\nOrdering: {a.comma}   Copy to: {b.comma}\nExam date:"
    " {date1}   Dictated: {date2}   Transcribed: {c.init}\n\nULTRASOUND PELVIS, TRANSABDOMINAL AND ENDOVAGINAL\n\n"
    "History: Menorrhagia. LMP 2 weeks ago.\n\nFindings:\n{findings}\n{s1}\n\nInterpretation:\n{impression}",
    "Chart No {mrn}     {p.full}     {date1}\n{street}, Co. {city}\nGP: Dr {a.full}\n\nMRI BRAIN\n\nCLINICAL INFO:"
    " Migraine with change in pattern, private referral.\n\nFINDINGS\n{findings}\n{s1}\n\nCONCLUSION\n{impression}\n"
    "\nDr {b.full}, IMC registered, {hospital}\nSecretary: {c.full} {email}",
    # District hospitals
    "Event: {acc}   Attended {date1} {time1}   A&E   Radiographer {c.tail}\n\nXR Chest: {findings} {s1}\n\n"
    "{impression}\n\nVerified by: {a.full}, Consultant Radiologist\nSecretary ext {ext1}",
    "{p.LAST} {p.first}\nNHS {nhs}\nOrdered by {a.full} for {b.last}\n\nUS Renal\n\nIndication: AKI on CKD, eGFR 19,"
    " previously 34.\n\n{s1} {findings}\n\nBladder: catheterised.\n\n{impression}\n\nSonographer: {c.full}. Reported"
    " {date1}.",
    "CT Thorax Abdomen Pelvis with contrast : {date1}\n\nHistory: Weight loss 11 kg, Hb 88, ferritin 6. 2WW upper"
    " GI.\n\nComparison: US abdomen {date2}; CXR {date3}.\n\n{findings}\n\n{s1}\n{s2}\n\nTNM stage: to follow MDT.\n"
    "\nConclusion: {impression}\n\nCoded alert sent.  {a.full} / typed {b.inits}",
    "MDT ADDENDUM  {date1}\nReviewed at HPB meeting. Chair: {a.full}. Radiologist: {b.full}. Outcome: MRI liver with"
    " Primovist, then back to list. CNS {c.full} ({ext1}) to inform the patient.\n\nORIGINAL REPORT\n{findings}\n\n"
    "{s1}\n\n{impression}",
    "ward 7b bed 12, {p.Full}, hosp no {mrn}\nmobile chest xray, ap sitting\n\nclin: ng placement, day 2 post"
    " laparotomy\n\n{findings} {s1}\n\nng tip projected over the left upper quadrant, safe to feed. informed nurse"
    " {a.First} at {time1}.\n\n{impression}\n\n{b.Full} spr",
    "PLAIN FILM REPORTING LIST, {hospital}\nReporting radiographer: {a.full} (HCPC registered)\n\n1. {p.tail}, {mrn},"
    " {date1}: L hip and pelvis.\n{findings} {s1}\n{impression}\n\nSecond check by {b.last}, {date2}.",
    # Breast
    "BREAST ASSESSMENT CLINIC\nScreening no: {mrn}   Client: {p.full}   Born: {date1}\nFilm reader 1: {a.init}   Film"
    " reader 2: {b.init}   Arbitration: {c.init}\n\nMammography (R CC, R MLO, tomo): {s1}\nUltrasound: {findings}\n"
    "Clinical examination: P3\n\nOpinion: {impression}\n14G core biopsy x 4, left clip marker. Results clinic {date2}.",
    "SCREENING MAMMOGRAM BILATERAL WITH CAD AND TOMO\n\nReferring: {a.full}, MD      Exam: {date1}      MRN: {mrn}\n"
    "\nHISTORY: Asymptomatic. Mother with breast cancer at 61. Gail 5-year risk 2.1%.\n\nCOMPARISON: {date2},"
    " {date3}.\n\nFINDINGS: {findings} {s1}\n\nASSESSMENT: BI-RADS 0\n\nRECOMMENDATION: {impression} Our navigator"
    " will contact Ms. {p.last} to schedule.\n\nA reminder has been entered for {date4}.",
    "ULTRASOUND-GUIDED VACUUM-ASSISTED BIOPSY, LEFT BREAST\n\nRadiologist: {a.full}, MD. Technologist: {b.full},"
    " RDMS.\nRisks were explained and written consent signed.\n\n{findings} {s1}\nA HydroMARK butterfly clip was"
    " deployed. EBL minimal.\n\nIMPRESSION: {impression}\n\nADDENDUM {date1}: Pathology from {hospital}:"
    " fibroadenoma, concordant. {p.first} {p.last} was told by phone by {c.full}, RN, on {date2} and had no questions.",
    "Breast clinic letter-report\n{hospital}\n\nRe: {p.full}, {street}, {zip}\n\nMs {p.last} was recalled from the"
    " van with a left-sided asymmetry. She came with her sister {r.first}. {s1}\n\n{findings}\n\n{impression} She has"
    " been reassured and returned to routine recall. Her GP, Dr {a.full}, receives a copy.\n\nMr {b.full}, Breast"
    " Surgeon",
    # Cardiology
    "TRANSTHORACIC ECHOCARDIOGRAM\nName: {p.commam}   ID: {mrn}   Study date: {date1}\nHt 171 cm  Wt 84 kg  BSA 1.99"
    " m2  BP 138/82  HR 71 SR\nOrdering MD: {a.full}   Sonographer: {b.full}, RDCS   Tape/Disc: {acc}\n\n"
    "MEASUREMENTS: LVIDd 5.4 cm, IVSd 1.1 cm, LA 4.2 cm, E/e' 13, TAPSE 19 mm.\n\nINTERPRETATION:\n{s1}\n{s2}\n"
    "{findings}\n\nCONCLUSIONS: {impression}\n\nRead by: {c.full}, MD, FACC",
    "CT CORONARY ANGIOGRAM\nDr {a.last}, Rapid Access Chest Pain Clinic\n\n{p.full} attended on {date1} with atypical"
    " angina. Metoprolol 5 mg IV and GTN 400 mcg SL were given by {b.full}; heart rate 58 bpm. Prospective gating,"
    " DLP 214 mGy.cm.\n\nCalcium score 87 Agatston units.\n{s1}\n{findings}\n\nSummary: {impression}\n\nCo-reported:"
    " Dr {c.full} (cardiology) and Dr {d.full} (radiology)",
    "CARDIAC MRI REPORT\nScanner: 1.5T Aera   Height/weight as on file\nConsultant: {a.full}  "
    " Physiologist/radiographer: {b.full}\nRequest date {date1}, scan date {date2}\n\nIndication: ?HCM, brother"
    " {r.full} died suddenly aged 34.\n\nLV EDVi 71 mL/m2, LVEF 68%, max wall 19 mm (Maron type III). LGE at the RV"
    " insertion points.\n{s1}\n\nExtracardiac: {findings}\n\nConclusion: {impression}",
    "MYOCARDIAL PERFUSION IMAGING - ONE DAY STRESS/REST\nPt: {p.COMMA}  Acct: {acc}  Loc: Stress Lab\nStress"
    " supervised by {a.full}, PA-C under {b.full}, MD\n\nBruce protocol, 7:12 min, 9.1 METs, 92% of MPHR, Duke score"
    " 4. Tc-99m sestamibi 10.8 mCi rest, 31.2 mCi stress.\n\n{s1} {findings}\n\nIMPRESSION: {impression}\n\nPrior"
    " nuclear study: {date1} at {hospital}, no images available.",
    "VASCULAR LABORATORY\nCarotid duplex, bilateral\nVascular scientist {a.full} AVS     Vetted {b.tail}\n{p.full},"
    " {date1}, {mrn}\n\nTIA clinic. ABCD2 score 5.\n\nRight: {s1}\nLeft: {findings}\nVertebrals antegrade.\n\n"
    "{impression}\n\nVascular registrar bleeped via switchboard {phone1} at {time1}.",
    # Nuclear medicine
    "68Ga-PSMA PET/CT\n\nReferrer: A/Prof {a.full}, cc Dr {b.full}\nPatient: {p.full}   IHI/UR: {mrn}\n\nHistory:"
    " Radical prostatectomy {date1}, pT3a, Gleason 4+3, PSA 0.42 on {date2}.\n\nTechnique: 168 MBq, uptake time 61"
    " minutes.\n\nFindings: {findings} {s1}\n\nConclusion: {impression}\n\nmiTNM: T0 N0 M0. PROMISE score as above.",
    "LUNG V/Q SPECT\nRequested by {a.comma}, ward A4, bleep {ext1}\nInjected: {b.init}   Room: 2   Given: {time1}\n"
    "\nClinical: G3P2, 31/40, pleuritic pain, Wells 3. Half-dose MAA.\n\n{s1}\n{findings}\n\nConclusion:"
    " {impression}\n\nARSAC holder: Dr {c.full}\nAuthorised: {date1}",
    "THYROID UPTAKE AND SCAN\n{p.comma} {mrn}\nSeen in the thyroid clinic by {a.full} on {date1}. Carbimazole stopped"
    " 5 days ago; no iodinated contrast since {date2}. TSH <0.01, fT4 41 pmol/L.\n\n80 MBq Tc-99m pertechnetate.\n"
    "{s1}\n{findings}\n\n{impression}\n\nDose of radioiodine to be agreed with {b.full}, medical physics.",
    "MAG3 RENOGRAM (PAEDIATRIC)\nMaster {p.full}, d.o.b. {date1}. Cannulated by play team and Sister {a.last}. Weight"
    " 14.2 kg, 32 MBq.\nMother ({r.full}) consented to furosemide F+0.\n\nDifferential function L 47%, R 53%. {s1}\n"
    "{findings}\n\n{impression}\n\nPlease forward to Mr {b.full}, paediatric urology, {hospital}.",
    "BONE MINERAL DENSITY\nPatient: {p.FULL}          Facility ID: {mrn}\nReferring Physician: {a.FULL}     Birth"
    " Date: {date1}\nMeasured: {date2}   Analyzed: {date3} (13.60)\n\nL1-L4 0.941 g/cm2, T-score -1.9. Femoral neck"
    " 0.702, T-score -2.4. {s1}\n\nIncidental: {findings}\n\nWHO category: osteopenia. {impression}\n\nCertified"
    " densitometrist {b.full}",
    # What systems wrap around a report
    "Narrative & Impression\nEXAM: XR FOOT 3+ VW RIGHT\nINDICATION: Pain after drop of a pallet\n\n{findings}\n"
    "{s1}\n\nIMPRESSION\n{impression}\n\nWorkstation performed: {acc}\nExam Ended: {date1} {time1}   Last Resulted:"
    " {date2}\nOrder Details: authorizing {a.full}, MD\nResult Care Coordination: viewed in portal by {p.full}",
    "Result Type: CT Head w/o Contrast\nResult Date: {date1}\nResult Status: Auth (Verified)\nPerformed By: {a.comma}"
    " RT(R) on {date2}\nVerified By: {b.comma} MD\nEncounter Info: {mrn}, {hospital}, Emergency\n\n* Final Report"
    " *\n\nReason For Exam\nHeadache, thunderclap\n\nREPORT\n{findings} {s1}\n\nIMPRESSION\n{impression}\n\nSigned"
    " By: {b.full}",
    "PATIENT: {p.COMMAM}              ACCT #: {acc}      LOC: ER.M\nPHONE: {phone1}                 AGE/SX: 61/F    "
    " U #: {mrn}\nPHYS: {a.COMMA} MD             ADM: {date1}     STATUS: DEP ER\n\nEXAMS: 003 ABD SERIES\n\n"
    "{findings}\n{s1}\n\nIMPRESSION: {impression}\n\n** REPORT SIGNED IN OTHER VENDOR SYSTEM **\nREPORTED BY:"
    " {b.FULL}, MD\nCC: {a.FULL}",
    "report_id;{acc};patient_id;{mrn};name;{p.comma};dob;{date1};modality;MR;bodypart;ABDOMEN;report_text;Clinical"
    " question: cystic lesion of the pancreas, follow-up. Findings: {findings} {s1} Conclusion:"
    " {impression};radiologist;{a.full};signed;{date2} {time1}",
    "<b>Ordering site:</b> {hospital}<br><b>Pt:</b> {p.COMMA}<br><b>Exam dt:</b>"
    " {date1}<br><br><b>FINDINGS</b><br>{findings}<br>{s1}<br><b>IMPRESSION</b><br>{impression}<br><br>Link to"
    " images: {url}<br>e-signed {a.full} {date2}",
    "ATTENDING ATTESTATION: I, {a.full}, have reviewed the images with the trainee ({b.full}) and edited the report"
    " where needed.\n\nEXAMINATION: MR ENTEROGRAPHY, {date1}\n\nCOMPARISON: {date2}\n\nFINDINGS: {findings} {s1}\n"
    "{s2}\n\nIMPRESSION: {impression}\n\nD: {date3} {time1}  T: {date3}  Confirmation #: {acc}",
    # Identifiers in the running text
    "CONSULTATION ON OUTSIDE FILMS\n\nAt the request of Dr. {a.full} I reviewed a CD labelled {p.full}, {date1}, with"
    " an MRI of the liver made at {hospital}. The original report by Dr. {b.last} was available.\n\n{findings}"
    " {s1}\n\nI agree with Dr. {b.last} on the lesion of segment 7. {impression}\n\nThe disc was returned to"
    " {street}, {city}.",
    "Independent medical examination, imaging review\nClaim: {policy}     Date of loss: {date1}\nAdjuster: {a.full},"
    " {email}\n\nThe claimant, Mr. {p.last}, says that he was struck from behind while delivering to {hospital}."
    " Films of {date2} were provided by his attorney, {b.full}.\n\n{findings} {s1}\n\nIn my opinion, to a reasonable"
    " degree of medical probability, these changes are degenerative. {impression}",
    "LOW DOSE CT LUNG SCREENING\n\nShared decision visit: {a.full}, NP, {date1}. 38 pack-years, quit 6 years ago.\n"
    "\nCOMPARISON: baseline of {date2}.\n\n{findings} {s1}\n\nIMPRESSION: {impression}\n\nA letter went to {p.full}"
    " at {street}, {city}. The program coordinator, {b.full} ({phone1}), will track the 3-month scan.",
    "CT colonography\n\nMrs {p.last}, a retired teacher of {age} from {city}, was unable to tolerate colonoscopy with"
    " Dr {a.full}. Her daughter {r.first} gave the history. Buscopan 20 mg, CO2 insufflation, supine and right"
    " decubitus.\n\n{findings} {s1}\n\nC-RADS C2, E2. {impression}\n\n{b.full}, {date1}",
    "FISTULOPLASTY, LEFT BRACHIOCEPHALIC AVF\n\nOperator {a.init}, scrub {b.full}, radiographer {c.first}.\nDialysis"
    " unit: {hospital}, nurse in charge {d.full}, {phone1}.\n\n7 Fr sheath, 8 x 40 mm Conquest balloon to 24 atm, lot"
    " on the implant sheet. {findings} {s1}\n\n{impression}\n\nCan be needled from {date1}. Aspirin restarted by Dr"
    " {a.last}.",
    "INCIDENT NOTE FILED WITH THE REPORT\nDuring injection for {acc} about 60 mL of Omnipaque 300 extravasated into"
    " the right forearm of {p.full}. Seen by Dr {a.last} at {time1}; arm raised, cold pack, no blistering. Plastics"
    " SHO {b.full} rang back on {phone1}. Leaflet given to husband {r.full}.\n\nCT REPORT\n{findings} {s1}\n\n"
    "{impression}",
    "POST-MORTEM CT\nCoroner's officer: {a.full}   Ref: {acc}\nDeceased: {p.full}, {age} years, of {street}, {zip}\n"
    "Found by {r.full} on {date1}; last seen alive {date2}.\n\nUnenhanced CT from vertex to toes.\n\n{findings}"
    " {s1}\n{s2}\n\nOpinion on cause of death is for the pathologist, Dr {b.full}. {impression}",
    "OBSTETRIC GROWTH SCAN\n{p.full} ({mrn}), EDD {date1}. BMI 34, PAPP-A 0.31 MoM. Attended with partner"
    " {r.first}.\n\n{s1}\nPlacenta posterior, DVP 4.1 cm.\nMaternal kidneys (requested by {a.full}): {findings}\n\n"
    "{impression}\n\nDiscussed with Dr {b.last}, day assessment unit. Rescan {date2}. Sonographer {c.full}.",
    "IMMIGRATION CHEST RADIOGRAPH\nApplicant: {p.three}   Passport: {policy}\nPanel physician: {a.full},"
    " {hospital}\nIdentity confirmed by {b.full} on {date1}\n\n{findings}\n{s1}\n\nGrading: A. No evidence of active"
    " TB. {impression}",
    "CBCT MANDIBLE (DENTAL)\n\nDear {a.first},\n\nThank you for sending {p.full}, whom I scanned on {date1} for"
    " implant planning at the 36 site. FOV 8 x 8 cm, 0.2 mm voxel.\n\nRidge width 6.8 mm, height to the canal 13.1"
    " mm. {s1}\n\n{findings}\n\n{impression}\n\nPlease ring {phone1} or write to {email} for the DICOM set.\n\nKind"
    " regards,\n{b.first}",
    "CLINICAL INDICATION: 6 y.o. with limp. Dr. {a.last} concerned for Perthes vs SCFE. Father, {r.full}, can be"
    " reached at {phone1}.\n\nXR PELVIS AP AND FROG-LEG\n\nCOMPARISON: {date1} ({hospital})\n\n{findings}\n{s1}\n\n"
    "IMPRESSION: {impression}\n\nResults given to {a.full} in person at {time1}.",
    "CT TRAUMA PAN-SCAN\n\nAir ambulance from {city}, unknown male later identified as {p.full}. ISS estimate 29. TXA"
    " given. Trauma lead {a.full}, anaesthetics {b.last}.\n\nHead and spine: {findings}\nChest: {s1}\nAbdomen and"
    " pelvis: {s2}\n\nHot report given in the scanner at {time1}. {impression}\n\n{c.full}, ST5, with Dr {d.last},"
    " {date1}",
    "CRITICAL TEST RESULT LOG\nLevel: Orange   Exam: {acc}   Opened {date1} {time1}\nPaged {a.full}, no answer x 2;"
    " reached covering hospitalist {b.full} via {phone1}. Acknowledged.\n\nFINDINGS: {findings} {s1}\n\nIMPRESSION:"
    " {impression}\n\nClosed by {c.full}, radiology nurse.",
)
