"""What leaves the machine on the daemon's side: requests in the outbox, replies in the inbox, and who decides."""
