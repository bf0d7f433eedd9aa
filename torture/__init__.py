"""Campaigns that take long: faults by the hundred, with figures."""
