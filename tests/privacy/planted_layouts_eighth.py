"""The eighth list: free dictation and conversation, written by someone who had never seen the rules."""

from __future__ import annotations

DATES = (
    "the {ordinal} of {name}",
    "{name} {ordinal}, {year}",
    "{weekday} the {ordinal} of {name}",
    "{d} {name} '{yy:02d}",
    "{wd} {d}/{m}/{yy:02d}",
    "{d}.{m}.{yy:02d}",
    "{mon} {d}",
    "{weekday}, {mon} {ordinal}",
    "{year}-{mon}-{d:02d}",
    "the {ordinal} of {mon} {year}",
    "{name} of {year}",
    "late {name} {year}",
    "{MON} {d:02d} {year}",
    "{m}-{d}-{yy:02d}",
    "{d:02d}{MON}{yy:02d}",
    "{year}.{m:02d}.{d:02d}",
    "{weekday} {d} {name}",
    "{d}-{mon}-{year}",
    "{name} {d} {year}",
    "{wd} {ordinal} {mon} {yy:02d}",
    "{d:02d}/{m:02d}/{year}",
    "{m}/{d}/{year}",
    "{year}/{m}/{d}",
    "{d} of {name}, {year}",
    "{mon}. {d}, {year}",
    "{weekday} {ordinal} {name} {year}",
)
RECORD_NUMBERS = (
    "### ### ##",
    "########",
    "?##-##-##",
    "??######",
    "#-###-###",
    "##.###.###",
    "######?",
    "???-#####",
    "#### ####",
    "0#######",
)
ACCESSION_NUMBERS = (
    "??##-#######",
    "##########",
    "?######-##",
    "##-######",
    "???########",
    "#### ### ###",
    "CT######",
    "##?####?",
    "??.##.######",
    "####/######",
)
PHONES = (
    "(###) ###-####",
    "###.###.####",
    "### ### ####",
    "1-###-###-####",
    "0#### ######",
    "07### ### ###",
    "+44 20 #### ####",
    "+353 ## ### ####",
    "0## #### ####",
    "+49 ### #######",
    "##########",
    "04## ### ###",
)
HOSPITALS = (
    "{0} General",
    "{0} District General Hospital",
    "{1} Memorial Hospital",
    "{0} Infirmary",
    "the {1} Clinic",
    "Our Lady of Mercy Hospital, {0}",
    "{0} Children's Hospital",
    "{1} Breast Centre",
    "University Hospital of {0}",
    "{0} Veterans Affairs Medical Center",
    "{1} Family Practice",
    "{0} Regional Cancer Center",
    "{1} House Nursing Home",
    "Mount Sinai {0}",
)

CLINICAL = (
    "There is a 2.4 cm spiculated nodule in the right upper lobe, Lung-RADS 4B.",
    "Moderate atherosclerotic calcification of the LAD, Agatston score 312.",
    "The appendix measures 11 mm in diameter with an appendicolith and periappendiceal fat stranding.",
    "Bosniak IIF cyst at the lower pole of the left kidney, 3.1 x 2.8 cm.",
    "Acute infarct in the left MCA territory, ASPECTS 7.",
    "Salter-Harris II fracture of the distal radius with 4 mm of dorsal displacement.",
    "Large hiatus hernia with no features of Barrett's oesophagus on this study.",
    "PI-RADS 4 lesion in the left peripheral zone at the mid gland, 14 mm, ADC 680.",
    "Chronic Hill-Sachs deformity with a small bony Bankart lesion.",
    "Stanford type B dissection arising 2 cm distal to the left subclavian artery.",
    "Scattered fibroglandular tissue, no suspicious microcalcification, BI-RADS 2.",
    "Baker's cyst of 5.2 cm in the popliteal fossa, partly ruptured.",
    "Hounsfield density of the adrenal nodule is 4 HU, in keeping with a lipid-rich adenoma.",
    "Modic type 1 change at L4/5 with a broad-based disc protrusion contacting the left L5 root.",
    "Garden III fracture of the femoral neck with varus angulation.",
    "SUVmax 12.6 in the subcarinal station, Deauville 5.",
    "Common bile duct 9 mm, tapering smoothly to the ampulla of Vater.",
    "No pneumothorax; the tip of the Hickman line lies at the cavoatrial junction.",
    "Kellgren-Lawrence grade 3 osteoarthritis of the medial compartment.",
    "Trace free fluid in the pouch of Douglas, likely physiological.",
)

