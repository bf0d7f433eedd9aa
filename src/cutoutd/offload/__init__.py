"""The hosted route in the daemon: which pictures leave the machine, requests in the outbox, replies in the inbox."""
