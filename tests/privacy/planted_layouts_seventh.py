"""The seventh list: written blind, by an author who saw neither the rules nor any list but the fourth."""

from __future__ import annotations

DATES = (
    "{d:02d}/{m:02d}/{year}",
    "{m:02d}/{d:02d}/{year}",
    "{year}-{m:02d}-{d:02d}",
    "{d:02d}.{m:02d}.{year}",
    "{d} {name} {year}",
    "{name} {d}, {year}",
    "{d:02d}-{MON}-{year}",
    "{d:02d} {mon} {year}",
    "{m}/{d}/{yy:02d}",
    "{d}.{m}.{yy:02d}",
    "{weekday}, {name} {d}, {year}",
    "{wd} {d:02d} {mon} {year}",
    "the {ordinal} of {name} {year}",
    "{ordinal} {name} {year}",
    "{name} {year}",
    "{mon} {year}",
    "{m:02d}/{year}",
    "{weekday} {d}/{m}/{yy:02d}",
    "{d:02d}{MON}{year}",
    "{mon}. {d}, {year}",
    "{d:02d}-{m:02d}-{yy:02d}",
    "{year}/{m:02d}/{d:02d}",
    "{name} {ordinal}",
    "{d}-{mon}-{yy:02d}",
    "{mon} '{yy:02d}",
    "{d} / {m} / {year}",
    "early {name} {year}",
    "{year} {mon} {d:02d}",
)
RECORD_NUMBERS = (
    "########",
    "?######",
    "###-##-####-#",
    "??#######",
    "### ### ###",
    "#######?",
    "00########",
    "##-##-##",
    "##.###.###-#",
    "?##/#####",
    "UR #######",
    "IP/##/######",
)
ACCESSION_NUMBERS = (
    "#########",
    "CT########",
    "???#########",
    "##-#######",
    "RA####-#######",
    "?#######-#",
    "MR.##.######",
    "####/#####",
    "XR## ######",
    "####?########",
)
PHONES = (
    "(###) ###-####",
    "###-###-####",
    "+44 (0)### ### ####",
    "0### ### ####",
    "+49 ### #######-##",
    "+61 2 #### ####",
    "01### ######",
    "+353 1 ### ####",
    "### ### ## ##",
    "+55 ## #####-####",
    "+1 ### ### ####",
    "+27 ## ### ####",
    "+31-##-#######",
    "1-###-###-#### x####",
)
HOSPITALS = (
    "{0} General Hospital",
    "{1} Memorial Medical Center",
    "University Hospital {0}",
    "Royal {0} Infirmary",
    "{0} Children's Hospital",
    "St. Vincent's Hospital {0}",
    "{0} District Hospital",
    "{1} Women's Imaging Center",
    "Klinikum {0}",
    "Hospital Universitario de {0}",
    "{0} Regional Cancer Centre",
    "{1} & {1} Radiology",
    "{0} Diagnostic Imaging",
    "Our Lady of Lourdes, {0}",
    "{1} Clinic",
    "{0} VA Medical Center",
)

CLINICAL = (
    "Spiculated 18 x 14 mm mass in the left upper outer quadrant at 2 o'clock, BI-RADS 5.",
    "Pirani score 4.5 before casting; no Ponseti plaster in place.",
    "FDG-avid subcarinal node with SUVmax 12.4, Deauville 4.",
    "Hill-Sachs deformity and a bony Bankart lesion of the anteroinferior glenoid.",
    "At L4/5 a broad-based disc protrusion with Modic type 2 endplate change.",
    "ASPECTS is 8 with a hyperdense right M1 segment.",
    "Bosniak IIF cyst of the lower pole measuring 3.4 cm, unchanged over 24 months.",
    "Salter-Harris II fracture of the distal radius with 15 degrees of dorsal angulation.",
    "Agatston score 412, above the 75th percentile.",
    "Right peripheral zone lesion, PI-RADS 4, with prostate volume of 62 mL.",
    "Graf type IIa on the left, alpha angle 54 degrees and beta angle 71 degrees.",
    "T-score of the femoral neck is -2.7 and the FRAX major fracture risk is 21%.",
    "Weber B fracture of the lateral malleolus without talar shift.",
    "Fazekas grade 2 white matter change and moderate Evans index of 0.34.",
    "Stanford type B dissection beginning distal to the left subclavian artery.",
    "740 MBq of Tc-99m MDP was given intravenously, with imaging at 3 hours.",
    "Baker's cyst of 4.1 cm with mild Kellgren-Lawrence 2 change.",
    "Adenoma of the left adrenal, 8 HU unenhanced, absolute washout 67 %.",
    "Hepatic lesion in segment VI, LI-RADS 4, series 5 image 112.",
    "Crown-rump length 64 mm, corresponding to 12 weeks 5 days, nuchal translucency 1.6 mm.",
    "Crohn's disease of the terminal ileum over 14 cm, with a comb sign.",
    "Hampton's hump at the right base; RV/LV ratio 1.3.",
)

