"""Container formats (PNG, TIFF, JPEG, ISOBMFF) and their metadata, as bytes. No pixel is decoded here."""
