"""What was asked of a subject and what it answered, recorded so that it can be judged and done again."""
