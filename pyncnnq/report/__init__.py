"""What is shown to people: progress and closing tables."""
