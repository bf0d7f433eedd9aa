"""What daemon and uploader share: the files between them, and the records of uploads."""
