"""What the commands and `import insideout_tf` share: one function for each thing a user can ask for."""
