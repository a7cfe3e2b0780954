"""`fedm2g evaluate`: what a generator makes, beside records that it never saw.

`images` says whether they look alike, `meaning` whether they show what was asked, `reports` whether they are written
well, `translations` whether one flow becomes another, `utility` whether they teach. Every figure stands beside what the
records themselves, or the codec alone, would reach; every one that is missing has a reason.
"""
