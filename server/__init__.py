"""The coordinator: asks sites round by round, checks and folds their releases, and keeps the one generator."""
