"""Commands of the owner's, and notices on the desktop, when something happens."""
