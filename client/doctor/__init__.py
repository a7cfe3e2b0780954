"""`fedm2g site check`: looks at everything that a site needs, changes nothing, and says for each line what to do."""
