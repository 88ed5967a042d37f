"""What teaches it: answer checks, student editions, grading, the self-test."""
