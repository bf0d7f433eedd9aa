"""Third-party API contracts: parsing of their request fields, and the form of their responses. Pure functions."""
