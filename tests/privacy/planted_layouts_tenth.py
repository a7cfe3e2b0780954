"""The tenth list: running prose and dictation from many services, written by someone who had never seen the rules."""

from __future__ import annotations

DATES = (
    "{d:02d}-{m:02d}-{year}",
    "{d:02d}.{m:02d}.{year}",
    "{year}-{m:02d}-{d:02d}",
    "{m:02d}/{d:02d}/{yy:02d}",
    "{d}/{m}/{year}",
    "{d}/{m}/{yy:02d}",
    "{d}-{m}-{yy:02d}",
    "{m:02d}-{d:02d}-{year}",
    "{year}/{m:02d}/{d:02d}",
    "{name} the {ordinal}",
    "{name} the {ordinal}, {year}",
    "{name} {ordinal} {year}",
    "{d} {mon} {year}",
    "{d} {name} {year}",
    "{d} {name}, {year}",
    "{ordinal} {name} {year}",
    "{ordinal} of {name}, {year}",
    "{ordinal} {mon} {year}",
    "{wd} {d} {mon} {year}",
    "{weekday}, {name} {d}, {year}",
    "{weekday} {name} {ordinal}",
    "{weekday} the {ordinal}",
    "{mon} '{yy:02d}",
    "{mon} {year}",
    "{name} {year}",
    "mid-{name} {year}",
    "early {name} {year}",
    "{d:02d}-{MON}-{year}",
    "{d:02d}-{mon}-{yy:02d}",
    "{d:02d} {MON} {yy:02d}",
    "{MON} {d}, {year}",
    "{mon} {d:02d}, {year}",
    "{name} {d}",
    "{wd} {m}/{d}",
    "{d}/{mon}/{year}",
    "{mon} {d}/{yy:02d}",
    "{name} {d} of {year}",
)
RECORD_NUMBERS = (
    "#######",
    "######",
    "?######",
    "???####",
    "???##??",
    "##-##-##",
    "E#######",
    "MR-######",
    "00#######",
    "####/######",
    "##.##.####",
    "UR ######",
    "?? ######",
    "#########",
    "####-####-####",
    "RXH#######",
)
ACCESSION_NUMBERS = (
    "E########",
    "RA##-######",
    "??-##-#######",
    "######-####",
    "A#########",
    "?#######?",
    "US##-####",
    "##.#####",
    "########-###",
    "#-########",
    "MR########",
    "##/#####",
    "20########",
    "?## ######",
    "###?######",
)
PHONES = (
    "(0#) #### ####",
    "+1 (###) ###-####",
    "+1-###-###-####",
    "###-####",
    "###-###-####",
    "0### ### ####",
    "020 #### ####",
    "01### ######",
    "077## ######",
    "+61 4## ### ###",
    "+64 21 ### ####",
    "02# ### ####",
    "(01) ### ####",
    "08# ### ####",
    "+27 ## ### ####",
    "+91 ##### #####",
    "080-########",
    "1800 ### ###",
    "(###)###-####",
)
HOSPITALS = (
    "St {1}'s Hospital",
    "Royal {0} Hospital",
    "{0} Base Hospital",
    "Queen Elizabeth Hospital, {0}",
    "{0} Health Sciences Centre",
    "{1} Imaging",
    "{0} University Hospital",
    "{0} and District Hospital",
    "Mediclinic {0}",
    "Netcare {1} Hospital",
    "Apollo {0}",
    "the Prince {1} Hospital",
    "Bon Secours {0}",
    "Sacred Heart Hospital, {0}",
    "{1} Medical Centre",
    "{0} Regional Medical Center",
    "{0} Women's and Children's",
    "{1} Lodge Surgery",
    "the {0} General Infirmary",
    "{1}-{0} Health",
)

