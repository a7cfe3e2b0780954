"""Verify a site's ledger without fedm2g: Python and `cryptography` are enough (the format: docs/ledger.md).

python verify_ledger.py LEDGER PUBLIC_KEY_HEX [HEAD ...]        HEAD: NUMBER:DIGEST, as rounds.jsonl keeps it
"""

import hashlib
import json
import sqlite3
import sys
from collections.abc import Iterable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KINDS = ("opened", "policy", "approved", "reserved", "committed", "non-private")
COLUMNS = "sequence, kind, study_digest, body, previous, digest, signature"


def fault(path: str, key: Ed25519PublicKey, heads: Iterable[str] = ()) -> str | None:
    """One sentence on the first thing that does not verify, or None."""
    count, previous, seen = 0, "0" * 64, set()
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        for number, kind, study, body, before, digest, signature in connection.execute(
            f"SELECT {COLUMNS} FROM entries ORDER BY sequence"
        ):
            text = json.dumps([count + 1, kind, study, body, previous], separators=(",", ":"))
            own, signed = hashlib.sha256(text.encode()), bytes.fromhex(signature)
            key.verify(signed, own.digest())
            if (number, before, digest) != (count + 1, previous, own.hexdigest()):
                return f"entry {count + 1} is not bound to the one before"
            if signature != signed.hex() or kind not in KINDS or (kind == "opened") != (number == 1):
                return f"entry {count + 1} is not in the ledger's form"
            count, previous = number, digest
            seen.add(f"{count}:{digest}")
        (sound,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        connection.close()
    except (sqlite3.Error, InvalidSignature, UnicodeDecodeError, ValueError, TypeError):
        return f"entry {count + 1} does not verify"
    if sound != "ok" or not seen or not seen.issuperset(heads):
        return "the file is empty or damaged, or older than a head that was seen before"
    try:
        with open(path, "rb") as ledger, open(f"{path}.seal", "rb") as sealed:
            content, seal = ledger.read(), json.load(sealed)
        proof, text = bytes.fromhex(seal.pop("signature")), json.dumps(seal, sort_keys=True, separators=(",", ":"))
        key.verify(proof, text.encode())
    except (OSError, ValueError, KeyError, AttributeError, InvalidSignature):
        return "the seal is missing or was changed"
    whole = (seal["sequence"], seal["digest"], seal["file"]) == (count, previous, hashlib.sha256(content).hexdigest())
    return None if whole else "the file is not as it was sealed: a byte changed around the entries, or a process died"


if __name__ == "__main__":
    found = fault(sys.argv[1], Ed25519PublicKey.from_public_bytes(bytes.fromhex(sys.argv[2])), sys.argv[3:])
    sys.exit(found or print("the ledger verifies"))
