"""cutoutd: watches folders and cuts the subject out of every picture that lands in them."""
