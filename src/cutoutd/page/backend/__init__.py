"""The backend of the page: it reads the journal, posts users' decisions, and has workers render previews."""
