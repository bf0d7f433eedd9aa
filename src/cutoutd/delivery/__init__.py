"""The publishing side of one hot folder: publications, failure records, and recovery after a crash."""
