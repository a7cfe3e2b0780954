"""The version of fedm2g. It is part of every study's digest, so two sites with different versions never mix."""

VERSION = "0.1.0"
