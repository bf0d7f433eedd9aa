"""`cutoutd sheet`: a contact sheet of a shoot, before and after, as one file."""