LAYOUTS = (
    # Full structured reports with a header block
    "Patient: {p.comma}    MRN: {mrn}    DOB: {date1}\nAccession: {acc}    Ordering provider: {a.full}, MD\n\n"
    "EXAM: CT ABDOMEN AND PELVIS WITH CONTRAST\n\nCLINICAL HISTORY: Left lower quadrant pain, WBC 14.2.\n\n"
    "TECHNIQUE: Helical acquisition after 100 mL iohexol 350. DLP 612 mGy-cm.\n\nCOMPARISON: {date2}.\n\n"
    "FINDINGS:\n{findings}\n{s1}\n\nIMPRESSION:\n{impression}\n\nElectronically signed by {b.full}, MD",
    "CLINICAL HISTORY: Cough and fever for 5 days.\n\nCOMPARISON: Chest radiograph dated {date1}.\n\n"
    "TECHNIQUE: PA and lateral views of the chest.\n\nFINDINGS:\n{findings} {s1}\n\nIMPRESSION:\n{impression}\n\n"
    "I have personally reviewed the images and agree with the findings of the resident, {a.full}.\n"
    "Attending radiologist: {b.full}, M.D.",
    "{hospital}\nDepartment of Medical Imaging\n{street}, {city}\nTel {phone1}\n\nDear Dr {a.last},\n\n"
    "Re: {p.full}, born {date1}\n\nMRI LUMBAR SPINE\n\nThank you for referring this pleasant patient with 6 weeks of"
    " sciatica.\n\n{findings} {s1}\n\nConclusion: {impression}\n\nYours sincerely,\n\n{b.full}\nConsultant Radiologist",
    "XR WRIST LT: {date1} {time1}\nReferrer: {a.tail}\n\nClinical details: FOOSH, snuffbox tenderness.\n\n{findings}"
    " {s1}\n\nReported by: {b.full}, Reporting Radiographer\nVerified: {date2}",
    "EXAMINATION: MRI BRAIN WITHOUT AND WITH GADOLINIUM\n\nHISTORY: Known MS, on natalizumab. Patient of Dr. {a.last}."
    "\n\nCOMPARISON: MRI {date1} and outside MRI from {hospital}, {date2}.\n\nTECHNIQUE: 3T. Axial FLAIR, DWI, sagittal"
    " T1 MPRAGE.\n\nFINDINGS: {findings} {s1} {s2}\n\nIMPRESSION:\n1. {impression}",
    "BILATERAL DIAGNOSTIC MAMMOGRAM WITH TOMOSYNTHESIS\n\nPATIENT NAME: {p.COMMA}\nDATE OF EXAM: {date1}\n"
    "REQUESTED BY: {a.FULL}\n\nHISTORY: Palpable lump, right breast, 10 o'clock, 5 cm from the nipple. Tyrer-Cuzick"
    " lifetime risk 22%.\n\nFINDINGS: {findings} {s1}\n\nIMPRESSION: {impression}\n\nThe results were discussed with"
    " Ms. {p.last} by Dr. {b.last} at the time of the visit. A lay letter was mailed to {street}, {city} {zip}.",
    "Study: US Abdomen complete\nSonographer: {c.full}\nPatient ID: {mrn}\n\nIndication: RUQ pain, raised ALP 212.\n\n"
    "Liver, gallbladder and biliary tree:\n{findings}\n\nKidneys and spleen:\n{s1} {s2}\n\nOpinion:\n{impression}\n\n"
    "{a.full} FRANZCR",
    "NM BONE SCAN WHOLE BODY\nName: {p.full}   Hospital number: {mrn}   Ref: {acc}\n\nIndication: Prostate cancer,"
    " Gleason 4+3=7, PSA 28.\nRadiopharmaceutical: 800 MBq Tc-99m HDP injected by {c.first} {c.last} at {time1}.\n\n"
    "Report: {findings} {s1}\n\nConclusion: {impression}\n\nDr {a.full}, Nuclear Medicine Physician",
    # Intervention
    "PROCEDURE: Ultrasound-guided percutaneous nephrostomy, left.\n\nOPERATORS: {a.full} (attending), {b.full} (fellow)"
    "\nANESTHESIA: Moderate sedation, 2 mg midazolam and 100 mcg fentanyl, monitored by {c.full}, RN.\n\nCONSENT:"
    " Obtained from the patient's daughter, {r.full}, by telephone ({phone1}).\n\nDESCRIPTION: After a time-out, an 8.5"
    " Fr locking catheter was placed by Seldinger technique. {findings} {s1}\n\nCOMPLICATIONS: None.\n\nIMPRESSION:"
    " {impression}",
    "CT GUIDED LUNG BIOPSY, {date1}\n\nWHO checklist completed. Radiologist Dr {a.last}, radiographer {b.full}, nurse"
    " {c.first}. 18G Tru-Cut, 3 cores in formalin.\n\n{findings}\n\n{s1} {s2}\n\nPost procedure: small pneumothorax,"
    " 8 mm. Relatives informed. Repeat film in 4 hours; if worse bleep {d.full}.\n\n{impression}",
    "PICC insertion.\nPt {p.full}, {mrn}. 4 Fr single lumen, right basilic vein, cut to 41 cm. Tip at the cavoatrial"
    " junction.\n{s1}\n{body}\nInserted by {a.init}, assisted by {b.init}.",
    "TACE report\nReferring hepatologist: Prof. {a.full}, {hospital}\n\nPre-procedure: Child-Pugh A6, BCLC B, bilirubin"
    " 21. Discussed at the meeting of {date1}.\n\nProcedure: Right CFA, 5 Fr sheath, Cobra catheter, 2.7 Fr"
    " Progreat. {findings}\n{s1}\n\nPlan: {impression} CT at 4 weeks. Mr {p.last} has been given our number,"
    " {phone1}.",
    # Critical results and communication
    "FINDINGS: {findings} {s1}\n\nIMPRESSION: {impression}\n\nCRITICAL RESULT: Findings were communicated to Dr."
    " {a.full} by Dr. {b.full} via telephone on {date1} at {time1}, with read-back.",
    "TECHNIQUE: CT pulmonary angiogram, 60 mL iodixanol 320, 4 mL/s.\n\n{findings}\n\n{s1}\n\nIMPRESSION: {impression}\n"
    "\nThe ED charge nurse ({c.first}) was told at {time1}; {a.last} called back on {phone1} to confirm.",
    "Red flag alert sent to GP: Dr {a.full}, {hospital}, e-mail {email}, on {date1}. Acknowledged by practice manager"
    " {b.full}.\n\nCHEST X-RAY\n{findings} {s1}\n{impression}\nRecommend urgent CT under the 2 week wait.",
    "CT HEAD NON CONTRAST\n\nClinical Information: Code stroke, LKW 3 hours ago, NIHSS 14. {age} yo. Stroke reg"
    " {a.first} {a.last} present in scanner.\n\nFindings: {findings} {s1}\n\nComment: {impression}\n\nDiscussed with"
    " {b.last} (neurology) at {time1}, images pushed to {hospital}.",
    # Addenda
    "ADDENDUM {date1} {time1} by {a.full}:\nOutside films from {hospital} dated {date2} have now been made available."
    " There is no change to the opinion below.\n\nORIGINAL REPORT\n{findings}\n{s1}\n\nIMPRESSION:\n{impression}",
    "FINDINGS:\n{findings} {s1}\n\nIMPRESSION:\n{impression}\n\n*** ADDENDUM ***\nThis study was initially filed under"
    " {b.commam} in error and has been moved to the folder of {p.commam} ({mrn}). Corrected by PACS administrator"
    " {c.full}, {ext1}.\nEnd of addendum.",
    "Supplementary report issued at the request of {a.full}, orthopaedics.\n\nThe side marker was checked with"
    " radiographer {c.full}, who confirms the left knee was imaged. {s1}\n\nMain report: {body}\n\n{s2}\n\n"
    "{b.full}, GMC registered radiologist, authorised {date1}.",
    # Teleradiology, transfers, export residue
    "Institution: {hospital}\nStudyInstanceUID: {uid}\nPatientName: {p.CARET}\nStudyDate: {date1}\nReferringPhysician:"
    " {a.CARET}\n\nPRELIMINARY OVERNIGHT READ\n{findings} {s1}\n\n{impression}\n\nFinal report to follow from day team.",
    "MSH residue: sent from {ip} on {date1} {time1}\nOBR|1|{acc}|MR KNEE RT|{a.caret}\nOBX|1|TX|FINDINGS: {findings}"
    "\nOBX|2|TX|{s1}\nOBX|3|TX|IMPRESSION: {impression}\nOBX|4|TX|Dictated by {b.full}",
    "Nighthawk report. Facility {hospital}, contact {phone1}.\nPatient {p.COMMAM}, {date1}\n\nHISTORY: MVC, GCS 13.\n"
    "CT C-SPINE: {findings}\nCT CHEST: {s1}\nCT PELVIS: {s2}\n\n{impression}\n\nReader: {a.full}, D.O.",
    "{body}\n\n{s1}\n\nDictated: {date1} {time1}\nTranscribed: {date2}\nTranscriptionist: {c.inits}\nJob ID {acc}\n"
    "Authenticated by: {a.full}, MD",
    "Images and report can be viewed at {url} (login: date of birth {date1} and card number {policy}).\n\nMRI RIGHT"
    " SHOULDER\nTechnique: PD FS in three planes, 1.5T.\n{findings}\n{s1}\nImpression: {impression}\n\nDr. {a.full}",
    # Country-specific headings
    "Paciente: {p.full}\nFecha de nacimiento: {date1}\nN.º de historia: {mrn}\nMédico solicitante: Dra. {a.full}\n"
    "Centro: {hospital}\n\nTC TORAX (English version for transfer)\n{findings}\n{s1}\n\nCONCLUSION: {impression}\n\n"
    "Fdo.: {b.full}",
    "{hospital}, Institut für Radiologie\nPatient/in: {p.comma}, geb. {date1}\nUntersuchung vom {date2}\n\nCT Abdomen,"
    " second opinion in English for the international office.\n\nFindings: {findings} {s1}\n\nAssessment: {impression}"
    "\n\nProf. Dr. med. {a.full}          OÄ Dr. {b.full}",
    "Nom: {p.LAST}  Prénom: {p.first}  Né(e) le: {date1}\nPrescripteur: Dr {a.full}\n\nIRM CEREBRALE - translated"
    " report\n\nIndication. Headache for 3 months.\nTechnique. T1, FLAIR, SWI, 3D TOF.\nResults. {findings} {s1}\n"
    "Conclusion. {impression}\n\nSigned: Dr {b.last}, {city}",
    "Pt. Name : {p.FULL}          Reg. No. : {mrn}\nRef. by : Dr. {a.FULL}          Date : {date1}\n\nUSG WHOLE ABDOMEN\n"
    "\nLIVER is normal in size (14.2 cm) and echotexture.\n{findings}\n{s1}\n\nIMP: {impression}\n\nAdv: Clinical"
    " correlation.\n\nDR. {b.FULL}\nMD, DNB (Radiodiagnosis)",
    "NHS No: {nhs}   Hosp No: {mrn}   DOB: {date1}\nConsultant: {a.last}   Requester: {b.tail}\n\nMRI Prostate\n\n"
    "Clinical: PSA 7.4, DRE T2. eGFR > 60.\n\n{findings} {s1}\n\nSummary: {impression}\n\nMDM co-ordinator {c.full} has"
    " been notified.",
    "VETERANS IMAGING SERVICE\nName: {p.COMMA}  SSN: {ssn}\nReq Phys: {a.COMMA}\nCase: {acc}  Exm Date: {date1}\n\n"
    "(Case COMPLETE) ULTRASOUND AORTA\n\nReport:\n{findings}\n{s1}\n\nImpression:\n{impression}\n\nPrimary Interpreting"
    " Staff: {b.full}, Staff Physician (Verifier, no e-sig)",
    # Obstetric and paediatric
    "OBSTETRIC ULTRASOUND, ANOMALY SCAN\n\nG2P1. LMP {date1}, EDD by dating scan {date2}. Partner {r.full} present."
    "\nBPD 48 mm, HC 176 mm, FL 33 mm, AFI 14.\n{findings}\n{s1}\n\nImpression: {impression}\n\nScanned by {a.full},"
    " midwife sonographer; next visit with Dr {b.last}.",
    "XR SKELETAL SURVEY (suspected physical abuse protocol)\nInfant: {p.full}, DOB {date1}. Mother: {r.full}. Social"
    " worker: {c.full}, {phone1}.\n\n19 views obtained. {findings} {s1}\n\nOpinion: {impression}\n\nDouble reported by"
    " Dr {a.last} and Dr {b.last}.",
    "US HIPS, NEONATAL\nBaby {p.last}, twin 2, breech. NICU at {hospital}.\n{s1}\n{body}\nFollow-up appointment made"
    " with physio {a.full} for {date1}. Letter to parents at {street}, {city}.",
    # Careless places in otherwise plain text
    "HISTORY: Fell at home, found by neighbour {r.full}. On apixaban.\n\nAP pelvis and lateral right hip. {findings}"
    " {s1}\n\nIMPRESSION: {impression} Garden III equivalent. Orthogeriatric review by {a.last} please.",
    "CLINICAL INDICATION: {p.first} is a lovely lady of {age} years who still lives alone in {city}. ?chest infection."
    "\n\nCOMPARISON: None.\n\nFINDINGS: {findings}\n\nIMPRESSION: {impression} {s1}\n\nKind regards, {a.first}",
    "TECHNIQUE: Non-contrast CT KUB, low dose, CTDIvol 3.1 mGy. Scanned twice as Mr. {p.last} moved (tech: {c.first}"
    " {c.last}).\n\nFINDINGS: {findings} {s1}\n\nIMPRESSION: {impression}\n\ncc: {a.full}, Urology; {b.full}, Family"
    " Medicine",
    "PET/CT SKULL BASE TO MID THIGH\n\nDLBCL, post 4 cycles R-CHOP, last given {date1} under Dr {a.full}. Glucose 5.8"
    " mmol/L, uptake 62 min, 3 MBq/kg.\n\nCompared with the PET of {date2}:\n{findings} {s1}\n\nImpression:"
    " {impression}\n\n{b.full}\n{hospital}",
    "Reason for exam: pre-op, TKR booked for {date1} with Mr {a.last} at {hospital}.\n\nLEFT KNEE, WEIGHT-BEARING AP"
    " AND LATERAL\n{findings} {s1}\n{impression}\n\nReport typed by {c.full}",
    "Protocolled by {a.inits}, {date1}: give hydrocortisone cover, eGFR 41, allergy to iopromide. Interpreter needed,"
    " husband {r.first} will attend (mobile {phone1}).\n\nCT TAP\n{findings} {s1}\n{s2}\n\nIMPRESSION\n{impression}",
    "DXA\n\n{s1}\n{findings}\n\nScanner: Hologic Horizon. Operator: {c.init}. Previous scan {date1} was on a different"
    " machine and is not directly comparable.\n\n{impression} Insurance: {policy}.",
    "Discrepancy meeting note appended to report {acc}: {a.full} felt the lesion was visible in retrospect on the film"
    " of {date1}; {b.full} disagreed. {s1}\n\n{findings}\n\n{impression} Duty of candour letter sent to {p.three}.",
    "Barium swallow with SLT {a.full}. Trial of IDDSI levels 1, 2 and 4. Penetration-aspiration scale 3.\n{findings}"
    " {s1}\n{impression}\nCopied to nursing home manager {b.full}, {street}, {zip}.",
    "portable cxr icu {date1} {time1}\npt {p.Full}, dr {a.Last}\nett 4 cm above carina, ngt below diaphragm, r ij line"
    " svc.\n{findings} {s1}\n{impression}",
    "Breast MRI, family history: sister {r.full} treated here at {hospital} for BRCA2-related cancer in {date1}."
    "\n\nBackground parenchymal enhancement: mild. {findings} {s1}\n\nAssessment: {impression}\n\nSigned {a.full},"
    " {date2}. Queries: breast nurse {b.first}, {ext1}.",
)
