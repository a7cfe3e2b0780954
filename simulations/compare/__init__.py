"""`fedm2g simulate --compare`: what federation and privacy cost, by the same study under other conditions.

Every arm starts from the same generator and makes the same rounds by the same recipe over the same patients; what
differs is who trains together and under how much noise. All are judged on the same held-out patients from the same
sampling noise.
"""
