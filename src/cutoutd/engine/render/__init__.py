"""What is published: placed on its canvas, with shadow and background, and encoded."""
