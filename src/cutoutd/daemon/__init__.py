"""The daemon: watches, journals, dispatches, publishes; it never decodes a picture."""