CLINICAL = (
    "Monteggia fracture-dislocation with anterior displacement of the radial head, Bado type I.",
    "Crown-rump length 58.2 mm, equivalent to 12 weeks 2 days, with a nuchal translucency of 1.4 mm.",
    "Umbilical artery pulsatility index 0.98 with positive end-diastolic flow, deepest vertical pocket 4.6 cm.",
    "O-RADS 3 multilocular cyst of the left ovary, 6.4 x 5.1 x 4.8 cm, colour score 2.",
    "The left hip is Graf type IIa with an alpha angle of 54 degrees; the right hip is Graf type I.",
    "Ileocolic intussusception in the right upper quadrant, 3.2 cm across, with preserved Doppler flow.",
    "AAST grade III splenic laceration with a 14 mm pseudoaneurysm and no active extravasation.",
    "Le Fort II fracture pattern with complete opacification of both maxillary sinuses.",
    "Hyperdense basilar artery, posterior circulation ASPECTS 8, no haemorrhage.",
    "Fazekas grade 2 white matter disease and Scheltens grade 3 medial temporal atrophy on the left.",
    "Spetzler-Martin grade II arteriovenous malformation with a 2.2 cm nidus draining to the vein of Labbe.",
    "TI-RADS 4 nodule at the lower pole of the right thyroid lobe, 17 x 12 x 15 mm, taller than wide.",
    "Lisfranc injury with 3 mm of diastasis between the bases of the first and second metatarsals.",
    "LI-RADS 5 observation in segment VIII, 28 mm, with arterial hyperenhancement and portal venous washout.",
    "Type II endoleak from a lumbar branch; the sac has grown from 58 mm to 61 mm.",
    "Cobb angle of 34 degrees with the apex at T8, convex to the right, Risser 2.",
    "Peak systolic velocity of 312 cm/s at the left carotid bulb, NASCET stenosis of 70 to 79 per cent.",
    "Basal honeycombing and traction bronchiectasis, a definite UIP pattern.",
    "Saddle embolus with an RV/LV ratio of 1.4, McConnell's sign and a Hampton's hump at the left base.",
    "Todani type I choledochal cyst, 2.6 cm, with no stone and no features of Mirizzi syndrome.",
    "Evans index 0.36 and callosal angle 72 degrees, so normal pressure hydrocephalus is favoured.",
    "Ejection fraction 38 per cent with transmural late gadolinium enhancement of the inferior wall.",
    "Deep endometriosis of the left uterosacral ligament, 19 mm, with kissing ovaries.",
    "Lichtman stage IIIA Kienbock disease and a Palmer 1B tear of the triangular fibrocartilage.",
)

