"""The web process of the API. It has no access to folders, the journal or pictures' files, and decodes nothing."""
