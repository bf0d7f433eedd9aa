"""The cluster: the gateway that sends tagged pictures to machines of one's own, and those machines' side of it."""
