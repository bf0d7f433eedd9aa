"""Where the subject is, at full resolution: the model, refinement, foreground colours and the quality score."""
