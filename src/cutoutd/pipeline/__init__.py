"""One job from start to end: decode, matte, refine, compose, encode, stage."""