LAYOUTS = (
    # PICC at the bedside
    "Asked by the haematology nurse, {a.full}, to replace the line that {p.full} pulled out overnight. Consent was"
    " taken at the bedside with his partner {r.first} present, and the wristband ({mrn}) was checked against the"
    " request ({acc}) by {b.first} and me. Under ultrasound the right basilic vein was punctured at {time1}. {s1}"
    " {findings} The previous line had been put in at {hospital} on {date1}. {impression}",
    # nephrostomy out of hours
    "I came in from home for this. {p.last}, a known patient of Mr {a.last}, had been febrile since lunchtime, and"
    " the on-call urologist {b.full} rang me on {phone1} at {time1}. Dr {c.last} gave the sedation. The old tube was"
    " dated {date1} and badly encrusted. {s1} Over a stiff wire an 8 French pigtail went in without much trouble."
    " {findings} {impression} Next exchange is due {date2}; {r.first}, who drives, asks for a morning slot.",
    # embolisation clinic letter
    "Interventional radiology clinic, {date1}\n\nDear Ms {a.last},\n\nMany thanks for referring {p.full} of {street},"
    " {city}, whom I met in clinic together with her sister {r.first}. She works as a teaching assistant and has lost"
    " a good deal of time to heavy periods. I went through her scan from {hospital} with them. {s1} {findings} She"
    " would like to go ahead and Sister {b.last} will ring her on {phone1}. {impression}\n\nKind"
    " regards,\n{c.full}\nConsultant Interventional Radiologist",
    # anomaly scan
    "{p.first} attended for her anomaly scan today, {date1}, with her husband {r.full} and their little boy. Dates by"
    " the scan at {hospital}. {s1} {findings} The profile could not be completed because of the lie, and {a.full},"
    " who scanned her first, asked me to look. I explained to {p.first} and {r.first} what it means: {s2} Screening"
    " midwife {b.full} ({phone1}) will see them on {date2}. {impression}",
    # early pregnancy unit
    "EPU scan, seen with student sonographer {a.first}. Ms {p.last}, hospital number {mrn}, a G3P1, tested positive"
    " on {date1} and has been bleeding since the weekend. {findings} {s1} I sat with her and her mum, {r.first},"
    " while we waited for the gynae SHO. Dr {b.last} arrived at {time1} and took over. {impression} Her contact"
    " number is {phone1} and she is happy for us to leave a message.",
    # neonatal unit
    "Cranial ultrasound on the neonatal unit. Twin 2 of {r.full}, provisionally called {p.first}, born {date1} at 27"
    " weeks and transferred from {hospital} by the retrieval team under Dr {a.last}. Mum is still an inpatient at"
    " {hospital} and dad is staying with family in {city}. {s1} {findings} Discussed at the cot side with {b.full},"
    " neonatal registrar, bleep {ext1}. {impression} Repeat around {date2}.",
    # baby hip
    "Baby {p.last} was brought by her grandmother, Mrs {r.last}, as mum has gone back to work. The health visitor,"
    " {a.full}, thought she felt a click. Breech, born {date1}, sister {r.first} was in a harness. {s1} {findings} I"
    " have written to the GP, Dr {b.last} at {hospital}, and booked a recheck for {date2}. {impression}",
    # safeguarding skeletal survey
    "Skeletal survey performed at the request of {a.full}, consultant paediatrician, in the presence of {b.first} and"
    " {c.first}, radiographers, both of whom signed for each exposure. The child, {p.full} ({date1}), was accompanied"
    " by a social worker, Ms {r.last}, and is for the time being at a placement in {city}. {s1} {findings} Double"
    " reported with Dr {d.last}. Result given by telephone to {a.last} on {phone1} at {time1}. {impression}",
    # thrombectomy transfer
    "Stroke alert {time1}. The wife, {r.first}, heard him fall in the kitchen at {street} and the ambulance took him"
    " first to {hospital}, where {a.full} gave tenecteplase after a video consult with our Dr {b.last}. {s1} {s2} Mr"
    " {p.last} reached our angio suite on {date1}, puncture within the hour. {findings} TICI 2c after two passes."
    " {impression} I phoned {r.first} on {phone1} afterwards and she is on her way in with their son.",
    # polytrauma
    "Code trauma, cyclist against a lorry on the ring road outside {city}. Identified from the bank card in his"
    " pocket as {p.full}, and by his brother {r.first}, who came with PC {a.last}. Whole body CT at {time1} under the"
    " temporary number {mrn}. {findings} {s1} {s2} I gave the primary survey read to the trauma lead, {b.full}, face"
    " to face, and rang {c.first} in theatre on {ext1}. {impression}",
    # flying doctor
    "Thanks for sending these through from the clinic, {a.first}. I gather the plane is due at {time1}. {p.full}, a"
    " stockman from out past {city}, came off his bike on {date1} and his mate {r.first} drove him in. {findings}"
    " {s1} I would send him on to {hospital} rather than to us; I have warned their registrar, {b.full}, {phone1}."
    " {impression} Call me back on {phone2} if the strip is closed.",
    # New Zealand accident claim
    "Claim {policy}, NHI {mrn}. {p.full} slipped on wet concrete at the packhouse in {city} on {date1} and has not"
    " been able to grip since. Her physio, {a.full} at {hospital}, asked for this scan. {findings} {s1} Compared with"
    " the plain films of {date2}. {impression} A copy goes to her case manager, {b.first}, at {email}.",
    # South Africa
    "Thank you Dr {a.last} for referring this pleasant gentleman, {p.full}, medical aid {policy}. He drove through"
    " from {city} with his daughter-in-law, {r.first}. He had a scope by Prof {b.last} at {hospital} last on {date1}."
    " {findings} {s1} The report was read over the phone to Sister {c.last} ({phone1})."
    " {impression}\n\nRegards\n{d.init}",
    # India
    "Mr. {p.full}, S/o {r.full}, R/o {street}, {city}, UHID {mrn}, was referred by Dr. {a.full} with complaints of"
    " pain since two months. Previous USG done at {hospital} on {date1} was seen. {findings} {s1} {s2} Findings were"
    " explained to the attender, {r.first}, in the local language by our resident Dr. {b.first}. {impression} Kindly"
    " correlate clinically. For any query contact {phone1}.",
    # Ireland
    "{p.first} has been a patient of this hospital since {date1}, when the late Mr {a.last} did his hip. He came up"
    " from {city} on the early train with his nephew {r.full}. {s1} {findings} I see from his letter that he had an"
    " MRI at {hospital} under Dr {b.last}, reported on {date2}, but the disc would not open. {impression} Mr"
    " {c.last}'s secretary, {d.first}, rang for the result on {phone1} and was told it was on its way.",
    # Canada
    "{p.full}, health card {nhs}, was seen at our satellite site in {city}. She winters in the south and her family"
    " doctor, {a.full}, has the American films from {hospital}, done {date1}. {findings} {s1} Results were discussed"
    " with the nurse practitioner, {b.first}, on {date2} and faxed to {phone1}. Her spouse, {r.first}, will translate"
    " the letter. {impression}",
    # critical results US
    "{findings} {s1} {impression} These critical findings were communicated by me, {a.full}, to {b.full}, PA, in the"
    " emergency department by telephone at {time1} on {date1}, with read-back of the patient's name ({p.comma}) and"
    " medical record number ({mrn}). A second call at {time2} to the attending, Dr. {c.last}, went to voicemail;"
    " callback {phone1}. {s2}",
    # comparison paragraph
    "COMPARISON: There are a number of outside studies. The CT from {hospital} of {date1} ({acc1}) was read by"
    " {a.full} as showing no change; the PET from {hospital2}, {date2}, shows what I would call mild uptake; and"
    " there is a chest film that the patient carried from {city}, undated, with the name {p.last} in marker pen on"
    " the sleeve. {s1} FINDINGS: {findings} {s2} IMPRESSION: {impression} Electronically reviewed with {b.first}.",
    # priors arrive
    "{findings} {impression}\n\nADDENDUM: After this was signed the prior examinations from {hospital}, {date1} and"
    " {date2}, were uploaded by {a.first} in the film library under the maiden name {r.last}, old record {mrn}. {s1}"
    " My opinion is unchanged. Dr {b.last} was told on {date3}. {s2}\n{c.full}",
    # lung MDT
    "Lung MDT {date1}, chair {a.full}. This is Dr {b.last}'s patient, {p.full}, {age}, a widow from {city} who lives"
    " with her daughter {r.first} and still does her own garden. PS 1. {s1} {findings} Dr {c.last} felt the node was"
    " accessible by EBUS and {d.last} was happy to treat without. Outcome: {impression} Key worker {b.first} to phone"
    " {r.first} on {phone1}. {s2}",
    # colorectal MDT outcome letter
    "Re {p.full}, {street}, {city} {zip}\n\nYour patient was discussed in the colorectal meeting on {date1}. The"
    " staging CT came from {hospital} and was re-read for the meeting by Dr {a.last}. {s1} {findings} Mr {b.last}"
    " will offer surgery and has a date pencilled in. {impression} He was told all this by our specialist nurse,"
    " {c.full}, by telephone ({phone1}), and took it well.\n\ncc Dr {d.last}",
    # breast biopsy with concordance
    "Stereotactic biopsy performed on {date1} by {a.full} with {b.first} assisting. Ms. {p.last} was prone for forty"
    " minutes and was a trooper. {s1} A coil marker was placed. {findings} ADDENDUM {date2}: pathology {acc}, signed"
    " by {c.full}, is benign and concordant. {s2} I gave Ms. {p.last} the result at {phone1}, and she asked me to"
    " tell her surgeon, {d.last}, as well. {impression}",
    # fistula surveillance
    "Duplex of the left brachiocephalic fistula, fashioned by {a.full} at {hospital}, operation note dated {date1}."
    " {b.first} on the dialysis unit reports poor flows on Mr {p.last}'s last three runs and prolonged bleeding. {s1}"
    " {findings} {impression} I rang the unit ({phone1}, asked for {b.first}, spoke in the end to {c.full}) and he"
    " can have a fistuloplasty on {date2} before his usual slot. He comes by hospital car from {city}.",
    # videofluoroscopy
    "Videofluoroscopy with the speech therapist, {a.full}. {p.first} is {age} and has been coughing on tea since her"
    " stroke at {hospital}; her son {r.first} thinks she has lost a stone. Thin, syrup and puree were given by"
    " {a.first}. {findings} {s1} There was silent penetration on the second swallow. {impression} {a.first} will"
    " write to Dr {b.last} and to the dietitian, {c.full}, before {date1}.",
    # hysterosalpingogram
    "HSG for {p.full}, trying for three years with her partner {r.full}, both under Dr {a.last} at {hospital}. Last"
    " period began {date1}; pregnancy test negative today. {s1} The catheter was passed at the first attempt by"
    " {b.full} and 8 ml of contrast were given. {findings} {impression} A copy of this report goes with the couple"
    " and another to {email}, at their request.",
    # paediatric GA MRI
    "MRI under general anaesthetic, anaesthetist {a.full}, play specialist {b.first}. {p.first} came with both"
    " parents, {r.full} and {r2.first}, and a large stuffed giraffe. Background of seizures since {date1}, looked"
    " after by Dr {c.last} at {hospital}. {s1} {findings} The earlier scan, {acc}, was motion degraded. {impression}"
    " {s2} The parents are away from {date2} and would like to hear before then on {phone1}.",
    # pacemaker
    "This gentleman's pacemaker was a cause of some discussion. It was implanted by Dr {a.last} at {hospital} on"
    " {date1}, the leads a month later, and the cardiac physiologist, {b.full} (ext {ext1}), confirmed by email from"
    " {email} that the system is conditional. {p.last}, our number {mrn}, was monitored throughout by {c.first}. {s1}"
    " {findings} {impression}",
    # incidental finding
    "Incidental. I was really asked about the back, by Dr {a.last}, after a fall on {date1}, but this is what worries"
    " me: {s1} {findings} I have therefore rung the surgery, {hospital}, on {phone1}, and left the details of"
    " {p.full} (born {date2}) with the receptionist, {b.first}, who will put a note on the duty doctor's list. Mr"
    " {p.last} himself is cruising with his wife {r.first} until the end of the month. {impression}",
    # tourist
    "A visitor to this country, staying with her cousin {r.full} at {street}, {city}. Passport name {p.three}; her"
    " travel insurer, policy {policy}, asks for a report in English. She had the operation at home, under Professor"
    " {a.last} at {hospital}, on {date1}. {findings} {s1} {impression} The assistance company's doctor, {b.first},"
    " can be reached on {phone1} day or night and would like the images before she flies on {date2}.",
    # custody
    "Brought from the remand centre at {city} by two officers, Mr {a.last} and Ms {b.last}, handcuffs off for the"
    " scan. {p.full}, number {mrn}, says he swallowed a battery on {date1}. {findings} {s1} The prison doctor,"
    " {c.full}, was rung on {phone1} at {time1}. His solicitor and his mother, {r.first}, have both telephoned the"
    " department and were told nothing. {impression}",
    # sports medicine
    "Club physio {a.first} messaged me from the bus: {p.last} pulled up after twenty minutes in {city} on {date1}. He"
    " had a similar injury two seasons ago, imaged at {hospital} and reported by {b.full}. {s1} {findings}"
    " {impression} I spoke to the player and to the team doctor, {c.full}, on {phone1} on the way home; {a.first}"
    " will rescan him on {date2}. {s2}",
    # mobile x-ray
    "Mobile x-ray visit to {street}, {city}, as {p.full}, {age}, has not left the house since the winter. Her"
    " neighbour {r.full} let us in with the spare key. Radiographer {a.first}. The district nurse, {b.full}, thought"
    " the chest sounded wet on {date1}. {findings} {s1} {impression} Telephoned to Dr {c.last}'s duty line, {phone1},"
    " at {time1}.",
    # bone densitometry
    "Bone densitometry. {p.full} was last scanned on {date1} at {hospital} on a different make of machine, so the"
    " figures are not directly comparable, as {a.full} pointed out then. Her mother, {r.full}, broke both hips. {s1}"
    " {findings} {impression} She has been on alendronate since {date2} under Dr {b.last}. I have asked {c.first} to"
    " send the next appointment to {street}, {city}.",
    # radioiodine
    "{p.first} came for radioiodine on {date1}. She has two small children, so {r.first}, her husband, is taking them"
    " to his parents in {city} for the fortnight. {a.full} from medical physics went through the precautions and"
    " signed the form with me. {s1} {findings} {impression} Dr {b.last} at {hospital} will check bloods on {date2};"
    " any worries out of hours to {phone1}.",
    # UK speech recognition, spoken punctuation and open bracket
    "clinical history colon fall open bracket {date1} close bracket full stop {p.Full} hospital number {mrn} full"
    " stop {findings} new line {s1} compared with the previous from {hospital} full stop discussed with doctor"
    " {a.Last} open bracket orthopaedic registrar close bracket at {time1} full stop {impression} new line doctor"
    " {b.Full} consultant radiologist full stop",
    # Indian speech recognition run-on
    "usg abdomen of {p.Full} wife of {r.Full} referred by doctor {a.Full} {findings} {s1} patient was called again on"
    " {date1} with full bladder no please correct that full bladder was there on {date2} also {s2} informed to doctor"
    " {a.Last} over phone {phone1} {impression} typed by {b.First} checked by {c.First}",
    # US speech recognition without any punctuation
    "hi this is doctor {a.Full} dictating on {p.First} {p.Last} medical record number {mrn} accession {acc} exam date"
    " {date1} reason for exam per the nurse practitioner {b.First} is shortness of breath {findings} {s1} i called"
    " {b.First} with this at {time1} her cell is {phone1} she had already talked to the family {impression} thanks",
    # to the typist
    "{a.first}, this one is urgent so please do it ahead of the tape from {date1}. The patient is {p.full}, that is"
    " the {p.last} from {city}, not the one we did yesterday. {findings} {s1} {impression} Top copy to Mr {b.last},"
    " copy to Dr {c.full} at {hospital}, and would you ring it through to his rooms, {phone1}, before you go. End of"
    " tape, {d.inits}.",
    # attending attestation
    "Resident: {a.full}, PGY-4. {findings} {s1} {impression} Attending: I, {b.full}, have personally reviewed the"
    " images of {p.full} (DOB {date1}) and agree with Dr. {a.last} except as follows. {s2} The change was conveyed to"
    " {c.first} on the medicine team via secure chat at {time1} and by page to {phone1}. Prior: {acc}, {date2}.",
    # living donor
    "Donor work-up. {p.full} is offering a kidney to her brother, {r.full}, who dialyses at {hospital}. Both live in"
    " {city}. Arterial phase obtained at {time1}. {s1} {findings} {impression} Discussed at the donor meeting of"
    " {date1}, with {a.full} (surgery) and {b.full} (nephrology). The coordinator, {c.first}, has {p.first}'s number,"
    " {phone1}, and will tell her; the brother has his own clinic on {date2}.",
    # family history
    "High-risk screening MRI. {p.first}'s mother {r.full} was diagnosed at 41 and an aunt, {r2.first}, at 38, both at"
    " {hospital}; the gene report is dated {date1} and signed by Dr {a.last}. {s1} {findings} Compared with my own"
    " study of {date2}, {acc}. {impression} The genetic counsellor, {b.full}, is on {phone1}.",
    # independent medical examination
    "I was asked by {a.full} of the claims department to look at the films of {p.full} of {city}, file {policy}, who"
    " was rear-ended on {date1}. I had before me studies from {hospital}, reported by Dr {b.last}, dated {date2} and"
    " {date3}. {s1} {s2} I did not examine Mr {p.last}. {findings} In my view: {impression}",
    # complication and candour
    "During the biopsy described above {p.full} developed pleuritic pain. I stopped at {time1}. {findings} {s1}"
    " {a.full} from anaesthetics came at once and Sister {b.last} moved him to the ward. I explained openly what had"
    " happened to him and to {r.first}, who had been waiting outside, and followed it with a letter to {street},"
    " {city}, on {date1}. {impression} Incident reported by {c.first}, reference {acc}.",
    # dental cone beam
    "Cone beam CT at the request of Dr {a.full}, dentist, {street}, {city}, for implant planning. {p.full}, born"
    " {date1}, had the lower molars out at {hospital}. {findings} {s1} {impression} I have sent the volume by secure"
    " link to {email} and left word with the hygienist, {b.first}, on {phone1}, that it should be looked at before"
    " the visit on {date2}.",
    # ICU round
    "ICU films with {a.last} and the night fellow, {b.full}. Bed 4 is {p.last}, {mrn}, day 9. {findings} {s1} The"
    " tube has come back a little since {date1}. {c.first} at the bedside says that the secretions are thicker and"
    " that the family, through the sister {r.full}, {phone1}, want everything done. {impression} Bed 6 to follow"
    " separately. {s2}",
    # email thread in the report
    "From {a.first} to me, {date1}: can you have another look at {p.last}, he is back with the same pain, {mrn}. From"
    " me to {a.first}: done. {s1} {findings} From {a.first}: thanks, have told {b.first} and the patient; he would"
    " rather go to {hospital} as it is nearer {r.first}. From me: fine, their contact is {c.full}, {email}, {phone1}."
    " {impression}",
    # hospice paracentesis
    "Ascitic drain at the hospice, where {p.full} has been since {date1}. {r.first} held his hand, and Father"
    " {a.last} waited in the corridor. Dr {b.full} had written up lorazepam. {s1} Five litres came off by {time1}."
    " {findings} {impression} {r.first} has my number, {phone1}, and the community team under {c.full} will visit"
    " them in {city} on {date2} if he gets home.",
    # sonographer sheet read out
    "Reading from the worksheet of {a.full}, RDMS: patient {p.commam}, room 3, scanned {date1} {time1}, limited by"
    " bowel gas. {s1} I went in with {a.first} and rescanned the gallbladder myself. {findings} Ms. {p.last} said her"
    " gastroenterologist, {b.full}, had seen the same thing at {hospital} on {date2}. {impression} Wet read to"
    " {c.last} in triage.",
    # missed appointment
    "{p.first} missed the appointment of {date1} because the letter had gone to {street}, {city}, where she no longer"
    " lives; she is with her son {r.full} at {street2}, and {a.first} on the desk has changed it. {findings} {s1} Dr"
    " {b.last} had wanted this before the clinic on {date2}, so I have phoned his nurse, {c.first}, on {phone1}."
    " {impression}",
    # reporting radiographer
    "Hot report by {a.full}, advanced practitioner. {p.first} told me that he jumped off the shed roof for a bet with"
    " {r.first}. {findings} {s1} Checked with Dr {b.last}, duty radiologist, {ext1}, who agrees. ENP {c.first}"
    " informed in minors at {time1}; virtual fracture clinic on {date1}. No previous here, but the mother mentions a"
    " film at {hospital}. {impression}",
    # aneurysm surveillance letter
    "Dear Mr {p.last},\n\nYour scan at {hospital} on {date1} has now been looked at by me and by the surgeon,"
    " {a.full}. {s1} It is a little larger than on {date2}. {findings} {impression} Please ring {b.first} on {phone1}"
    " to fix a time to come and talk about it, and do bring {r.first} if you would like to. We have written to"
    " {c.full} at your practice as well.\n\nYours sincerely\n\n{d.full}",
    # cardiac CT
    "{p.full} is a {age}-year-old retired signalman from {city}, sent by {a.full} before valve replacement. He"
    " remembers every date: first faint {date1}, echo at {hospital} {date2}, second faint at his granddaughter"
    " {r.first}'s wedding. {s1} {findings} {s2} {impression} Measurements were emailed to the valve coordinator,"
    " {b.first} ({email}), and discussed with {c.last} over the phone.",
    # tele-ultrasound in labour
    "Growth scan, third trimester, requested by {a.full}, community midwife. {p.first} {p.last}, EDD {date1}, had her"
    " last one privately at {hospital} with Dr {b.last}, who thought the baby small. {s1} {s2} {findings} I showed"
    " {p.first} and her mother, {r.last} by name, the heartbeat. {impression} Phoned to labour ward coordinator"
    " {c.full}, {phone1}, who will see her at {time1}. Notes number {mrn}.",
    # dementia clinic
    "Mrs {p.last} was brought by taxi from {city} by a carer, {r.full}, and thought that I was her brother. The"
    " memory clinic letter, from Dr {a.full}, is dated {date1} and mentions a scan of {date2} that we cannot find"
    " under {mrn} or under her previous name, {r2.last}. {findings} {s1} {impression} {b.first} will try {hospital}"
    " for it ({phone1}).",
    # vertebroplasty phone review
    "Telephone review by {a.full} on {date1}, six weeks after vertebroplasty. {p.full} answered herself on {phone1}"
    " and said that she had walked to the shop with {r.first} for the first time since {date2}. {s1} {findings}"
    " {impression} She may stop the brace. I let {b.last} and the physiotherapist at {hospital}, {c.full}, know by"
    " email.",
)
