"""The backend of the API: keys, uploads into hot folders, jobs and their results. It has no network, and decodes nothing."""