LAYOUTS = (
    # running prose, called result in the middle
    "This is a dictation on {p.full}, medical record {mrn}, who came up from the emergency department at about"
    " {time1} on {date1} with her daughter {r.first}. {s1} I have looked at the old films from {hospital}, which"
    " {a.full} was kind enough to push across, and {s2} is unchanged. {findings} While I was still dictating"
    " {b.last} rang from the ward on {phone1} and I gave him the result there and then. {impression}",
    # speech recognition, no punctuation or capitals
    "okay this is the ct on {p.Full} date of birth {date1} record number {mrn} requested by doctor {a.Last} new"
    " paragraph {findings} new paragraph i spoke to doctor {a.Last} about this at {time1} and he is going to let"
    " the son {r.First} know new paragraph {impression} end of dictation",
    # telegraphic on-call
    "O/C note {date1} {time1}. Call from {a.last} (surg reg, {phone1}) re {p.last}, {mrn}. {s1} {s2} d/w {b.last}"
    " cons, agrees. {findings} Family en route from {city}, wife = {r.full}. {impression} Handed over to {c.first}."
    " {d.inits}",
    # letter to a colleague
    "Dear {a.first},\n\nThank you for asking me to look again at the films of your patient {p.full}, born {date1},"
    " of {street}, {city} {zip}. {findings} I showed them to {b.full} over coffee and he was of the same mind. {s1}"
    " I would be glad to see the lady myself if you wished; {c.first} in my office ({phone1}) keeps the diary.\n\n"
    "{impression}\n\nWith best wishes,\n{d.first}\n\n{d.full}",
    # teaching file comment
    "Teaching file: nice one this, keep. {s1} The patient, a {age}-year-old retired dentist from {city} called"
    " {p.full}, was scanned at {hospital} on {date1} under accession {acc}. {s2} {a.last} got it right in the room,"
    " {b.last} and I did not. {impression} Ask {c.first} for the path slides.",
    # discrepancy note
    "DISCREPANCY. Preliminary read by {a.init} on {date1} at {time1}: no acute finding. Final read by {b.init}:"
    " {findings} {s1} I telephoned {c.full} at {hospital} and, because nobody could find the chart, spelled the"
    " name for her as {p.comma}, number {mrn}. She will ring the patient at home on {phone1}. {impression}",
    # conversation with the mother, quoted
    '"Has {p.first} had this before?" I asked the mother, Mrs {r.last}, and she said yes, at {hospital}, on or'
    " about {date1}, when Dr {a.last} put the drain in. {findings} {s1} She would rather be rung at work,"
    " {phone1}, than at home. {impression}",
    # relatives and travel
    "{s1} According to the husband, {r.full}, they had driven over from {city} that morning and {p.first} was well"
    " until they stopped for petrol. {findings} {s2} He asked that the report be emailed to him at {email} as well"
    " as to {a.full}; I said that I would only send it to {a.last}. {impression}",
    # all capitals trauma call
    "TRAUMA CALL. {p.FULL}, HOSP NO {mrn}, ARRIVED {date1} {time1} BY AIR FROM {hospital}. TEAM LEADER {a.LAST}."
    " {findings} {s1} HOT REPORT GIVEN TO {b.FULL} IN THE SCANNER. NEXT OF KIN {r.FULL} {phone1}. {impression}"
    " {c.LAST}",
    # speech recognition with spoken punctuation
    "comparison colon the study from {hospital} dated {date1} comma accession {acc} comma read by {a.Full} period"
    " {findings} the patient comma mister {p.Last} comma tells the technologist that doctor {b.Last} operated on"
    " {date2} period {s1} {impression} please copy to {c.Full} in {city} period",
    # insurer in passing
    "{findings} The insurer declined the first request, and it was only after {a.first} in preauthorisation spent"
    " an hour with them on {phone1}, quoting policy {policy} and the social security number {ssn}, that we got"
    " {p.full} into the magnet on {date1}. {s1} {impression}",
    # long chronology
    "I have tried to put the history together. {p.last} was first imaged on {date1} by my predecessor, {a.full}:"
    " {s1} He next turned up on {date2} at {hospital}, where {b.full} saw him: {s2} Then he moved to {city} to be"
    " near his sister {r.first} and we lost him until now. {findings} {impression} {c.tail}",
    # MDT banter
    "Presented at our meeting by {a.last}. {b.last} wondered about biopsy, {c.last} thought it was in a bad place,"
    " and {d.last}, as ever, wanted an MRI. {findings} {s1} In the end we agreed that {p.full} ({mrn}) comes back"
    " on {date1}. {impression} {a.first} to tell her, and her partner {r.first}.",
    # peer review
    "Peer review of accession {acc}, original reader {a.full}, reviewer {b.full}, reviewed {date1}. Score 3. {s1}"
    " I can see it in retrospect on the study which {c.last} reported on {date2}. {findings} I have sent {a.first}"
    " a note at {email}, and the patient, Ms {p.last}, has been told by {d.full}. {impression}",
    # nursing home
    "The lady is {age} years old and lives at {hospital}, where the night nurse, {a.full}, found her on the floor"
    " at {time1}. {findings} {s1} The home can be reached on {phone1}; ask for {b.first}. {impression} The nephew,"
    " {r.full}, has power of attorney and wants to be told before anything is done to Miss {p.last}.",
    # voicemail
    "Left a voicemail for {a.full} at {time1} on {date1} saying, more or less, this is {b.last} in radiology, please"
    " ring me back on {phone1} about {p.full}, date of birth {date2}. {findings} {s1} No answer by the end of my"
    " shift, so I asked {c.first} on nights to chase. {impression}",
    # speech recognition, conversation bleed-through
    "so the next one is {p.First} {p.Last} she is the one doctor {a.Last} was going on about her sister {r.First} is"
    " a nurse at {hospital} anyway {findings} hang on yes {b.First} i will be two minutes sorry {s1} scratch that"
    " last bit no keep it {impression} sign it as {c.Full} on {date1}",
    # telegraphic, with ring-back numbers
    "{time1} stroke call. {p.comma}; {mrn}; NHS {nhs}. LKW per neighbour {r.full}. {s1} {s2} Thrombectomy centre"
    " = {hospital}, spoke {a.last}, accepts. {findings} Images sent, study UID {uid}. {impression} Back line"
    " {phone1}. {b.inits}",
    # letter to GP
    "Dear Dr {a.last},\nI saw your patient Mr {p.last} in the ultrasound room on {date1}. He had walked from"
    " {street}, which at {age} is no small thing. {findings} {s1} I explained this to him and to his neighbour, Mrs"
    " {r.last}, who had come to hold his coat. {impression}\nYours sincerely\n{b.full}\nTyped by {c.full}, {ext1}",
    # letter to the patient
    "Dear {p.first}\n\nWhen we spoke on {date1} you asked me to put in writing what I found. {s1} {s2} In plain words:"
    " {impression} {a.full} will write to you at {street}, {city} {zip} with an appointment. If you or {r.first}"
    " have questions, {b.first} and {c.first} answer the phone on {phone1}, and there is a leaflet at {url}.\n\n"
    "{d.full}",
    # technologist note pasted into the report
    "Tech comment as entered: pt {p.first} very anxious, mum {r.first} in room, 2 attempts at IV by {a.first}, third"
    " by {b.first}, {time1}. {findings} {s1} Tech also notes that the wristband read {p.commam} {mrn} but the order"
    " said {acc}; checked with {c.last} and correct. {impression}",
    # IT trouble
    "Apologies for the delay: the workstation ({ip}) fell over at {time1} and I had to finish this at {hospital}."
    " {findings} {s1} The images are filed under {p.caret} rather than under {p.full}; {a.first} from PACS is"
    " fixing it, her direct number is {phone1}, her mail {email}. {impression} {b.tail}",
    # addendum upon addendum
    "{findings} {impression}\n\nAddendum {date1}, {a.last}: since I signed this {b.full} has sent the outside study"
    " from {hospital}. {s1}\nFurther addendum {date2}, {c.last}: I agree with {a.first}. {s2} I have spoken to"
    " {p.first}'s father, {r.full}, on {phone1}.",
    # biopsy narrative
    "After a long talk with {p.full} and his brother {r.first}, with {a.full} interpreting, consent was signed on"
    " {date1}. Dr {b.last} held the probe and I passed the needle. {s1} {findings} The pot was labelled {mrn} and"
    " carried to pathology by {c.first}. He lives alone in {city}, so he stays until {r.first} can collect him."
    " {impression}",
    # legal
    "This report is dictated at the request of {a.full}, solicitor, of {city}, reference {acc}, in the matter of"
    " {p.full}, born {date1}, National Health number {nhs}. {findings} {s1} I note that {b.full} took a different"
    " view on {date2}. {s2} {impression} I have never met Mr {p.last} or, so far as I know, his employer, {r.full}.",
    # screening recall
    "Recalled from screening. {p.first} found our letter of {date1} on the mat at {street} and rang {a.first} in"
    " tears, so we brought her forward. {findings} {s1} Her late mother, {r.full}, was treated here by old Dr"
    " {b.last}. {impression} Breast care nurse {c.full}, {phone1}, has met her.",
    # speech recognition, capital-free letter
    "dear {a.First} thanks for sending {p.Full} over from {hospital} i gather from {b.Last} that the lump was noticed"
    " on {date1} {findings} {s1} her number is {phone1} and her husband {r.First} usually picks up {impression}"
    " all the best {c.First}",
    # radiotherapy planning chat
    "{a.last} popped in at {time1} to ask whether the node on the planning scan of {date1} is new. It is not: {s1}"
    " {findings} We pulled up the PET done at {hospital} (their number {mrn}, ours {acc}) and {b.first} measured it"
    " as well. {impression} {a.first} will tell {p.last}; I have left a message for {c.full} in {city}.",
    # quality-assurance meeting minutes
    "REALM minutes {date1}. Present: {a.last}, {b.last}, {c.last}, apologies {d.last}. Case 1, {mrn}, initials"
    " {p.inits}. {s1} {b.first} felt that most of us would have missed it. {s2} Case closed; letter to the family,"
    " c/o {r.full}, {street}, {city}. {findings} {impression}",
    # paediatrics and school
    "{p.first} fell off the climbing frame at school in {city} on {date1}; his teacher, {a.full}, came with him and"
    " granny, Mrs {r.last}, followed. {findings} {s1} When I asked {p.first} where it hurt he said everywhere."
    " {impression} Dr {b.last} in fracture clinic, {ext1}, will see him on {date2}.",
    # chain of calls
    "Calls made: {a.first} {a.last}, ward sister, {time1}, {phone1}, engaged. Then {b.full}, house officer, no reply."
    " Then {c.init}, consultant, took the message and read it back. {findings} {s1} For the avoidance of"
    " doubt the patient is {p.FULL} and not the other {p.last} on the same bay. {impression}",
    # overseas teleradiology
    "Good morning from the night desk. Patient {p.three}, your ref {mrn}, sent by {hospital} at {time1}. {findings}"
    " {s1} I could not raise {a.full} on {phone1}, so I have written to {email} and posted the key images at {url}."
    " {impression} Please would {b.first} confirm receipt. {c.full}",
    # occupational history
    "He tells me he was a lagger in the shipyard at {city} with his brother-in-law {r.full}, who died of the same"
    " thing under {a.last} at {hospital}. {findings} {s1} {p.last} has already instructed a lawyer, {b.full}, whose"
    " telephone number is {phone1}, and would like the discs from {date1}. {impression}",
    # death
    "It was {c.first} who noticed that the monitor was flat at {time1} on {date1}. {findings} {s1} I have spoken to"
    " the coroner's officer, {a.full}, {phone1}, who has all the particulars: {p.full}, aged {age}, of {street},"
    " {city}. The widow, {r.first}, was told by {b.last}. {impression}",
    # wrong patient correction
    "CORRECTION: the words above about a stent belong to someone else and were dictated under {p.FULL} by mistake;"
    " thanks to {a.first} for spotting it. {findings} {s1} The right accession is {acc}, the right record is {mrn},"
    " the scan was done {date1} and the referrer was {b.last}, not {c.last}. {impression} {d.inits}",
    # research study
    "Trial read. Subject consented by {a.full} on {date1}; as she told everyone in the waiting room, she is {p.first}"
    " {p.middle} {p.last} and used to clean the wards at {hospital}. {s1} {s2} Second reader {b.last}, adjudicator"
    " {c.last}. {findings} {impression} Upload failed from {ip}, UID {uid}; {d.first} is on it.",
    # terse resident sign-out
    "sign-out for {a.First}: {p.Last} in the scanner now, mrn {mrn}, {b.Last} is the attending and wants a call at"
    " {phone1}. {s1} {s2} outside films from {hospital} still uploading, tech is {c.First}. {findings} {impression}"
    " daughter {r.First} is flying in from {city} on {date1} so do not promise anything",
    # dialogue script
    "Me: is this the gentleman {a.last} was worried about? Registrar: yes, {p.full}, from {city}. Me: {s1}"
    " Registrar: and the previous? Me: {date1}, {hospital}, read by {b.last}. {s2}\nWe then rang the ward"
    " ({ext1}), where {c.first} answered. {findings} {impression}",
    # second opinion, self-funded
    "Second opinion at the patient's own expense. {p.full} brought a disc, a bag of letters from {a.full}, and a"
    " receipt made out to {street}, {city} {zip}. {findings} I differ from {b.last} on one point only: {s1} I have"
    " said so to {p.first} and will say so to {b.first} when he is back on {date1}. {impression} Receipt to {email},"
    " membership {policy}.",
    # military veteran, phone in the middle of a sentence
    "{s1} Mr {p.last}, who still gives his Social Security number, {ssn}, to anyone who asks, was accompanied by a"
    " friend from the regiment, {r.full}, and says that {a.last} at {hospital} took the shrapnel out on {date1}."
    " {findings} The referring office ({phone1}, {b.first}) was told at {time1}. {impression}",
)
