"""What the agent costs; measured and reported, never a reason to fail."""
