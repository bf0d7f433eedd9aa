"""Files as bytes: PNG, TIFF, JPEG, ISOBMFF, and the metadata in them. No pixel is decoded here."""
