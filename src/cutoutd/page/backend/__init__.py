"""The process behind it: it reads the journal, posts what people decide, and has workers make pictures to look at."""
