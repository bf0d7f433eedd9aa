"""The catalogs of models: those in the package, added ones, and known ones."""
