"""One job from top to bottom: decode, matte, refine, compose, encode, stage."""
