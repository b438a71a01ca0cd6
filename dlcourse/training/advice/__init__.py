"""What a run's numbers say, in plain words: found by rules, each with the lecture that explains it."""
