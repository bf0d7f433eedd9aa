"""Reading pictures: one reader for each family of formats, and what all of them give."""
