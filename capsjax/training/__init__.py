"""Training: data, steps, loops and what they leave behind."""
