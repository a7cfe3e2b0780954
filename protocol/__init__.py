"""What server and site say to each other: the study, requests and updates, the wire codec. Never imports torch."""
